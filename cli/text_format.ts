/**
 * Numbers and tokens as text.
 *
 * @module
 */

import { displayWidth } from "./text_table.ts";

/** Decimals that show four digits of the largest value: one column is read as a whole. */
export function decimalsFor(values: readonly (number | null | undefined)[]): number {
  const sizes = values.map((value) => Math.abs(value ?? 0)).filter(Number.isFinite);
  const largest = Math.max(0, ...sizes);
  return largest === 0 ? 3 : Math.min(9, Math.max(0, 3 - Math.floor(Math.log10(largest))));
}

/** A number with its sign; `-` for none. */
export function signed(value: number | null | undefined, decimals: number): string {
  if (value == null) return "-";
  const text = value.toFixed(decimals);
  const isZero = Number(text) === 0;
  return isZero ? text.replace("-", " ") : value > 0 ? `+${text}` : text;
}

/** A number without a sign unless it is negative; `-` for none. */
export function plain(value: number | null | undefined, decimals: number): string {
  return value == null ? "-" : value.toFixed(decimals);
}

/** A probability in percent. */
export function percent(probability: number): string {
  if (probability > 0 && probability < 1e-4) return "<0.01 %";
  return `${(100 * probability).toFixed(2)} %`;
}

/** A factor, such as that by which odds differ. */
export function factor(value: number): string {
  if (value >= 1e6) return value.toExponential(1);
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
}

/** Bytes in the unit that suits them. */
export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = count < 1 ? 0 : Math.min(4, Math.floor(Math.log2(count) / 10));
  const value = count / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** A token in quotes, its spaces and line breaks visible, cut if it is long. */
export function quoted(text: string, longest = 14): string {
  let inside = JSON.stringify(text).slice(1, -1);
  if (displayWidth(inside) > longest) {
    const characters = [...inside];
    while (displayWidth(characters.join("")) > longest - 1) characters.pop();
    inside = `${characters.join("")}…`;
  }
  return `"${inside}"`;
}

/** Quoted tokens in a row. */
export function quotedList(texts: readonly string[]): string {
  return texts.map((text) => quoted(text)).join(", ");
}

/** A bar as long as the value is large; light where it is negative. */
export function bar(value: number, { largest, width }: { largest: number; width: number }): string {
  const length = largest > 0 ? Math.round(width * Math.abs(value) / largest) : 0;
  return (value < 0 ? "░" : "█").repeat(length);
}
