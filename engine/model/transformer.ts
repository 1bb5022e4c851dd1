/**
 * The forward pass of the GPT-2 family (Radford et al. 2019), every slot visible.
 *
 * Positions of all sequences are packed into N rows; shapes are per batch.
 *
 * @module
 */

import { attention } from "../tape/ops/attention_fused.ts";
import { qkLogits, qkProbs, weightedSum } from "../tape/ops/attention.ts";
import { add, gelu } from "../tape/ops/elementwise.ts";
import { embed } from "../tape/ops/embed.ts";
import { type Affine, linear } from "../tape/ops/linear.ts";
import { normApply, normScale } from "../tape/ops/norm.ts";
import { gatherRows } from "../tape/ops/slice.ts";
import type { LocationName } from "../tape/locations.ts";
import type { Context } from "../tape/op.ts";
import type { Packing } from "../tape/packing.ts";
import type { Slots } from "../tape/slots.ts";
import { Tensor } from "../tape/tensor.ts";
import { type Autoencoder, splice } from "./autoencoder.ts";
import type { ModelConfig } from "./config.ts";
import type { Weights } from "./weights.ts";

/** What the forward pass needs of a model. */
export interface TransformerModel {
  readonly config: ModelConfig;
  readonly weights: Weights;
}

/** Weights of one layer. */
export type LayerWeights = Weights["layers"][number];

/** What one forward pass is run on. */
export interface Pass {
  /** (token, position) of each row: u32 [N, 2]. */
  readonly ids: Tensor;
  readonly packing: Packing;
  readonly slots: Slots;
  /** Autoencoders spliced in, if any. */
  readonly autoencoders?: readonly Autoencoder[];
  /**
   * Rows whose logits are computed (u32 [R]): all, whose logits have a slot, if absent;
   * none if `null`.
   */
  readonly logitRows?: Tensor | null | undefined;
}

/** Passes an activation through its slot; an affine map is computed only if somebody looks. */
export type Visit = <X extends Tensor | Affine>(name: LocationName, x: X) => Tensor | X;

/** Where a forward pass ends. */
export interface Output {
  /** The output of the final layer norm, which the unembedding reads: [N, d_model]. */
  readonly final: Tensor;
  /** Logits of each row: [N, V], or [R, V] with `logitRows`, if they were wanted. */
  readonly logits: Tensor | undefined;
}

/** Runs the model. */
export function transformer(cx: Context, model: TransformerModel, pass: Pass): Output {
  const { global, layers } = model.weights;
  const visit = visitor(cx, pass, null);
  let x = visit("resid.post_emb", embed(cx, global, pass.ids)); // [N, d_model]
  layers.forEach((w, layer) => {
    const before = x;
    x = cx.gpu.inLayer(
      layer,
      () => cx.arena.tidy(() => block(cx, before, { w, layer, model, pass })),
    );
    cx.arena.free(before);
  });
  const final = visit("resid.post_ln_f", layerNorm(cx, x, { ...finalNorm(model), visit }));
  const { logitRows } = pass;
  if (logitRows === null) return { final, logits: undefined };
  if (logitRows !== undefined) {
    return { final, logits: unembed(cx, gatherRows(cx, final, logitRows), model) };
  }
  return { final, logits: visit("logits", unembed(cx, final, model)) };
}

function block(
  cx: Context,
  x: Tensor,
  { w, layer, model, pass }: {
    w: LayerWeights;
    layer: number;
    model: TransformerModel;
    pass: Pass;
  },
): Tensor {
  const visit = visitor(cx, pass, layer);
  const { layerNormEpsilon: eps } = model.config;

  const ln1 = layerNorm(cx, x, {
    name: "attn_ln.scale",
    gain: w["ln1.gain"],
    bias: w["ln1.bias"],
    eps,
    visit,
  });
  const y1 = visit("resid.post_mlp_ln", ln1);
  const q = visit("attn.q", heads(cx, y1, { w, which: "q", model })); // [N, head, d_head]
  const k = visit("attn.k", heads(cx, y1, { w, which: "k", model })); // [N, head, d_head]
  const v = visit("attn.v", heads(cx, y1, { w, which: "v", model })); // [N, head, d_head]
  const vOut = visit("attn.v_out", attend(cx, { q, k, v }, { pass, layer, visit }));
  const deltaAttn = visit("resid.delta_attn", { x: vOut, w: w["attn.wO"], bias: w["attn.bO"] });
  const mid = visit("resid.post_attn", add(cx, x, deltaAttn)); // [N, d_model]

  const ln2 = layerNorm(cx, mid, {
    name: "mlp_ln.scale",
    gain: w["ln2.gain"],
    bias: w["ln2.bias"],
    eps,
    visit,
  });
  const y2 = visit("resid.post_attn_ln", ln2);
  const preAct = visit("mlp.pre_act", { x: y2, w: w["mlp.wIn"], bias: w["mlp.bIn"] });
  const postAct = visit("mlp.post_act", gelu(cx, preAct)); // [N, d_mlp]
  const deltaMlp = visit("resid.delta_mlp", { x: postAct, w: w["mlp.wOut"], bias: w["mlp.bOut"] });
  return visit("resid.post_mlp", add(cx, mid, deltaMlp));
}

