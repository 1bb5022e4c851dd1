/**
 * The values of one unit at every token, and the tokens that it writes.
 *
 * @module
 */

import type { DerivedSequence } from "../derivers/derive.ts";
import { resolveIndex } from "../derivers/indices.ts";
import { type ScalarRow, scalarTable } from "../derivers/table.ts";
import { topTokensOfValues } from "../derivers/top_tokens.ts";
import type { Model } from "../engine/model/model.ts";
import { vocabularyScalar } from "./demands.ts";
import { finite, wireNode } from "./nodes.ts";
import type { DerivedScalarsRequestSpec } from "./requests.ts";
import type { ProcessingResponseData, TopTokens } from "./responses.ts";
import { topTokensOfWrites } from "./scored_tokens.ts";
import { settled } from "./settled.ts";
import { wireTopTokens } from "./top_tokens.ts";

type DerivedScalarsResponseData = Extract<
  ProcessingResponseData,
  { responseDataType: "derived_scalars_response_data" }
>;

/** Answers a spec for the values of one unit. */
export async function unitScalarsOf(
  spec: DerivedScalarsRequestSpec,
  sequence: DerivedSequence,
  { model }: { model: Model },
): Promise<DerivedScalarsResponseData> {
  const { dst, layerIndex, activationIndex, passType, numTopTokens } = spec;
  const { nodeType, dims }: ScalarRow = scalarTable[dst];
  const tensor = sequence.scalars.get({ dst, layerIndex, passType });
  const unit = resolveIndex(activationIndex, tensor.width, { name: dst, dim: dims.at(-1)! });
  const nodes = sequence.tokens.map((_, t) =>
    wireNode({ nodeType, tensorIndices: [t, unit], layerIndex, passType })
  );
  const hasTokens = numTopTokens !== null && dst !== vocabularyScalar;
  const [values, written] = await settled([
    tensor.read(),
    hasTokens ? topTokensOfWrites(nodes.slice(0, 1), { sequence, model, t: numTopTokens }) : null,
  ]);
  const activations = nodes.map((_, t) => finite(values[t * tensor.width + unit]!, dst));
  let topTokens: TopTokens | null = null;
  if (hasTokens && activations[0] !== 0) {
    topTokens = swappedIfNegative(written![0]!, activations[0]!);
  } else if (numTopTokens !== null && dst === vocabularyScalar) {
    const row = values.subarray(0, tensor.width);
    if (row.some((value) => value !== 0)) {
      topTokens = wireTopTokens(topTokensOfValues(row, numTopTokens), model);
    }
  }
  return {
    responseDataType: "derived_scalars_response_data",
    activations,
    normalizedActivations: null,
    nodeIndices: nodes,
    topTokens,
  };
}

/** What an active unit would write: a negative activation writes the opposite. */
function swappedIfNegative({ top, bottom }: TopTokens, activation: number): TopTokens {
  return activation < 0 ? { top: bottom, bottom: top } : { top, bottom };
}
