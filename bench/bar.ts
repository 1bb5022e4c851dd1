/**
 * `deno run --allow-all bench/bar.ts [--quick] [--only matmul,forward,request,runs,start]`:
 * what is asked of hooktape's speed, what was measured, and whether it is met. Writes the
 * table to `bench/results/`.
 *
 * @module
 */

import { openGpu } from "../engine/gpu/gpu.ts";
import { forwardRows } from "./bar/forward.ts";
import { matmulRows } from "./bar/matmul.ts";
import { requestRows } from "./bar/request.ts";
import { type BarOptions, type Row, tableOf } from "./bar/row.ts";
import { runsRows } from "./bar/runs.ts";
import { startRows } from "./bar/start.ts";

const parts: Record<string, (options: BarOptions) => Promise<Row[]>> = {
  matmul: matmulRows,
  forward: forwardRows,
  request: requestRows,
  runs: runsRows,
  start: startRows,
};

const quick = Deno.args.includes("--quick");
const at = Deno.args.indexOf("--only");
const only = at < 0 ? Object.keys(parts) : Deno.args[at + 1]!.split(",");

const rows: Row[] = [];
using gpu = await openGpu();
const { name, class: kind } = gpu.facts;
for (const part of only) {
  console.error(`measuring ${part}`);
  rows.push(...await parts[part]!({ gpu, quick }));
  gpu.trim();
}

const { stdout } = await new Deno.Command("git", { args: ["rev-parse", "--short", "HEAD"] })
  .output();
const commit = new TextDecoder().decode(stdout).trim();
const date = new Date().toISOString().slice(0, 10);
const load = Deno.loadavg()[0]!.toFixed(1);
const head = `# The bar on ${name}

Adapter: ${name} (${kind}); ${navigator.hardwareConcurrency} cores; Deno ${Deno.version.deno}; ${date};
commit ${commit}; load average ${load} at the end. Medians of rounds in which what is compared runs
in turn; ± is half the distance of the quartiles.
`;
const table = tableOf(rows);
console.log(table);
if (!quick && at < 0) {
  const stem = name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
  const path = new URL(`results/bar-${stem}.md`, import.meta.url);
  await Deno.writeTextFile(path, `${head}\n${table}\n`);
  console.error(`wrote ${path.pathname.split("/").slice(-3).join("/")}`);
}
