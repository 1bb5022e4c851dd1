/**
 * Ops that move or replace parts of a tensor: slices, rows by index, constants
 * written over a region.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily } from "../../gpu/kernel.ts";
import { boundPart } from "../bound_part.ts";
import { outputGrid } from "../launch.ts";
import { type Context, type Op, run } from "../op.ts";
import { sizeOf, type Tensor } from "../tensor.ts";
import { filled } from "./map.ts";

const family = kernelFamily({
  name: "slice",
  wgsl: wgsl.slice,
  bindings: { x: "read", indices: "read", out: "readWrite" },
  uniforms: {
    n: "u32",
    start: "u32",
    count: "u32",
    d1: "u32",
    d2: "u32",
    first0: "u32",
    count0: "u32",
    first1: "u32",
    count1: "u32",
    first2: "u32",
    count2: "u32",
    value: "f32",
  },
});
const sliceKernel = family("slice", ["x", "out"]);
const copyIntoKernel = family("copy_into", ["x", "out"]);
const padKernel = family("pad", ["x", "out"]);
const gatherKernel = family("gather_rows", ["x", "indices", "out"]);
const scatterKernel = family("scatter_rows", ["x", "indices", "out"]);
const overwriteKernel = family("overwrite", ["x", "out"]);

const unused = {
  start: 0,
  count: 0,
  d1: 0,
  d2: 0,
  first0: 0,
  count0: 0,
  first1: 0,
  count1: 0,
  first2: 0,
  count2: 0,
  value: 0,
};

/** `size` elements of `x` from `start` on, flat. Not recorded. */
export function sliced(
  { gpu, arena }: Context,
  x: Tensor,
  { start, size }: { start: number; size: number },
): Tensor {
  const out = arena.tensor([size], `part of ${x.label}`);
  const part = boundPart(x, { start, size });
  gpu.dispatch(sliceKernel, {
    bind: { x: part.bound, out: out.block },
    uniforms: { ...unused, n: size, start: part.start },
    workgroups: outputGrid(gpu, size),
  });
  return out;
}

/** `x` from `start` on within `size` zeros, flat. Not recorded. */
export function padded(
  { gpu, arena }: Context,
  x: Tensor,
  { start, size }: { start: number; size: number },
): Tensor {
  if (size === x.size) return x;
  const out = arena.tensor([size], `padded ${x.label}`);
  gpu.dispatch(padKernel, {
    bind: { x: x.block, out: out.block },
    uniforms: { ...unused, n: size, start, count: x.size },
    workgroups: outputGrid(gpu, size),
  });
  return out;
}

/** Writes `x` into `out` from element `start` on. Not recorded. */
export function copyInto(
  { gpu }: Context,
  x: Tensor,
  { out, start }: { out: Tensor; start: number },
): void {
  gpu.dispatch(copyIntoKernel, {
    bind: { x: x.block, out: out.block },
    uniforms: { ...unused, n: x.size, start },
    workgroups: outputGrid(gpu, x.size),
  });
}

interface Part {
  /** First element. */
  readonly start: number;
  readonly shape: readonly number[];
}

const sliceOp: Op<[Tensor], Part> = {
  name: "slice",
  forward: (cx, [x], { start, shape }) =>
    sliced(cx, x, { start, size: sizeOf(shape) }).view({ shape }),
  // dx = dy where the slice was, zeros elsewhere
  vjp: (cx, { inputs: [x], attributes: { start } }, dy) => [
    padded(cx, dy, { start, size: x.size }).view({ shape: x.shape }),
  ],
  jvp: (cx, { attributes: { start, shape } }, [tx]) =>
    sliced(cx, tx!, { start, size: sizeOf(shape) }).view({ shape }),
};

/** A contiguous part of `x`, from element `start` on, as a tensor of the shape. */
export function slice(context: Context, x: Tensor, part: Part): Tensor {
  if (part.start === 0 && sizeOf(part.shape) === x.size) {
    return reshape(context, x, part.shape);
  }
  return run(context, sliceOp, { inputs: [x], attributes: part });
}

const reshapeOp: Op<[Tensor], { shape: readonly number[] }> = {
  name: "reshape",
  forward: (_, [x], { shape }) => x.view({ shape }),
  vjp: (_, { inputs: [x] }, dy) => [dy.view({ shape: x.shape })],
  jvp: (_, { attributes: { shape } }, [tx]) => tx!.view({ shape }),
};

/** The same elements with another shape. */
export function reshape(context: Context, x: Tensor, shape: readonly number[]): Tensor {
  return run(context, reshapeOp, { inputs: [x], attributes: { shape } });
}