/** Scores, pattern, weighted sum; in one kernel when nobody looks in between. */
function attend(
  cx: Context,
  { q, k, v }: { q: Tensor; k: Tensor; v: Tensor },
  { pass: { packing, slots }, layer, visit }: { pass: Pass; layer: number; visit: Visit },
): Tensor {
  if (!slots.inUse("attn.qk_logits", layer) && !slots.inUse("attn.qk_probs", layer)) {
    return attention(cx, { q, k, v }, packing);
  }
  // A score or a weight written over a key after the query counts like any other.
  const scoresReplaced = slots.replaces("attn.qk_logits", layer);
  const weightsReplaced = scoresReplaced || slots.replaces("attn.qk_probs", layer);
  const logits = visit("attn.qk_logits", qkLogits(cx, { q, k }, { packing, causal: true }));
  const probs = visit("attn.qk_probs", qkProbs(cx, logits, { packing, causal: !scoresReplaced }));
  return weightedSum(cx, { probs, v }, { packing, causal: !weightsReplaced });
}

/** Passes activations through the slots of one layer; an autoencoder may follow. */
function visitor(cx: Context, { slots, autoencoders = [] }: Pass, layer: number | null): Visit {
  const visit = (name: LocationName, x: Tensor): Tensor => {
    const y = slots.visit(cx, x, { names: [name], layer });
    const autoencoder = autoencoders.find((each) => each.input === name);
    const weights = layer === null ? undefined : autoencoder?.layers.get(layer);
    if (autoencoder === undefined || weights === undefined || layer === null) return y;
    const only = autoencoders.length === 1;
    return splice(cx, y, { autoencoder, weights, visit: slots, layer, only });
  };
  return (name, x) => {
    if (x instanceof Tensor) return visit(name, x);
    const isRead = slots.inUse(name, layer) || autoencoders.some(({ input }) => input === name);
    return isRead ? visit(name, linear(cx, x.x, x)) : x;
  };
}

/** What {@linkcode layerNorm} needs. */
export interface LayerNormOptions {
  /** Location of the scale. */
  readonly name: LocationName;
  readonly gain: Tensor;
  readonly bias: Tensor;
  readonly eps: number;
  readonly visit?: Visit;
  /** Whether the scale is a constant for gradients. */
  readonly detachScale?: boolean;
}

/** `(x − mean) / s · gain + bias`, the scale s passing its slot: [N, d_model]. */
export function layerNorm(cx: Context, x: Tensor, options: LayerNormOptions): Tensor {
  const { name, gain, bias, eps, visit = (_, s) => s, detachScale = false } = options;
  const scaleContext = detachScale ? { gpu: cx.gpu, arena: cx.arena } : cx;
  const scale = visit(name, normScale(scaleContext, x, eps)); // [N, 1]
  return normApply(cx, x, { scale, gain, bias });
}

/** What the final layer norm needs. */
export function finalNorm(
  { weights: { global }, config }: TransformerModel,
): Pick<LayerNormOptions, "name" | "gain" | "bias" | "eps"> {
  return {
    name: "resid.ln_f.scale",
    gain: global["lnF.gain"],
    bias: global["lnF.bias"],
    eps: config.layerNormEpsilon,
  };
}

/** Which third of the joint projection. */
const thirds = { q: 0, k: 1, v: 2 } as const;

/**
 * Queries, keys or values of all heads: [N, head, d_head]. Queries and keys each
 * carry d_head^(-1/4), so that their product is scaled by 1/√d_head.
 */
export function heads(
  cx: Context,
  y: Tensor,
  { w, which, model: { config } }: {
    w: LayerWeights;
    which: keyof typeof thirds;
    model: TransformerModel;
  },
): Tensor {
  const { dModel, nHeads, dHead } = config;
  return linear(cx, y, {
    w: w["attn.wQkv"],
    bias: w["attn.bQkv"],
    columns: { start: thirds[which] * dModel, count: dModel },
    alpha: which === "v" ? 1 : dHead ** -0.25,
    shape: [y.rows, nHeads, dHead],
  });
}

/** Logits from the output of the final layer norm: [R, d_model] to [R, V]. */
export function unembed(cx: Context, y: Tensor, { weights }: TransformerModel): Tensor {
  return linear(cx, y, { w: weights.global.wU, transposed: true });
}
