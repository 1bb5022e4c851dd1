/**
 * Activations of one layer computed again from the residual stream just before
 * it, so that a layer norm scale, queries or keys can be held constant. Contains
 * neither hooks nor autoencoders of its own.
 *
 * @module
 */

import { qkLogits, qkProbs, weightedSum } from "../tape/ops/attention.ts";
import { gelu } from "../tape/ops/elementwise.ts";
import { linear } from "../tape/ops/linear.ts";
import { type Context, detached } from "../tape/op.ts";
import type { Packing } from "../tape/packing.ts";
import type { Tensor } from "../tape/tensor.ts";
import {
  activate,
  type Autoencoder,
  type AutoencoderWeights,
  latentPreActivation,
} from "./autoencoder.ts";
import { heads, layerNorm, type TransformerModel } from "./transformer.ts";

/** An activation before and after its nonlinearity. */
export interface PreAndPost {
  readonly pre: Tensor;
  readonly post: Tensor;
}

/** Where to recompute. */
export interface Recomputation {
  readonly model: TransformerModel;
  readonly layer: number;
  readonly packing: Packing;
  /** Whether the layer norm scale is a constant for gradients and tangents. */
  readonly detachScale: boolean;
}

/** Which of a head's inputs depend on the residual; the others are constants. */
export type Through = "Q" | "K" | "QK";

function weightsOf({ model, layer }: Recomputation) {
  return model.weights.layers[layer]!;
}

/** Neurons from the residual after attention: [N, d_model] to [N, d_mlp]. */
export function neurons(cx: Context, x: Tensor, where: Recomputation): PreAndPost {
  const w = weightsOf(where);
  const y = layerNorm(cx, x, {
    name: "mlp_ln.scale",
    gain: w["ln2.gain"],
    bias: w["ln2.bias"],
    eps: where.model.config.layerNormEpsilon,
    detachScale: where.detachScale,
  });
  const pre = linear(cx, y, { w: w["mlp.wIn"], bias: w["mlp.bIn"] });
  return { pre, post: gelu(cx, pre) };
}

function attentionInput(cx: Context, x: Tensor, where: Recomputation): Tensor {
  const w = weightsOf(where);
  return layerNorm(cx, x, {
    name: "attn_ln.scale",
    gain: w["ln1.gain"],
    bias: w["ln1.bias"],
    eps: where.model.config.layerNormEpsilon,
    detachScale: where.detachScale,
  });
}

/** Scores and pattern from the residual before attention: [N, d_model] to [P, H]. */
export function pattern(
  cx: Context,
  x: Tensor,
  { through, ...where }: Recomputation & { through: Through },
): PreAndPost {
  const { model, packing } = where;
  const w = weightsOf(where);
  const y = attentionInput(cx, x, where);
  const constant = detached(cx);
  const q = heads(through === "K" ? constant : cx, y, { w, which: "q", model });
  const k = heads(through === "Q" ? constant : cx, y, { w, which: "k", model });
  const pairs = { packing, causal: true };
  const pre = qkLogits(cx, { q, k }, pairs);
  return { pre, post: qkProbs(cx, pre, pairs) };
}

/** Values from the residual before attention: [N, d_model] to [N, H, d_head]. */
export function values(cx: Context, x: Tensor, where: Recomputation): Tensor {
  const y = attentionInput(cx, x, where);
  return heads(cx, y, { w: weightsOf(where), which: "v", model: where.model });
}

/** What attention writes, bias included, gradient through queries, keys and values. */
export function attentionWrite(cx: Context, x: Tensor, where: Recomputation): Tensor {
  const { model, packing } = where;
  const w = weightsOf(where);
  const y = attentionInput(cx, x, where);
  const pairs = { packing, causal: true };
  const q = heads(cx, y, { w, which: "q", model });
  const k = heads(cx, y, { w, which: "k", model });
  const v = heads(cx, y, { w, which: "v", model });
  const probs = qkProbs(cx, qkLogits(cx, { q, k }, pairs), pairs);
  const vOut = weightedSum(cx, { probs, v }, pairs);
  return linear(cx, vOut, { w: w["attn.wO"], bias: w["attn.bO"] });
}

/** What an autoencoder reads, from the residual before it. */
export function autoencoderInput(
  cx: Context,
  x: Tensor,
  { autoencoder, ...where }: Recomputation & { autoencoder: Autoencoder },
): Tensor {
  switch (autoencoder.site) {
    case "mlp_post_act":
      return neurons(cx, x, where).post;
    case "resid_delta_mlp": {
      const w = weightsOf(where);
      return linear(cx, neurons(cx, x, where).post, { w: w["mlp.wOut"], bias: w["mlp.bOut"] });
    }
    case "resid_delta_attn":
      return attentionWrite(cx, x, where);
  }
}

/** Latents from the residual before their autoencoder's input: [N, d_model] to [N, M]. */
export function latents(
  cx: Context,
  x: Tensor,
  where: Recomputation & { autoencoder: Autoencoder },
): PreAndPost {
  const weights = where.autoencoder.layers.get(where.layer) as AutoencoderWeights;
  const pre = latentPreActivation(cx, autoencoderInput(cx, x, where), weights);
  return { pre, post: activate(cx, pre, where.autoencoder.activation) };
}
