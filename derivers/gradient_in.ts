/**
 * Derivatives of something computed again from the residual stream, apart from
 * the run.
 *
 * @module
 */

import { filled } from "../engine/tape/ops/map.ts";
import { sliced } from "../engine/tape/ops/slice.ts";
import { type Context, detached } from "../engine/tape/op.ts";
import { Tape } from "../engine/tape/tape.ts";
import { Arena, type Tensor } from "../engine/tape/tensor.ts";

/**
 * Runs `work` with memory of its own, all of which is given back but the result,
 * and with a tape.
 */
function apart(cx: Context, work: (at: Context, tape: Tape) => Tensor): Tensor {
  using arena = new Arena(cx.gpu);
  const tape = new Tape();
  const result = work({ gpu: cx.gpu, arena, tape }, tape);
  return sliced(cx, result, { start: 0, size: result.size }).view({ shape: result.shape });
}

/** What is computed from x. */
export type Of = (at: Context, x: Tensor) => Tensor;

/** The gradient at x of the single number that `f` computes, times `factor` [1] if given. */
export function gradientIn(cx: Context, x: Tensor, f: Of, factor?: Tensor): Tensor {
  return vjpIn(cx, x, { f, seed: (at, y) => factor ?? filled(at, y.shape, 1) });
}

/** The gradient at x of what `f` computes, weighted by a seed of the same shape. */
export function vjpIn(
  cx: Context,
  x: Tensor,
  { f, seed }: { f: Of; seed: (at: Context, y: Tensor) => Tensor },
): Tensor {
  return apart(cx, (at, tape) => {
    const leaf = x.view();
    tape.watch(leaf);
    const y = f(at, leaf);
    const plain = detached(at);
    const gradients = tape.backward(plain, {
      seeds: [[y, seed(plain, y)]],
      wanted: new Set([leaf]),
    });
    return gradients.get(leaf) ?? filled(plain, x.shape, 0);
  });
}

/** The directional derivative at x along `tangent` of what `f` computes. */
export function jvpIn(cx: Context, x: Tensor, f: Of, tangent: Tensor): Tensor {
  return apart(cx, (at, tape) => {
    const leaf = x.view();
    tape.watch(leaf);
    const y = f(at, leaf);
    const plain = detached(at);
    return tape.forwardMode(plain, { tangents: [[leaf, tangent]], output: y }) ??
      filled(plain, y.shape, 0);
  });
}
