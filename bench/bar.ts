/**
 * Measures every row of the bar in one run, prints the table, and keeps it under `results/`.
 *
 * `deno run --allow-all bench/bar.ts [--only matmul,forward,…] [--quick] [--where]`. With
 * `--where`, prints instead in which kernels the time of each kind of run goes.
 *
 * @module
 */

import { openGpu } from "../engine/gpu/gpu.ts";
import { forwardRows } from "./bar/forward.ts";
import { loadingRows } from "./bar/loading.ts";
import { matmulRows } from "./bar/matmul.ts";
import { peersRows } from "./bar/peers.ts";
import { requestRows } from "./bar/request.ts";
import { type BarOptions, type Row, tableOf } from "./bar/row.ts";
import { runsRows } from "./bar/runs.ts";
import { startRows } from "./bar/start.ts";
import { printWhere } from "./bar/where.ts";
import { circumstances, headOf, load, slugOf, writeResult } from "./support/results.ts";

const parts: Readonly<Record<string, (options: BarOptions) => Promise<Row[]>>> = {
  matmul: matmulRows,
  peers: peersRows,
  forward: forwardRows,
  request: requestRows,
  runs: runsRows,
  loading: loadingRows,
  start: startRows,
};

/** Which parts, and how. */
function parseArgs(args: readonly string[]) {
  let only = Object.keys(parts);
  const flags = { "--quick": false, "--where": false };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--only") only = (args[++i] ?? "").split(",");
    else if (Object.hasOwn(flags, arg)) flags[arg as keyof typeof flags] = true;
    else throw new TypeError(`Cannot use option "${arg}": there are --only, --quick and --where`);
  }
  const unknown = only.find((name) => !Object.hasOwn(parts, name));
  if (unknown !== undefined) {
    throw new TypeError(
      `Cannot measure "${unknown}": the parts are ${Object.keys(parts).join(", ")}`,
    );
  }
  return { only, quick: flags["--quick"], where: flags["--where"] };
}

const { only, quick, where } = parseArgs(Deno.args);
if (where) {
  await printWhere();
  Deno.exit();
}
const loadBefore = load();
const rows: Row[] = [];
for (const name of only) {
  const started = performance.now();
  // A GPU for each part, so that none meets what another left behind.
  using gpu = await openGpu();
  rows.push(...await parts[name]!({ gpu, quick }));
  console.error(`${name}: ${((performance.now() - started) / 1000).toFixed(0)} s`);
}
using gpu = await openGpu();
const about = await circumstances(gpu, loadBefore);
const markdown = `${headOf("The bar", about)}\n${tableOf(rows)}`;
console.log(markdown);
// What was measured in part, or in a hurry, is not kept.
if (!quick && only.length === Object.keys(parts).length) {
  await writeResult(`${slugOf(about.adapter)}-${about.date}`, { markdown, data: { about, rows } });
}