interface RowIndices {
  readonly indices: Tensor;
}

const gatherOp: Op<[Tensor], RowIndices> = {
  name: "gatherRows",
  forward: (cx, [x], { indices }) => gathered(cx, x, indices),
  // dx[r] = the sum of dy[j] over the j that took row r
  vjp({ gpu, arena }, { inputs: [x], attributes: { indices } }, dy) {
    const out = arena.tensor(x.shape, "scattered rows");
    gpu.dispatch(scatterKernel, {
      bind: { x: dy.block, indices: indices.block, out: out.block },
      uniforms: { ...unused, n: x.size, count: x.width, first0: indices.size },
      workgroups: outputGrid(gpu, x.size, indices.size),
    });
    return [out];
  },
  jvp: (cx, { attributes: { indices } }, [tx]) => gathered(cx, tx!, indices),
};

function gathered({ gpu, arena }: Context, x: Tensor, indices: Tensor): Tensor {
  const out = arena.tensor([indices.size, x.width], `rows of ${x.label}`);
  gpu.dispatch(gatherKernel, {
    bind: { x: x.block, indices: indices.block, out: out.block },
    uniforms: { ...unused, n: out.size, count: x.width },
    workgroups: outputGrid(gpu, out.size),
  });
  return out;
}

/** The rows of x [N, C] with these indices (u32 [R]): [R, C]. */
export function gatherRows(context: Context, x: Tensor, indices: Tensor): Tensor {
  return run(context, gatherOp, { inputs: [x], attributes: { indices } });
}

/** A region of a block of a tensor, over which a constant is written. */
export interface Region {
  /** First element of the block within the tensor: where a sequence's part begins. */
  readonly start: number;
  /** Shape of the block, up to three dimensions. */
  readonly shape: readonly number[];
  /** First index in each dimension of the block. */
  readonly first: readonly number[];
  /** Number of indices in each dimension. */
  readonly count: readonly number[];
}

interface Overwriting {
  readonly region: Region;
  readonly value: number;
}

function overwritten({ gpu, arena }: Context, x: Tensor, { region, value }: Overwriting): Tensor {
  const { shape, first, count } = region;
  const out = arena.tensor(x.shape, x.label, x.dims);
  gpu.dispatch(overwriteKernel, {
    bind: { x: x.block, out: out.block },
    uniforms: {
      n: x.size,
      start: region.start,
      count: sizeOf(shape),
      d1: shape[1] ?? 1,
      d2: shape[2] ?? 1,
      first0: first[0] ?? 0,
      count0: count[0] ?? 1,
      first1: first[1] ?? 0,
      count1: count[1] ?? 1,
      first2: first[2] ?? 0,
      count2: count[2] ?? 1,
      value,
    },
    workgroups: outputGrid(gpu, x.size),
  });
  return out;
}

const overwriteOp: Op<[Tensor], Overwriting> = {
  name: "overwrite",
  forward: (cx, [x], attributes) => overwritten(cx, x, attributes),
  // What was overwritten has no influence: dx = dy, but 0 in the region
  vjp: (cx, { attributes: { region } }, dy) => [overwritten(cx, dy, { region, value: 0 })],
  jvp: (cx, { attributes: { region } }, [tx]) => overwritten(cx, tx!, { region, value: 0 }),
};

/** `x` with a constant written over a region; no gradient flows to what was there. */
export function overwrite(context: Context, x: Tensor, attributes: Overwriting): Tensor {
  return run(context, overwriteOp, { inputs: [x], attributes });
}

const pickOp: Op<[Tensor], { index: number }> = {
  name: "pick",
  forward: (cx, [x], { index }) => sliced(cx, x, { start: index, size: 1 }),
  // dx = dy at the index, zeros elsewhere
  vjp: (cx, { inputs: [x], attributes: { index } }, dy) => [
    (x.size === 1 ? dy : padded(cx, dy, { start: index, size: x.size })).view({ shape: x.shape }),
  ],
  jvp: (cx, { attributes: { index } }, [tx]) => sliced(cx, tx!, { start: index, size: 1 }),
};

/** The element at a flat index: [1]. */
export function pick(context: Context, x: Tensor, index: number): Tensor {
  return run(context, pickOp, { inputs: [x], attributes: { index } });
}

/** Zeros of a tensor's shape. Not recorded. */
export function zerosLike(context: Context, x: Tensor): Tensor {
  return filled(context, x.shape, 0);
}
