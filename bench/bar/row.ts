/**
 * Rows of the bar: a question, what was measured, and what was asked for.
 *
 * @module
 */

import type { Gpu } from "../../engine/gpu/gpu.ts";

/** One line of the table. */
export interface Row {
  readonly question: string;
  /** What was measured. */
  readonly value: number;
  /** What is asked for; `null` where something is only told. */
  readonly bar: { readonly atLeast: number } | { readonly atMost: number } | null;
  /** Half the distance of the quartiles over the median. */
  readonly spread?: number;
  /** What the value stands for: times, rates, parts. */
  readonly detail?: string;
}

/** What measures some of the questions. */
export interface BarOptions {
  readonly gpu: Gpu;
  /** Less of everything, to see that it works. */
  readonly quick: boolean;
}

/** Whether the row is as asked. */
export function verdict({ value, bar }: Row): "ok" | "short" | "" {
  if (bar === null) return "";
  const isMet = "atLeast" in bar ? value >= bar.atLeast : value <= bar.atMost;
  return isMet ? "ok" : "short";
}

/** A number with three digits that count. */
export function short(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return `${value}`;
  return Math.abs(value) >= 100 ? value.toFixed(0) : `${Number(value.toPrecision(3))}`;
}

/** The rows as a Markdown table. */
export function tableOf(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.question,
    short(row.value) + (row.spread === undefined ? "" : ` ± ${Math.round(100 * row.spread)} %`),
    row.bar === null ? "" : "atLeast" in row.bar ? `≥ ${row.bar.atLeast}` : `≤ ${row.bar.atMost}`,
    verdict(row),
    row.detail ?? "",
  ]);
  const all = [["question", "measured", "bar", "", "detail"], ...cells];
  const widths = all[0]!.map((_, i) => Math.max(...all.map((line) => line[i]!.length)));
  const lines = all.map((line) => `| ${line.map((c, i) => c.padEnd(widths[i]!)).join(" | ")} |`);
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [lines[0]!, rule, ...lines.slice(1)].join("\n");
}
