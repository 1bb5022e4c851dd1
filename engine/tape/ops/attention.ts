/**
 * Causal multi-head attention over packed sequences, in three ops whose results
 * are activations: scores, pattern, weighted sum of values.
 *
 * Tensors over pairs are [P, H], the (query, key) pairs of the packing; those
 * over positions [N, H, D].
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily } from "../../gpu/kernel.ts";
import { expectShape, outputGrid } from "../launch.ts";
import { type Context, type Op, run } from "../op.ts";
import type { Packing } from "../packing.ts";
import type { Tensor } from "../tensor.ts";
import { map } from "./map.ts";

const family = kernelFamily({
  name: "attention",
  wgsl: wgsl.attention,
  bindings: { rows: "read", a: "read", b: "read", out: "readWrite", tiles: "read" },
  uniforms: {
    nRows: "u32",
    nHeads: "u32",
    dHead: "u32",
    causal: "u32",
    masked: "f32",
    longest: "u32",
    nTiles: "u32",
  },
});
const pairDotKernel = family("pair_dot", ["rows", "a", "b", "out"]);
const softmaxKernel = family("softmax_keys", ["rows", "a", "out"]);
const softmaxJacobianKernel = family("softmax_keys_jacobian", ["rows", "a", "b", "out"]);
const pairDotTilesKernel = family("pair_dot_tiles", ["rows", "a", "b", "out", "tiles"]);
const sums = {
  overKeys: {
    byOne: family("sum_over_keys", ["rows", "a", "b", "out"]),
    byTile: family("sum_over_keys_tiles", ["rows", "a", "b", "out", "tiles"]),
  },
  overQueries: {
    byOne: family("sum_over_queries", ["rows", "a", "b", "out"]),
    byTile: family("sum_over_queries_tiles", ["rows", "a", "b", "out", "tiles"]),
  },
} as const;

/** Which pairs count. */
export interface Pairs {
  readonly packing: Packing;
  /** Whether a key after the query counts as absent. */
  readonly causal: boolean;
}

function uniformsOf({ packing, causal }: Pairs, { nHeads, dHead = 1, masked = 0 }: {
  nHeads: number;
  dHead?: number;
  masked?: number;
}) {
  const { nRows, longest, tiles } = packing;
  return { nRows, nHeads, dHead, causal: Number(causal), masked, longest, nTiles: tiles.rows };
}

/**
 * `out[q,k,h] = Σ_c a[q,h,c] b[k,h,c]`; `masked` where the key is absent. Not
 * recorded.
 */
export function pairDot(
  { gpu, arena }: Context,
  { a, b }: { a: Tensor; b: Tensor },
  { masked = 0, ...pairs }: Pairs & { masked?: number },
): Tensor {
  const { nRows, nPairs, longest, rows, tiles } = pairs.packing;
  const [, nHeads = 1, dHead = 1] = a.shape;
  const out = arena.tensor([nPairs, nHeads], "pair dot");
  const bind = { rows: rows.block, a: a.block, b: b.block, out: out.block };
  const uniforms = uniformsOf(pairs, { nHeads, dHead, masked });
  if (dHead % 4 === 0) {
    gpu.dispatch(pairDotTilesKernel, {
      bind: { ...bind, tiles: tiles.block },
      uniforms,
      workgroups: outputGrid(gpu, tiles.rows * Math.ceil(longest / 4) * nHeads, dHead / 4 + 16),
    });
  } else {
    gpu.dispatch(pairDotKernel, {
      bind,
      uniforms,
      workgroups: outputGrid(gpu, nRows * longest * nHeads, dHead),
    });
  }
  return out;
}

function pairSum(
  { gpu, arena }: Context,
  { byOne, byTile }: (typeof sums)[keyof typeof sums],
  { weights, x, pairs }: { weights: Tensor; x: Tensor; pairs: Pairs },
): Tensor {
  const { rows, tiles, longest } = pairs.packing;
  const [, nHeads = 1, dHead = 1] = x.shape;
  const out = arena.tensor(x.shape, "weighted sum");
  const bind = { rows: rows.block, a: weights.block, b: x.block, out: out.block };
  const uniforms = uniformsOf(pairs, { nHeads, dHead });
  if (dHead % 16 === 0) {
    gpu.dispatch(byTile, {
      bind: { ...bind, tiles: tiles.block },
      uniforms,
      workgroups: outputGrid(gpu, tiles.rows * nHeads * dHead / 16, longest + 16),
    });
  } else {
    gpu.dispatch(byOne, { bind, uniforms, workgroups: outputGrid(gpu, x.size, longest) });
  }
  return out;
}

/** `out[q,h,c] = Σ_k weights[q,k,h] x[k,h,c]`. Not recorded. */
export function sumOverKeys(
  context: Context,
  operands: { weights: Tensor; x: Tensor; pairs: Pairs },
): Tensor {
  return pairSum(context, sums.overKeys, operands);
}

/** `out[k,h,c] = Σ_q weights[q,k,h] x[q,h,c]`. Not recorded. */
export function sumOverQueries(
  context: Context,
  operands: { weights: Tensor; x: Tensor; pairs: Pairs },
): Tensor {
  return pairSum(context, sums.overQueries, operands);
}

