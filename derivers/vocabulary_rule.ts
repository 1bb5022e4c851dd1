/**
 * How far each token of the vocabulary, as the input of an MLP, activates one unit.
 *
 * @module
 */

import { latentPreActivation } from "../engine/model/autoencoder.ts";
import { layerNorm } from "../engine/model/transformer.ts";
import { gelu } from "../engine/tape/ops/elementwise.ts";
import { embed } from "../engine/tape/ops/embed.ts";
import { linear } from "../engine/tape/ops/linear.ts";
import { filled } from "../engine/tape/ops/map.ts";
import { copyInto } from "../engine/tape/ops/slice.ts";
import { spreadProduct } from "../engine/tape/ops/writes.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import { checkFakeGrad, type ResolvedUnit } from "./check_nodes.ts";
import { fwd } from "./inputs.ts";
import type { Rule } from "./rule.ts";
import type { Site } from "./site.ts";

/** Tokens of the vocabulary in one go: bounds the memory it takes. */
const tokensAtOnce = 4096;

/** Pre-activations of one unit for a range of tokens, without position embedding: [count, 1]. */
function preActivations(
  { cx, run, facts }: Site,
  { layer, index, autoencoder }: ResolvedUnit,
  { first, count }: { first: number; count: number },
): Tensor {
  const { global, layers } = run.model.weights;
  const w = layers[layer]!;
  const ids = Uint32Array.from({ length: 2 * count }, (_, i) => i % 2 ? 0 : first + i / 2);
  const noPosition = filled(cx, [1, facts.dModel], 0);
  const tokens = embed(
    cx,
    { wE: global.wE, wPos: noPosition },
    cx.arena.upload(ids, [count, 2], "tokens"),
  );
  const y = layerNorm(cx, tokens, {
    name: "mlp_ln.scale",
    gain: w["ln2.gain"],
    bias: w["ln2.bias"],
    eps: run.model.config.layerNormEpsilon,
  });
  const unit = { start: index, count: 1 };
  if (autoencoder === null) {
    return linear(cx, y, { w: w["mlp.wIn"], bias: w["mlp.bIn"], columns: unit });
  }
  const acts = gelu(cx, linear(cx, y, { w: w["mlp.wIn"], bias: w["mlp.bIn"] }));
  const x = autoencoder.dst === "mlp_post_act"
    ? acts
    : linear(cx, acts, { w: w["mlp.wOut"], bias: w["mlp.bOut"] });
  return latentPreActivation(cx, x, run.autoencoder(autoencoder).layers.get(layer)!, unit);
}

/**
 * The pre-activation of the activationIndexForFakeGrad's unit with a token's embedding
 * in the place of the residual stream, the same at every position: [T, V].
 */
export const vocabularyToUnit: Rule = {
  inputs: [fwd("resid.post_emb")],
  value(site) {
    const { cx, dst, config, facts } = site;
    const unit = checkFakeGrad(dst, config, facts);
    const all = cx.arena.tensor([facts.dVocab], "pre-activations");
    for (let first = 0; first < facts.dVocab; first += tokensAtOnce) {
      const count = Math.min(tokensAtOnce, facts.dVocab - first);
      cx.arena.tidy(() => {
        copyInto(cx, preActivations(site, unit, { first, count }), { out: all, start: first });
        return undefined;
      });
    }
    const ones = filled(cx, [facts.nTokens, 1], 1);
    return spreadProduct(cx, { a: ones, x: all.view({ shape: [1, facts.dVocab] }) }).view({
      shape: [facts.nTokens, facts.dVocab],
    });
  },
};
