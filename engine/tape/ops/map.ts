/**
 * Functions of each element, or of corresponding elements, as kernels: the
 * building blocks of the ops' derivatives. Nothing here is recorded.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily, variant } from "../../gpu/kernel.ts";
import { outputGrid } from "../launch.ts";
import type { Context } from "../op.ts";
import { sizeOf, type Tensor } from "../tensor.ts";

const elementwise = kernelFamily({
  name: "elementwise",
  wgsl: wgsl.elementwise,
  bindings: { a: "read", b: "read", out: "readWrite" },
  uniforms: { n: "u32", columns: "u32", broadcast: "u32", alpha: "f32" },
});
const byOne = elementwise("elementwise", ["a", "b", "out"]);
const byFour = elementwise("elementwise_by_four", ["a", "b", "out"]);

/** The kernel's functions, in the order of its constants. */
const functions = [
  "add", // a + alpha b
  "mul", // alpha a b
  "div", // a / b, 0 where b is 0
  "scale", // alpha a
  "gelu",
  "geluVjp", // gelu'(a) b
  "relu",
  "reluVjp", // b where a > 0
  "abs",
  "nonzero",
  "fill", // alpha
] as const;
type Function = (typeof functions)[number];

const broadcasts = ["same", "perColumn", "perRow", "single"] as const;

/** How the second operand is spread over the first. */
export type Broadcast = (typeof broadcasts)[number];

/** Applies a function of the kernel. */
export function map(
  { gpu, arena }: Context,
  f: Function,
  { a, b = a, broadcast = "same", alpha = 1 }: {
    a: Tensor;
    b?: Tensor;
    broadcast?: Broadcast;
    alpha?: number;
  },
): Tensor {
  const out = arena.tensor(a.shape, f, a.dims);
  // One value for each row is not read four at a time.
  const four = a.size % 4 === 0 && a.width % 4 === 0 && broadcast !== "perRow";
  gpu.dispatch(variant(four ? byFour : byOne, { F: functions.indexOf(f) }), {
    bind: { a: a.block, b: b.block, out: out.block },
    uniforms: {
      n: a.size,
      columns: a.width,
      broadcast: broadcasts.indexOf(broadcast),
      alpha,
    },
    workgroups: outputGrid(gpu, four ? a.size / 4 : a.size),
  });
  return out;
}

/** A tensor of the same number everywhere. */
export function filled(
  context: Context,
  shape: readonly number[],
  value: number,
): Tensor {
  const { gpu, arena } = context;
  const out = arena.tensor(shape, `filled with ${value}`);
  const nothing = arena.tensor([1], "nothing");
  gpu.dispatch(variant(byOne, { F: functions.indexOf("fill") }), {
    bind: { a: nothing.block, b: nothing.block, out: out.block },
    uniforms: { n: sizeOf(shape), columns: 1, broadcast: 3, alpha: value },
    workgroups: outputGrid(gpu, sizeOf(shape)),
  });
  arena.free(nothing);
  return out;
}
