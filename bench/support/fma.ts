/**
 * What matrix products are measured against: a kernel that only multiplies and adds.
 *
 * @module
 */

import type { Gpu } from "../../engine/gpu/gpu.ts";
import { kernelFamily, variant } from "../../engine/gpu/kernel.ts";
import { Arena } from "../../engine/tape/tensor.ts";
import wgsl from "./fma.wgsl" with { type: "text" };

const kernel = kernelFamily({
  name: "fma",
  wgsl: [wgsl],
  bindings: { out: "readWrite" },
  uniforms: { turns: "u32", factor: "f32", summand: "f32" },
})("fma_chains", ["out"]);

const flopPerTurn = 2 * 8 * 16;

/** Launches of the kernel, and what one of them computes. */
export interface FmaWork extends Disposable {
  /** Records one launch. */
  run(): void;
  readonly flop: number;
}

/**
 * The kernel, ready to be launched; its result is checked.
 *
 * @param flop About how many operations one launch does.
 */
export async function fmaWork(
  gpu: Gpu,
  { flop }: { flop?: number | undefined } = {},
): Promise<FmaWork> {
  const arena = new Arena(gpu);
  // As wide as the SIMD vectors of a CPU, several for each core; or enough to fill a GPU.
  const [group, groups] = gpu.facts.class === "cpu" ? [8, 64] : [256, 4096];
  const flopOfTurn = group * groups * flopPerTurn;
  const turns = flop === undefined ? 1000 : Math.max(Math.round(flop / flopOfTurn), 1);
  const out = arena.tensor([group * groups], "chains");
  const run = () =>
    gpu.dispatch(variant(kernel, { GROUP: group }), {
      bind: { out: out.block },
      uniforms: { turns, factor: 0.5, summand: 1 },
      workgroups: [groups],
    });
  run();
  const values = await out.read();
  // x -> x / 2 + 1 ends near 2, whatever it begins with: within 72 / 2^16 after one turn.
  const wrong = values.find((value) => !(Math.abs(value - 16) < 0.02));
  if (wrong !== undefined) {
    throw new Error(`Cannot measure the adapter: chains must end at 16 together, some at ${wrong}`);
  }
  return {
    run,
    flop: turns * flopOfTurn,
    [Symbol.dispose]: () => arena[Symbol.dispose](),
  };
}
