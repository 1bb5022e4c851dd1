/**
 * Token and position embeddings.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily } from "../../gpu/kernel.ts";
import { outputGrid, rowsPerBinding } from "../launch.ts";
import { type Context, type Op, run } from "../op.ts";
import type { Tensor } from "../tensor.ts";

const family = kernelFamily({
  name: "embed",
  wgsl: wgsl.embed,
  bindings: { ids: "read", wte: "read", wpe: "read", out: "readWrite" },
  uniforms: { nRows: "u32", width: "u32", first: "u32", count: "u32", which: "u32" },
});
const embedKernel = family("embed", ["ids", "wte", "wpe", "out"]);
const embedVjpKernel = family("embed_vjp", ["ids", "wte", "out"]);

interface Ids {
  /** (token, position) of each row: u32 [N, 2]. */
  readonly ids: Tensor;
}

const embedOp: Op<[Tensor, Tensor], Ids> = {
  name: "embed",
  forward({ gpu, arena }, [wE, wPos], { ids }) {
    const nRows = ids.rows;
    const { width } = wE;
    const out = arena.tensor([nRows, width], "embedding");
    const step = rowsPerBinding(gpu, wE);
    for (let first = 0; first < wE.rows; first += step) {
      const count = Math.min(step, wE.rows - first);
      gpu.dispatch(embedKernel, {
        bind: {
          ids: ids.block,
          wte: count === wE.rows ? wE.block : {
            block: wE.block,
            byteOffset: 4 * first * width,
            bytes: 4 * count * width,
          },
          wpe: wPos.block,
          out: out.block,
        },
        uniforms: { nRows, width, first, count, which: 0 },
        workgroups: outputGrid(gpu, out.size),
      });
    }
    return out;
  },
  // dwE[v] = the sum of dy over the rows of token v; dwPos likewise
  vjp({ gpu, arena }, { inputs: [wE, wPos], attributes: { ids } }, dy, wanted) {
    const gradient = (table: Tensor, which: number) => {
      const out = arena.tensor(table.shape, `gradient of ${table.label}`);
      gpu.dispatch(embedVjpKernel, {
        bind: { ids: ids.block, wte: dy.block, out: out.block },
        uniforms: { nRows: ids.rows, width: table.width, first: 0, count: table.rows, which },
        workgroups: outputGrid(gpu, table.size, ids.rows),
      });
      return out;
    };
    return [
      wanted[0] ? gradient(wE, 0) : undefined,
      wanted[1] ? gradient(wPos, 1) : undefined,
    ];
  },
  // Linear in both tables
  jvp(cx, { inputs: [wE, wPos], attributes }, [tE, tPos]) {
    if (tE === undefined || tPos === undefined) {
      throw new Error(
        `Internal error: embed() needs a tangent of both tables: ${wE.label}, ${wPos.label}`,
      );
    }
    return embedOp.forward(cx, [tE, tPos], attributes);
  },
};

/** `wE[token] + wPos[position]` for each row: tables [V, C] and [positions, C] to [N, C]. */
export function embed(
  context: Context,
  { wE, wPos }: { wE: Tensor; wPos: Tensor },
  ids: Tensor,
): Tensor {
  return run(context, embedOp, { inputs: [wE, wPos], attributes: { ids } });
}
