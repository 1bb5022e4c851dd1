/**
 * The TopK activation of sparse autoencoders.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily } from "../../gpu/kernel.ts";
import { rowLaunch } from "../launch.ts";
import { type Context, type Op, run } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { map } from "./map.ts";

const topKKernel = kernelFamily({
  name: "top_k",
  wgsl: wgsl.topK,
  bindings: { x: "read", out: "readWrite" },
  uniforms: { rows: "u32", width: "u32", k: "u32" },
})("top_k", ["x", "out"]);

const topKOp: Op<[Tensor], { k: number }> = {
  name: "topK",
  forward({ gpu, arena }, [x], { k }) {
    const out = arena.tensor(x.shape, "top k", x.dims);
    const { rows, width } = x;
    // The kernel looks at each entry once for each bit of a float, and thrice more.
    const { kernel, workgroups } = rowLaunch(gpu, topKKernel, { rows, width, passes: 35 });
    gpu.dispatch(kernel, {
      bind: { x: x.block, out: out.block },
      uniforms: { rows, width, k },
      workgroups,
    });
    return out;
  },
  // What is kept and positive passes: dx = dy where y > 0
  vjp: (cx, { output: y }, dy) => [map(cx, "reluVjp", { a: y, b: dy })],
  jvp: (cx, { output: y }, [tx]) => map(cx, "reluVjp", { a: y, b: tx! }),
};

/**
 * The k largest entries of each row (ties: the lower index first), ReLU of
 * them, zeros elsewhere (Gao et al. 2024, section 2.3).
 */
export function topK(context: Context, x: Tensor, k: number): Tensor {
  return run(context, topKOp, { inputs: [x], attributes: { k } });
}
