/**
 * Derivatives of something computed again from the residual stream, apart from
 * the run.
 *
 * @module
 */

import { filled } from "../engine/tape/ops/map.ts";
import { apart } from "../engine/tape/apart.ts";
import type { Context } from "../engine/tape/op.ts";
import { Tape } from "../engine/tape/tape.ts";
import type { Tensor } from "../engine/tape/tensor.ts";

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
  const [result] = apart(cx, (plain) => {
    const tape = new Tape();
    const at = { ...plain, tape };
    const leaf = x.view();
    tape.watch(leaf);
    const y = f(at, leaf);
    const gradients = tape.backward(plain, {
      seeds: [[y, seed(plain, y)]],
      wanted: new Set([leaf]),
    });
    return [gradients.get(leaf) ?? filled(plain, x.shape, 0)] as const;
  });
  return result;
}

/** The directional derivative at x along `tangent` of what `f` computes. */
export function jvpIn(cx: Context, x: Tensor, f: Of, tangent: Tensor): Tensor {
  const [result] = apart(cx, (plain) => {
    const tape = new Tape();
    const at = { ...plain, tape };
    const leaf = x.view();
    tape.watch(leaf);
    const y = f(at, leaf);
    const found = tape.forwardMode(plain, { tangents: [[leaf, tangent]], output: y });
    return [found ?? filled(plain, y.shape, 0)] as const;
  });
  return result;
}
