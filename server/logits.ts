/**
 * Logits, of which a debugger looks at those of one token: those of the others are not
 * computed, only their sums.
 *
 * @module
 */

import type { RecordedSequence } from "../derivers/derive.ts";
import { RowsOnDemand } from "../derivers/rows_on_demand.ts";
import { ScalarStore, type ScalarTensor } from "../derivers/scalar_store.ts";
import type { ScalarName } from "../derivers/table.ts";
import type { Model } from "../engine/model/model.ts";
import { unembed } from "../engine/model/transformer.ts";
import { linear } from "../engine/tape/ops/linear.ts";
import { sumMiddle } from "../engine/tape/ops/reduce.ts";
import { copyInto, sliced } from "../engine/tape/ops/slice.ts";
import type { Context } from "../engine/tape/op.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import type { InferenceSubRequest } from "./requests.ts";

/** The scalar. */
export const logits = "logits" satisfies ScalarName;

/** What must be kept for {@linkcode withLogits}. */
export const beforeLogits = {
  activationLocationType: "resid.post_ln_f",
  passType: "forward",
} as const;

/** Whether a request asks for logits of single tokens and for sums, as the model gives them. */
export function areLogitsOnDemand(
  { inferenceRequestSpec, processingRequestSpecByName }: InferenceSubRequest,
): boolean {
  const areAblated = inferenceRequestSpec.ablationSpecs?.some(({ index }) =>
    index.activationLocationType === logits
  );
  return !areAblated && Object.values(processingRequestSpecByName).every((spec) => {
    if (spec.specType !== "multiple_top_k_derived_scalars_request_spec") {
      return !("dst" in spec) || spec.dst !== logits;
    }
    const { dstListByGroupId, passType, tokenIndex, dimensionsToKeepForIntermediateSum } = spec;
    if (!Object.values(dstListByGroupId).some((dsts) => dsts?.includes(logits))) return true;
    return passType === "forward" && tokenIndex !== null &&
      !dimensionsToKeepForIntermediateSum.includes("vocab_size");
  });
}

/** The scalars of a sequence, and its logits on demand. */
export function withLogits({ run, scalars }: RecordedSequence): ScalarStore<ScalarTensor> {
  const { cx, model, facts: { nTokens, dVocab } } = run;
  const y = run.activation({ location: "resid.post_ln_f", layer: null, pass: "forward" });
  const store = new ScalarStore<ScalarTensor>();
  for (const entry of scalars.entries) store.add(entry);
  const tensor = new RowsOnDemand({
    shape: [nTokens, dVocab],
    row: (token) =>
      cx.arena.tidy(() => {
        const ofToken = sliced(cx, y, { start: token * y.width, size: y.width });
        return unembed(cx, ofToken.view({ shape: [1, y.width] }), model);
      }),
    sums: () => linear(cx, y, { w: unembeddingSum(cx, model), transposed: true }),
  });
  store.add({ dst: logits, passType: "forward", layerIndex: null, tensor });
  return store;
}

/** Rows that are copied and added up at a time. */
const rowsAtOnce = 4096;

/** The sum of all tokens' unembeddings: [1, d_model]. */
function unembeddingSum(cx: Context, { constant, weights: { global: { wU } } }: Model): Tensor {
  return constant(cx, { name: "sum of the unembedding", make: (at) => sumOfRows(at, wU) });
}

/** The sum of the rows of a matrix that may be too large to be bound: [1, C]. */
function sumOfRows(cx: Context, x: Tensor): Tensor {
  const { rows, width } = x;
  const parts = cx.arena.tensor([1, Math.ceil(rows / rowsAtOnce), width], "partial sums");
  for (let first = 0, part = 0; first < rows; first += rowsAtOnce, part++) {
    cx.arena.tidy(() => {
      const count = Math.min(rowsAtOnce, rows - first);
      const some = sliced(cx, x, { start: first * width, size: count * width });
      const sum = sumMiddle(cx, some.view({ shape: [1, count, width] }));
      copyInto(cx, sum, { out: parts, start: part * width });
      return undefined;
    });
  }
  return sumMiddle(cx, parts);
}
