/**
 * The tokens of the vocabulary with the largest and the smallest values.
 *
 * @module
 */

import type { DerivedSequence } from "../derivers/derive.ts";
import type { NodeIndex } from "../derivers/request.ts";
import type { TokenRows } from "../derivers/postprocess.ts";
import type { SequenceRun } from "../derivers/site.ts";
import { type TokenScore, type TokenScores, topTokens } from "../derivers/top_tokens.ts";
import type { Model } from "../engine/model/model.ts";
import { finite } from "./nodes.ts";
import type { TopTokens } from "./responses.ts";

/** Most bytes that rows over the vocabulary take at a time. */
const blockBytes = 1 << 26;

/**
 * The t best and worst tokens of each node.
 *
 * @param options `rowsOf`: gives the nodes' values of all tokens: [n, d_vocab].
 */
export async function topTokensOf(
  nodes: readonly NodeIndex[],
  { sequence: { run }, model, t, rowsOf }: {
    sequence: DerivedSequence;
    model: Model;
    t: number;
    rowsOf: (run: SequenceRun, nodes: readonly NodeIndex[]) => TokenRows;
  },
): Promise<TopTokens[]> {
  const perBlock = Math.max(1, Math.floor(blockBytes / (4 * model.config.dVocab)));
  const found: TopTokens[] = [];
  for (let first = 0; first < nodes.length; first += perBlock) {
    const tokens = rowsOf(run, nodes.slice(first, first + perBlock));
    using rows = tokens.rows;
    using sums = tokens.sums;
    const scores = await topTokens(rows, t, { sums });
    found.push(...scores.map((each) => wireTopTokens(each, model)));
  }
  return found;
}

/** The tokens as text, for a response. */
export function wireTopTokens({ top, bottom }: TokenScores, { tokenizer }: Model): TopTokens {
  const wire = ({ token, scalar, normalizedScalar }: TokenScore) => ({
    token: tokenizer.token(token),
    scalar: finite(scalar, "top tokens"),
    normalizedScalar,
  });
  return { top: top.map(wire), bottom: bottom.map(wire) };
}
