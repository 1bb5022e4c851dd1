/**
 * The four losses, each a function of the last position's logits.
 *
 * | name | value |
 * |---|---|
 * | `logit_diff` | mean of the targets' logits − mean of the distractors' |
 * | `logit_minus_mean` | mean of the targets' logits − mean of all logits |
 * | `probs` | sum of the targets' probabilities |
 * | `zero` | 0 · the sum of all logits |
 *
 * @module
 */

import {
  finalNorm,
  layerNorm,
  type TransformerModel,
  unembed,
} from "../engine/model/transformer.ts";
import { type RowLoss, rowLosses } from "../engine/tape/ops/loss.ts";
import { embed } from "../engine/tape/ops/embed.ts";
import { linear } from "../engine/tape/ops/linear.ts";
import { filled } from "../engine/tape/ops/map.ts";
import { rowDot } from "../engine/tape/ops/reduce.ts";
import { reshape, slice } from "../engine/tape/ops/slice.ts";
import { type Context, detached } from "../engine/tape/op.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import type { LossTokens } from "./check_sequence.ts";
import { gradientIn } from "./gradient_in.ts";
import type { LossFnConfig } from "./request.ts";

/** A loss and its tokens. Repeated tokens count repeatedly. */
export interface Loss extends LossTokens {
  readonly name: LossFnConfig["name"];
}

/** The loss as a weighted sum over the vocabulary of one row of logits. */
export function rowLossOf(
  { name, targets, distractors }: Loss,
  { row, dVocab }: { row: number; dVocab: number },
): RowLoss {
  const coefficients = new Float32Array(dVocab);
  const addMean = (tokens: readonly number[], sign: number) => {
    for (const token of tokens) coefficients[token]! += sign / tokens.length;
  };
  switch (name) {
    case "logit_diff":
      addMean(targets, 1);
      addMean(distractors, -1);
      return { row, kind: "linear", coefficients };
    case "logit_minus_mean":
      coefficients.fill(-1 / dVocab);
      addMean(targets, 1);
      return { row, kind: "linear", coefficients };
    case "probs":
      for (const token of targets) coefficients[token]! += 1;
      return { row, kind: "probs", coefficients };
    case "zero":
      return { row, kind: "zero", coefficients };
  }
}

/**
 * Logit differences from the output of the final layer norm at the positions of the
 * losses, y [B, d_model]: ⟨y, Σ c_v W_U[v]⟩, so that no logits are computed: [B].
 */
export function logitDifferences(
  cx: Context,
  y: Tensor,
  { model, losses }: { model: TransformerModel; losses: readonly Loss[] },
): Tensor {
  const { wU } = model.weights.global;
  // Each loss's own tokens in its own order, so that its sum does not depend on the others.
  const terms = losses.flatMap(({ targets, distractors }, loss) => [
    ...targets.map((token) => ({ token, loss, c: 1 / targets.length })),
    ...distractors.map((token) => ({ token, loss, c: -1 / distractors.length })),
  ]);
  const coefficients = new Float32Array(losses.length * terms.length);
  terms.forEach(({ loss, c }, i) => coefficients[loss * terms.length + i] = c);
  const ids = new Uint32Array(terms.flatMap(({ token }) => [token, 0]));
  const constant = detached(cx);
  const rows = embed(
    constant,
    { wE: wU, wPos: filled(constant, [1, wU.width], 0) },
    cx.arena.upload(ids, [terms.length, 2], "tokens of the losses"),
  );
  const c = cx.arena.upload(
    coefficients,
    [losses.length, terms.length],
    "coefficients of the losses",
  );
  const directions = linear(constant, c, { w: rows });
  return reshape(cx, rowDot(cx, y, directions), [losses.length]);
}

/**
 * d loss / dx at the last layer's residual x [T, d_model], the scale of the final
 * norm a constant.
 */
export function lossInResidual(
  cx: Context,
  x: Tensor,
  { model, loss }: { model: TransformerModel; loss: Loss },
): Tensor {
  return gradientIn(cx, x, (at, residual) => {
    const start = residual.size - residual.width;
    const last = slice(at, residual, { start, shape: [1, residual.width] });
    const y = layerNorm(at, last, { ...finalNorm(model), detachScale: true });
    return rowLosses(at, unembed(at, y, model), [
      rowLossOf(loss, { row: 0, dVocab: model.config.dVocab }),
    ]);
  });
}
