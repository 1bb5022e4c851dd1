/**
 * What many nodes write at once: activations times write vectors. Nothing here
 * is recorded.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily } from "../../gpu/kernel.ts";
import { outputGrid } from "../launch.ts";
import type { Context } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { matmul } from "./matmul.ts";

const family = kernelFamily({
  name: "writes",
  wgsl: wgsl.writes,
  bindings: { a: "read", x: "read", out: "readWrite" },
  uniforms: { n: "u32", nodes: "u32", width: "u32" },
});
const spreadProductKernel = family("spread_product", ["a", "x", "out"]);
const transposeKernel = family("transpose", ["x", "out"]);

/** `out[r,i,c] = a[r,i] · x[i,c]`: [R, N] and [N, C] to [R, N, C]. */
export function spreadProduct(
  { gpu, arena }: Context,
  { a, x }: { a: Tensor; x: Tensor },
): Tensor {
  const out = arena.tensor([a.size / x.rows, x.rows, x.width], "writes");
  gpu.dispatch(spreadProductKernel, {
    bind: { a: a.block, x: x.block, out: out.block },
    uniforms: { n: out.size, nodes: x.rows, width: x.width },
    workgroups: outputGrid(gpu, out.size),
  });
  return out;
}

/** The transpose of a matrix. */
export function transpose({ gpu, arena }: Context, x: Tensor): Tensor {
  const out = arena.tensor([x.width, x.rows], `transposed ${x.label}`);
  gpu.dispatch(transposeKernel, {
    bind: { x: x.block, out: out.block },
    uniforms: { n: x.size, nodes: x.rows, width: x.width },
    workgroups: outputGrid(gpu, x.size),
  });
  return out;
}

/**
 * What each head writes for each position: values [N, H, e] times the head's rows
 * of the output matrix [H·e, d], without bias: [N, H, d].
 */
export function headWrites(
  context: Context,
  { v, wO }: { v: Tensor; wO: Tensor },
): Tensor {
  const [n = 1, nHeads = 1, dHead = 1] = v.shape;
  const out = context.arena.tensor([n, nHeads, wO.width], "writes of heads");
  for (let head = 0; head < nHeads; head++) {
    matmul(context, {
      layout: "NN",
      m: n,
      n: wO.width,
      k: dHead,
      a: v,
      aOffset: head * dHead,
      lda: nHeads * dHead,
      b: wO,
      bOffset: head * dHead * wO.width,
      out,
      cOffset: head * wO.width,
      ldc: nHeads * wO.width,
    });
  }
  return out;
}
