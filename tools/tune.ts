/**
 * Measures tiles of the matrix product on the present adapter and prints the row for
 * `engine/tape/ops/matmul_tuning.ts`: `deno task tune [--quick] [--staged]`. With `--staged`,
 * a CPU rasteriser runs the kernels of GPUs, only to see that they run.
 *
 * @module
 */

import { type Gpu, openGpu } from "../engine/gpu/gpu.ts";
import { matmulTuning } from "../engine/tape/ops/matmul_tuning.ts";
import { matmulWork } from "../bench/support/matmul_work.ts";
import { measure, median } from "../bench/support/measure.ts";
import type { MatmulShape } from "../bench/support/shapes.ts";

type Tile = (typeof matmulTuning.staged)["many"];
/** The table, as this tool sets it: the kernels look into it at each launch. */
const tuning = matmulTuning as unknown as {
  rows: (m: number) => number;
  staged: { few: Tile & { rows: number }; many: Tile };
};

const rowsOfTile = [1, 4, 8, 16]; // what shaders/lib/matmul_tile.wgsl distinguishes
const tiles = [[8, 8], [16, 4], [16, 8], [8, 16], [16, 16], [32, 4]].flatMap(([wgX, wgY]) =>
  [8, 16, 32].map((tileK) => ({ wgX, wgY, tileK }) as unknown as Tile)
);
const numbersOfRows = [1, 4, 8, 16, 32, 64, 256, 1024];

/** The products of a block with `m` rows: weights, and the gradients through them. */
function shapesOf(m: number): MatmulShape[] {
  const shared = { place: "tune", m, constant: true } as const;
  return [
    { ...shared, layout: "NN", k: 768, n: 3072 },
    { ...shared, layout: "NN", k: 3072, n: 768 },
    { ...shared, layout: "NT", k: 768, n: 3072 },
    { ...shared, layout: "NN", k: 768, n: 3072, constant: false },
  ];
}

/** By candidate, the milliseconds that the products with `m` rows take together. */
async function timesOf(
  gpu: Gpu,
  m: number,
  { candidates, quick }: {
    candidates: ReadonlyMap<string, () => void>;
    quick: boolean;
  },
): Promise<Map<string, number>> {
  const times = new Map([...candidates.keys()].map((name) => [name, 0]));
  for (const shape of shapesOf(m)) {
    using work = await matmulWork(gpu, shape);
    const works = Object.fromEntries(
      [...candidates].map(([name, choose]) => [name, () => {
        choose();
        work.run();
      }]),
    );
    const { milliseconds } = await measure(gpu, works, {
      rounds: quick ? 2 : 5,
      least: quick ? 5 : 20,
    });
    for (const [name, each] of Object.entries(milliseconds)) {
      times.set(name, times.get(name)! + median(each));
    }
  }
  return times;
}

function print(m: number, times: ReadonlyMap<string, number>): string {
  const sorted = [...times].sort(([, a], [, b]) => a - b);
  const shown = sorted.slice(0, 4).map(([name, time]) => `${name}: ${time.toFixed(2)} ms`);
  console.log(`m = ${`${m}`.padStart(4)}   ${shown.join("   ")}`);
  return sorted[0]![0];
}

const unknown = Deno.args.find((arg) => arg !== "--quick" && arg !== "--staged");
if (unknown !== undefined) {
  console.error(`Cannot use option "${unknown}": there are "--quick" and "--staged"`);
  Deno.exit(2);
}
const quick = Deno.args.includes("--quick");
using gpu = await openGpu();
console.log(`${gpu.facts.name} (${gpu.facts.class})`);
const staged = gpu.facts.class === "gpu" || Deno.args.includes("--staged");
if (staged) Object.assign(gpu.facts, { class: "gpu" });
const sizes = quick ? [1, 64] : numbersOfRows;
const best: [number, string][] = [];
for (const m of sizes) {
  const candidates = new Map(
    staged
      ? tiles.map((tile) => [JSON.stringify(tile), () => {
        tuning.staged = { few: { rows: 0, ...tile }, many: tile };
      }])
      : rowsOfTile.filter((rows) => rows < 2 * Math.max(m, 4)).map((rows) => [`${rows}`, () => {
        tuning.rows = () => rows;
      }]),
  );
  best.push([m, print(m, await timesOf(gpu, m, { candidates, quick }))]);
}
console.log(`\nfastest, by rows of output, for ${staged ? "staged" : "rows(m)"}:`);
for (const [m, name] of best) console.log(`  m = ${m}: ${name}`);