const qkLogitsOp: Op<[Tensor, Tensor], Pairs> = {
  name: "qkLogits",
  forward: (cx, [q, k], pairs) =>
    pairDot(cx, { a: q, b: k }, { ...pairs, masked: pairs.causal ? -Infinity : 0 }),
  // dq[q] = Σ_k dl[q,k] k[k],  dk[k] = Σ_q dl[q,k] q[q], over the pairs that count
  vjp: (cx, { inputs: [q, k], attributes: pairs }, dl, [qWanted, kWanted]) => [
    qWanted ? sumOverKeys(cx, { weights: dl, x: k, pairs }) : undefined,
    kWanted ? sumOverQueries(cx, { weights: dl, x: q, pairs }) : undefined,
  ],
  jvp: (cx, { inputs: [q, k], attributes: pairs }, [tq, tk]) => {
    const fromQ = tq && pairDot(cx, { a: tq, b: k }, pairs);
    const fromK = tk && pairDot(cx, { a: q, b: tk }, pairs);
    return fromQ && fromK ? map(cx, "add", { a: fromQ, b: fromK }) : (fromQ ?? fromK)!;
  },
};

/**
 * Attention scores `q·k`, −∞ for keys after the query: [N, H, D] twice to [P, H].
 * With `causal: false`, the inner products of all pairs.
 */
export function qkLogits(
  context: Context,
  { q, k }: { q: Tensor; k: Tensor },
  pairs: Pairs,
): Tensor {
  expectShape("qkLogits", k, { argument: "k", shape: q.shape });
  return run(context, qkLogitsOp, { inputs: [q, k], attributes: pairs });
}

/** `p (t − Σ_k p t)`: the derivative of {@linkcode qkProbs}, in both modes. Not recorded. */
export function softmaxJacobian(
  { gpu, arena }: Context,
  { probs, t, packing }: { probs: Tensor; t: Tensor; packing: Packing },
): Tensor {
  const out = arena.tensor(probs.shape, "gradient of the attention scores");
  gpu.dispatch(softmaxJacobianKernel, {
    bind: { rows: packing.rows.block, a: probs.block, b: t.block, out: out.block },
    uniforms: uniformsOf({ packing, causal: false }, { nHeads: probs.width }),
    workgroups: outputGrid(gpu, packing.nRows * probs.width, 2 * packing.longest),
  });
  return out;
}

const qkProbsOp: Op<[Tensor], Pairs> = {
  name: "qkProbs",
  forward({ gpu, arena }, [logits], pairs) {
    const out = arena.tensor(logits.shape, "attention pattern");
    gpu.dispatch(softmaxKernel, {
      bind: { rows: pairs.packing.rows.block, a: logits.block, out: out.block },
      uniforms: uniformsOf(pairs, { nHeads: logits.width }),
      workgroups: outputGrid(gpu, pairs.packing.nRows * logits.width, 3 * pairs.packing.longest),
    });
    return out;
  },
  // dl = p (dp - Σ_k p dp); the Jacobian is symmetric
  vjp: (cx, { attributes: { packing }, output }, dp) => [
    softmaxJacobian(cx, { probs: output, t: dp, packing }),
  ],
  jvp: (cx, { attributes: { packing }, output }, [tl]) =>
    softmaxJacobian(cx, { probs: output, t: tl!, packing }),
};

/**
 * Softmax of the scores over the keys, with the row maximum taken off: [P, H].
 * Causal pairs skip the keys after the query; otherwise every key's score counts.
 */
export function qkProbs(context: Context, logits: Tensor, pairs: Pairs): Tensor {
  return run(context, qkProbsOp, { inputs: [logits], attributes: pairs });
}

const weightedSumOp: Op<[Tensor, Tensor], Pairs> = {
  name: "weightedSum",
  forward: (cx, [weights, x], pairs) => sumOverKeys(cx, { weights, x, pairs }),
  // dp[q,k] = dy[q]·v[k] at every pair,  dv[k] = Σ_q p[q,k] dy[q]
  vjp: (cx, { inputs: [weights, x], attributes: pairs }, dy, [weightsWanted, xWanted]) => [
    weightsWanted
      ? pairDot(cx, { a: dy, b: x }, { packing: pairs.packing, causal: false })
      : undefined,
    xWanted ? sumOverQueries(cx, { weights, x: dy, pairs }) : undefined,
  ],
  jvp: (cx, { inputs: [weights, x], attributes: pairs }, [tWeights, tx]) => {
    const fromWeights = tWeights && sumOverKeys(cx, { weights: tWeights, x, pairs });
    const fromX = tx && sumOverKeys(cx, { weights, x: tx, pairs });
    return fromWeights && fromX
      ? map(cx, "add", { a: fromWeights, b: fromX })
      : (fromWeights ?? fromX)!;
  },
};

/**
 * `Σ_k probs[q,k,h] v[k,h,c]`: [P, H] and [N, H, D] to [N, H, D]. Causal pairs skip
 * keys after the query, whose weight is 0 unless somebody overwrote it.
 */
export function weightedSum(
  context: Context,
  { probs, v }: { probs: Tensor; v: Tensor },
  pairs: Pairs,
): Tensor {
  return run(context, weightedSumOp, { inputs: [probs, v], attributes: pairs });
}
