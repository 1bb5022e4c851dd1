/**
 * Causal attention in one op, for layers where nobody reads or replaces scores or
 * pattern: neither is kept, and a backward pass computes them again.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily, variant } from "../../gpu/kernel.ts";
import { apart } from "../apart.ts";
import { type Context, detached, type Op, type PerInput, run } from "../op.ts";
import type { Packing } from "../packing.ts";
import type { Tensor } from "../tensor.ts";
import {
  pairDot,
  qkLogits,
  qkProbs,
  softmaxJacobian,
  sumOverKeys,
  sumOverQueries,
  weightedSum,
} from "./attention.ts";
import { map } from "./map.ts";

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

/** Softmax of the scores, which are not kept. */
function pattern(cx: Context, { q, k }: { q: Tensor; k: Tensor }, packing: Packing): Tensor {
  const pairs = { packing, causal: true };
  return cx.arena.tidy(() => qkProbs(cx, qkLogits(cx, { q, k }, pairs), pairs));
}

/** Scores, softmax and weighted sum one after another. */
function composed(cx: Context, [q, k, v]: QueryKeyValue, packing: Packing): Tensor {
  const probs = pattern(cx, { q, k }, packing);
  return weightedSum(cx, { probs, v }, { packing, causal: true });
}

/** The sum of those there are. */
function sumOf(cx: Context, terms: readonly (Tensor | undefined)[]): Tensor | undefined {
  const present = terms.filter((term) => term !== undefined);
  return present.length === 0 ? undefined : present.reduce((a, b) => map(cx, "add", { a, b }));
}

const attentionOp: Op<QueryKeyValue, { packing: Packing; inOneKernel: boolean }> = {
  name: "attention",
  forward(cx, inputs, { packing, inOneKernel }) {
    if (inOneKernel) return fused(cx, inputs, packing);
    return cx.arena.tidy(() => composed(detached(cx), inputs, packing));
  },
  // With l = q·k, p = softmax(l), y = Σ_k p v:  dv = Σ_q p dy,  dp = dy·v,
  // dl = p (dp − Σ_k p dp),  dq = Σ_k dl k,  dk = Σ_q dl q
  vjp(cx, { inputs: [q, k, v], attributes: { packing } }, dy, [qWanted, kWanted, vWanted]) {
    const pairs = { packing, causal: true };
    return apart<PerInput<QueryKeyValue>>(cx, (at) => {
      const probs = pattern(at, { q, k }, packing);
      const dv = vWanted ? sumOverQueries(at, { weights: probs, x: dy, pairs }) : undefined;
      if (!qWanted && !kWanted) return [undefined, undefined, dv];
      const dl = at.arena.tidy(() => {
        const dp = pairDot(at, { a: dy, b: v }, pairs);
        return softmaxJacobian(at, { probs, t: dp, packing });
      });
      return [
        qWanted ? sumOverKeys(at, { weights: dl, x: k, pairs }) : undefined,
        kWanted ? sumOverQueries(at, { weights: dl, x: q, pairs }) : undefined,
        dv,
      ];
    });
  },
  // tl = tq·k + q·tk,  tp = p (tl − Σ_k p tl),  ty = Σ_k tp v + Σ_k p tv
  jvp(cx, { inputs: [q, k, v], attributes: { packing } }, [tq, tk, tv]) {
    const pairs = { packing, causal: true };
    const probs = pattern(cx, { q, k }, packing);
    const tl = sumOf(cx, [
      tq && pairDot(cx, { a: tq, b: k }, pairs),
      tk && pairDot(cx, { a: q, b: tk }, pairs),
    ]);
    const tp = tl && softmaxJacobian(cx, { probs, t: tl, packing });
    return sumOf(cx, [
      tp && sumOverKeys(cx, { weights: tp, x: v, pairs }),
      tv && sumOverKeys(cx, { weights: probs, x: tv, pairs }),
    ])!;
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
