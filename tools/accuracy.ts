/**
 * Prints how far our numbers are from the golden ones: `deno task accuracy [--markdown] [filter]`,
 * for all golden cases or those whose name contains `filter`. Beside them the error of the
 * reference's own float32 run against float64; the last column is ours over the reference's.
 *
 * @module
 */

import { openGpu } from "../engine/gpu/gpu.ts";
import { type KindError, measure } from "./accuracy/measure.ts";

const columns = ["kind", "tensors", "error/max", "error", "own error/max", "own error", "ratio"];

function cellsOf({ kind, tensors, relative, absolute, own, ratio }: KindError): string[] {
  const number = (value: number | undefined) => value === undefined ? "-" : value.toExponential(1);
  return [
    kind,
    `${tensors}`,
    number(relative),
    number(absolute),
    number(own?.max_err_over_max_abs),
    number(own?.max_abs_err),
    Number.isFinite(ratio) ? ratio.toFixed(2) : "-",
  ];
}

/** The kinds as lines of a table, the first column to the left and the others to the right. */
export function accuracyTable(
  kinds: readonly KindError[],
  { markdown = false }: { markdown?: boolean } = {},
): string {
  const rows = [columns, ...kinds.map(cellsOf)];
  const widths = columns.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const lines = rows.map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))
  );
  if (!markdown) return lines.map((cells) => cells.join("  ")).join("\n");
  const rule = widths.map((width, i) => "-".repeat(i === 0 ? width : width - 1) + (i ? ":" : ""));
  return [lines[0]!, rule, ...lines.slice(1)].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

if (import.meta.main) {
  const unknown = Deno.args.find((arg) => arg.startsWith("-") && arg !== "--markdown");
  if (unknown !== undefined) {
    console.error(`Cannot use option "${unknown}": there is only "--markdown"`);
    Deno.exit(2);
  }
  const markdown = Deno.args.includes("--markdown");
  const filter = Deno.args.find((arg) => !arg.startsWith("-"));
  using gpu = await openGpu();
  const kinds = await measure(gpu, filter);
  console.log(`${gpu.facts.name}\n`);
  console.log(accuracyTable(kinds, { markdown }));
}
