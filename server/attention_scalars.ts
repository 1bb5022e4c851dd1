/**
 * The scalars of every pair of tokens, and their totals by token.
 *
 * @module
 */

import type { DerivedSequence } from "../derivers/derive.ts";
import { resolveIndex } from "../derivers/indices.ts";
import { type ScalarRow, scalarTable } from "../derivers/table.ts";
import { finite } from "./nodes.ts";
import type { DerivedAttentionScalarsRequestSpec } from "./requests.ts";
import type { ProcessingResponseData, TokenAndAttentionScalars } from "./responses.ts";

type DerivedAttentionScalarsResponseData = Extract<
  ProcessingResponseData,
  { responseDataType: "derived_attention_scalars_response_data" }
>;

/** Keeps the largest normalized value a little above 1, as clients know it. */
const MARGIN = 1e-5;

/** Answers a spec for the values of one head, or latent, at every pair of tokens. */
export async function attentionScalarsOf(
  { dst, layerIndex, activationIndex }: DerivedAttentionScalarsRequestSpec,
  { scalars, tokenStrings }: DerivedSequence,
): Promise<DerivedAttentionScalarsResponseData> {
  const { dims }: ScalarRow = scalarTable[dst];
  const tensor = scalars.get({ dst, layerIndex });
  const { width } = tensor;
  // Summed over heads there is one value; which latent it is of, the run knows.
  const unit = dims.at(-1) === "singleton"
    ? 0
    : resolveIndex(activationIndex, width, { name: dst, dim: dims.at(-1)! });
  const values = await tensor.read();
  const n = tokenStrings.length;
  return {
    responseDataType: "derived_attention_scalars_response_data",
    tokenAndAttentionScalarsList: attentionScalars(
      tokenStrings,
      (q, k) => finite(values[(q * n + k) * width + unit]!, dst),
    ),
  };
}

/**
 * One entry for each token: what it has with the tokens up to itself, in, and what
 * those from itself on have with it, out.
 *
 * @param x The value of query q and key k.
 */
export function attentionScalars(
  tokens: readonly string[],
  x: (q: number, k: number) => number,
): TokenAndAttentionScalars[] {
  const n = tokens.length;
  const rows = tokens.map((_, q) => Array.from({ length: q + 1 }, (_, k) => x(q, k)));
  const columns = tokens.map((_, k) => Array.from({ length: n - k }, (_, i) => x(k + i, k)));
  const normalize = (values: readonly number[]) => {
    const scale = Math.max(0, ...values) - MARGIN;
    return (value: number) => scale <= 0 ? 0 : Math.max(value / scale, 0);
  };
  const totalsIn = rows.map(sum);
  const maximaIn = rows.map(max);
  const totalsOut = columns.map(sum);
  const maximaOut = columns.map(max);
  // The largest scalar is the largest of the rows' maxima.
  const ofScalar = normalize(maximaIn);
  const ofTotalIn = normalize(totalsIn);
  const ofTotalOut = normalize(totalsOut);
  const ofMaxOut = normalize(maximaOut);
  return tokens.map((token, t) => ({
    token,
    scalars: rows[t]!,
    normalizedScalars: rows[t]!.map(ofScalar),
    totalScalarIn: totalsIn[t]!,
    normalizedTotalScalarIn: ofTotalIn(totalsIn[t]!),
    maxScalarIn: maximaIn[t]!,
    normalizedMaxScalarIn: ofScalar(maximaIn[t]!),
    totalScalarOut: totalsOut[t]!,
    normalizedTotalScalarOut: ofTotalOut(totalsOut[t]!),
    maxScalarOut: maximaOut[t]!,
    normalizedMaxScalarOut: ofMaxOut(maximaOut[t]!),
  }));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function max(values: readonly number[]): number {
  return Math.max(...values);
}
