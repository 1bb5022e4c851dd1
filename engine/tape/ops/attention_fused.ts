/**
 * Causal attention in one op, for layers where nobody reads or replaces scores or
 * pattern: neither is kept, and a backward pass computes them again.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily, variant } from "../../gpu/kernel.ts";
import { apart } from "../apart.ts";
import { type Context, detached, type Op, run } from "../op.ts";
import type { Packing } from "../packing.ts";
import { Tape } from "../tape.ts";
import type { Tensor } from "../tensor.ts";
import { qkLogits, qkProbs, weightedSum } from "./attention.ts";

const fusedKernel = kernelFamily({
  name: "attention_fused",
  wgsl: wgsl.attentionFused,
  bindings: { rows: "read", q: "read", k: "read", v: "read", out: "readWrite" },
  uniforms: { nRows: "u32", nHeads: "u32", dHead: "u32" },
})("attention_fused", ["rows", "q", "k", "v", "out"]);

type QueryKeyValue = [q: Tensor, k: Tensor, v: Tensor];

/** Longest sequence whose scores fit into the workgroup memory every adapter has. */
const keysAtMost = 2048;

/** The whole of it in one kernel. */
function fused({ gpu, arena }: Context, [q, k, v]: QueryKeyValue, packing: Packing): Tensor {
  const [nRows = 1, nHeads = 1, dHead = 1] = q.shape;
  const out = arena.tensor(q.shape, "attention");
  const keys = Math.max(2 ** Math.ceil(Math.log2(packing.longest)), 64);
  gpu.dispatch(variant(fusedKernel, { LANES: 64, MAX_KEYS: keys }), {
    bind: {
      rows: packing.rows.block,
      q: q.block,
      k: k.block,
      v: v.block,
      out: out.block,
    },
    uniforms: { nRows, nHeads, dHead },
    workgroups: [Math.min(nRows * nHeads, gpu.facts.maxWorkgroups)],
  });
  return out;
}

/** Scores, softmax and weighted sum one after another. */
function composed(cx: Context, [q, k, v]: QueryKeyValue, packing: Packing): Tensor {
  const pairs = { packing, causal: true };
  return weightedSum(cx, { probs: qkProbs(cx, qkLogits(cx, { q, k }, pairs), pairs), v }, pairs);
}

/** The composition again on a tape of its own, over fresh leaves. */
function replayed(cx: Context, inputs: QueryKeyValue, packing: Packing) {
  const tape = new Tape();
  const leaves = inputs.map((input) => input.view()) as QueryKeyValue;
  leaves.forEach((leaf) => tape.watch(leaf));
  return { tape, leaves, output: composed({ ...detached(cx), tape }, leaves, packing) };
}

const attentionOp: Op<QueryKeyValue, { packing: Packing; inOneKernel: boolean }> = {
  name: "attention",
  forward(cx, inputs, { packing, inOneKernel }) {
    if (inOneKernel) return fused(cx, inputs, packing);
    return cx.arena.tidy(() => composed(detached(cx), inputs, packing));
  },
  vjp(cx, { inputs, attributes: { packing } }, dy) {
    return apart(cx, (at) => {
      const { tape, leaves, output } = replayed(at, inputs, packing);
      const wanted = new Set(leaves);
      const gradients = tape.backward(at, { seeds: [[output, dy]], wanted });
      return leaves.map((leaf) => gradients.get(leaf)) as [Tensor, Tensor, Tensor];
    });
  },
  jvp(cx, { inputs, attributes: { packing } }, given) {
    const { tape, leaves, output } = replayed(cx, inputs, packing);
    const tangents = leaves.flatMap((leaf, i) => given[i] ? [[leaf, given[i]] as const] : []);
    return tape.forwardMode(detached(cx), { tangents, output })!;
  },
};

/**
 * Causal multi-head attention: queries, keys and values [N, H, D] to [N, H, D]. On a GPU
 * in one kernel; a CPU rasteriser is faster with one after another.
 */
export function attention(
  context: Context,
  { q, k, v }: { q: Tensor; k: Tensor; v: Tensor },
  packing: Packing,
): Tensor {
  const inOneKernel = context.gpu.facts.class === "gpu" && packing.longest <= keysAtMost;
  return run(context, attentionOp, { inputs: [q, k, v], attributes: { packing, inOneKernel } });
}
