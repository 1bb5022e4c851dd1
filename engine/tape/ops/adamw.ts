/**
 * AdamW: weights changed in place from their gradients. Nothing here is recorded.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily } from "../../gpu/kernel.ts";
import { expectShape, outputGrid, withLanes } from "../launch.ts";
import type { Context } from "../op.ts";
import { Arena, type Tensor } from "../tensor.ts";
import { filled } from "./map.ts";

const family = kernelFamily({
  name: "adamw",
  wgsl: wgsl.adamw,
  bindings: {
    grad: "read",
    clip: "read",
    partials: "readWrite",
    outClip: "readWrite",
    w: "readWrite",
    m: "readWrite",
    v: "readWrite",
  },
  uniforms: {
    size: "u32",
    first: "u32",
    maxNorm: "f32",
    rate: "f32",
    beta1: "f32",
    beta2: "f32",
    correction1: "f32",
    correction2: "f32",
    eps: "f32",
    decay: "f32",
  },
});
const gradSquaresKernel = family("grad_squares", ["grad", "partials"]);
const clipFactorKernel = family("clip_factor", ["partials", "outClip"]);
const adamwKernel = family("adamw", ["grad", "clip", "w", "m", "v"]);

/** How {@linkcode createAdamW} changes weights. */
export interface AdamWOptions {
  /** Decay of the mean of gradients, and of their squares. */
  readonly betas: readonly [number, number];
  /** Added to the root of the mean square; 1e-8, as in the paper, unless given. */
  readonly eps?: number;
  /** Shrinks a weight by `rate · weightDecay · w` a step; 0 unless given. */
  readonly weightDecay?: number;
  /** The weights that shrink; those of two dimensions unless given. */
  readonly decays?: (weight: Tensor) => boolean;
  /** Longest gradient, over all weights together; longer ones are scaled down to it. */
  readonly maxNorm?: number;
}

/** The optimiser of a set of weights. Dispose of it to give its memory back. */
export interface AdamW extends Disposable {
  /** Length of the last gradient before it was clipped, the second of two numbers: [2]. */
  readonly clip: Tensor;
  /**
   * Changes every weight in place.
   *
   * @param gradients Of each weight, of its shape.
   * @throws {TypeError} naming all weights without a gradient.
   */
  step(gradients: ReadonlyMap<Tensor, Tensor>, options: { rate: number }): void;
}

/** Most workgroups that sum the squares of one tensor. */
const squareGroups = 8;

/**
 * AdamW (Loshchilov & Hutter 2019, algorithm 2) for these weights: decay apart from
 * the gradient, means corrected for their start at zero. The norm of the gradient
 * never leaves the GPU, so a step waits for nothing.
 */
export function createAdamW(
  { gpu }: Context,
  weights: readonly Tensor[],
  options: AdamWOptions,
): AdamW {
  const { betas: [beta1, beta2], eps = 1e-8, weightDecay = 0, maxNorm = 0 } = options;
  const { decays = (weight: Tensor) => weight.shape.length === 2 } = options;
  const arena = new Arena(gpu);
  const context = { gpu, arena };
  const states = weights.map((weight) => ({
    weight,
    m: filled(context, weight.shape, 0),
    v: filled(context, weight.shape, 0),
    decay: decays(weight) ? weightDecay : 0,
    // Eight lanes a workgroup on a CPU rasteriser, each within llvmpipe's limit of loop turns.
    groups: Math.max(
      Math.min(Math.ceil(weight.size / 256), squareGroups),
      Math.ceil(weight.size / 400_000),
    ),
  }));
  const nPartials = states.reduce((sum, { groups }) => sum + groups, 0);
  const partials = arena.tensor([nPartials], "partial sums of squares");
  const clip = arena.tensor([2], "clip factor and norm of the gradient");
  let steps = 0;

  return {
    clip,
    step(gradients, { rate }) {
      const missing = weights.filter((weight) => !gradients.has(weight));
      if (missing.length > 0) {
        throw new TypeError(
          "Cannot change weights without their gradient: missing are " +
            missing.map(({ label }) => `"${label}"`).join(", "),
        );
      }
      steps++;
      const uniforms = {
        maxNorm,
        rate,
        beta1,
        beta2,
        correction1: 1 - beta1 ** steps,
        correction2: 1 - beta2 ** steps,
        eps,
        decay: 0,
        first: 0,
      };
      let first = 0;
      for (const { weight, groups } of states) {
        const grad = gradients.get(weight)!;
        expectShape("adamW", grad, { argument: "the gradient", shape: weight.shape });
        gpu.dispatch(withLanes(gpu, gradSquaresKernel), {
          bind: { grad: grad.block, partials: partials.block },
          uniforms: { ...uniforms, size: weight.size, first },
          workgroups: [groups],
        });
        first += groups;
      }
      gpu.dispatch(withLanes(gpu, clipFactorKernel), {
        bind: { partials: partials.block, outClip: clip.block },
        uniforms: { ...uniforms, size: nPartials },
        workgroups: [1],
      });
      for (const { weight, m, v, decay } of states) {
        gpu.dispatch(adamwKernel, {
          bind: {
            grad: gradients.get(weight)!.block,
            clip: clip.block,
            w: weight.block,
            m: m.block,
            v: v.block,
          },
          uniforms: { ...uniforms, size: weight.size, decay },
          workgroups: outputGrid(gpu, weight.size),
        });
      }
    },
    [Symbol.dispose]: () => arena[Symbol.dispose](),
  };
}
