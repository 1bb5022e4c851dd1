/**
 * Sums: over rows, over columns, over a middle dimension; inner products and
 * norms of rows.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily } from "../../gpu/kernel.ts";
import { expectShape, outputGrid, rowLaunch } from "../launch.ts";
import { type Context, type Op, run } from "../op.ts";
import { sizeOf, type Tensor } from "../tensor.ts";
import { map } from "./map.ts";

const family = kernelFamily({
  name: "reduce",
  wgsl: wgsl.reduce,
  bindings: { x: "read", y: "read", out: "readWrite" },
  uniforms: { outer: "u32", inner: "u32", width: "u32" },
});
const rowDotKernel = family("row_dot", ["x", "y", "out"]);
const rowNormKernel = family("row_norm", ["x", "y", "out"]);
const rowSumKernel = family("row_sum", ["x", "y", "out"]);
const middleSumKernel = family("middle_sum", ["x", "out"]);

function reduceRows(
  { gpu, arena }: Context,
  reduction: typeof rowDotKernel,
  { x, y = x }: { x: Tensor; y?: Tensor },
): Tensor {
  const out = arena.tensor([...x.shape.slice(0, -1), 1], reduction.label);
  const { rows, width } = x;
  const { kernel, workgroups } = rowLaunch(gpu, reduction, { rows, width, passes: 1 });
  gpu.dispatch(kernel, {
    bind: { x: x.block, y: y.block, out: out.block },
    uniforms: { outer: rows, inner: width, width: 1 },
    workgroups,
  });
  return out;
}

/** The sum of each row: [.., C] to [.., 1]; records nothing. */
export function sumRows(context: Context, x: Tensor): Tensor {
  return reduceRows(context, rowSumKernel, { x });
}

/** The sum over all rows: [.., C] to [C]; records nothing. */
export function sumColumns(context: Context, x: Tensor): Tensor {
  return sumTo(context, x, [x.width]);
}

/** The sum over all but the last dimensions, of the shape given; records nothing. */
export function sumTo(context: Context, x: Tensor, shape: readonly number[]): Tensor {
  const width = sizeOf(shape);
  return middleSums(context, x, { outer: 1, inner: x.size / width, width, shape });
}

function middleSums(
  { gpu, arena }: Context,
  x: Tensor,
  { outer, inner, width, shape }: {
    outer: number;
    inner: number;
    width: number;
    shape: readonly number[];
  },
): Tensor {
  const out = arena.tensor(shape, "sum");
  gpu.dispatch(middleSumKernel, {
    bind: { x: x.block, out: out.block },
    uniforms: { outer, inner, width },
    workgroups: outputGrid(gpu, outer * width, inner),
  });
  return out;
}

const rowDotOp: Op<[Tensor, Tensor], null> = {
  name: "rowDot",
  forward: (cx, [x, y]) => reduceRows(cx, rowDotKernel, { x, y }),
  // s = <x, y>:  dx = ds y,  dy = ds x
  vjp: (cx, { inputs: [x, y] }, ds, [xWanted, yWanted]) => [
    xWanted ? map(cx, "mul", { a: y, b: ds, broadcast: "perRow" }) : undefined,
    yWanted ? map(cx, "mul", { a: x, b: ds, broadcast: "perRow" }) : undefined,
  ],
  jvp: (cx, { inputs: [x, y] }, [tx, ty]) => {
    const fromX = tx && reduceRows(cx, rowDotKernel, { x: tx, y });
    const fromY = ty && reduceRows(cx, rowDotKernel, { x, y: ty });
    return fromX && fromY ? map(cx, "add", { a: fromX, b: fromY }) : (fromX ?? fromY)!;
  },
};

/** The inner product of corresponding rows: two [.., C] to [.., 1]. */
export function rowDot(context: Context, x: Tensor, y: Tensor): Tensor {
  expectShape("rowDot", y, { argument: "y", shape: x.shape });
  return run(context, rowDotOp, { inputs: [x, y], attributes: null });
}

const rowNormOp: Op<[Tensor], null> = {
  name: "rowNorm",
  forward: (cx, [x]) => reduceRows(cx, rowNormKernel, { x }),
  // r = |x|:  dx = dr x / r, 0 where r is 0
  vjp: (cx, { inputs: [x], output }, dr) => [
    map(cx, "mul", { a: x, b: map(cx, "div", { a: dr, b: output }), broadcast: "perRow" }),
  ],
  jvp: (cx, { inputs: [x], output }, [tx]) =>
    map(cx, "div", { a: reduceRows(cx, rowDotKernel, { x, y: tx! }), b: output }),
};

/** The 2-norm of each row: [.., C] to [.., 1]. */
export function rowNorm(context: Context, x: Tensor): Tensor {
  return run(context, rowNormOp, { inputs: [x], attributes: null });
}

/** The sum over the middle one of three dimensions: [A, B, C] to [A, C]; records nothing. */
export function sumMiddle(context: Context, x: Tensor): Tensor {
  const [outer = 1, inner = 1, width = 1] = x.shape;
  return middleSums(context, x, { outer, inner, width, shape: [outer, width] });
}
