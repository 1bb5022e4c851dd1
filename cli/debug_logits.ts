/**
 * The logits of the last token, for a report.
 *
 * @module
 */

import type { Tokenizer } from "../engine/model/tokenizer.ts";

/** A token that may come next. */
export interface NextToken {
  readonly id: number;
  readonly text: string;
  readonly logit: number;
  readonly probability: number;
  /** 1 for the most likely. */
  readonly rank: number;
  /** Whether the prediction that is explained is about it. */
  readonly role: "target" | "distractor" | null;
}

/**
 * The most likely next tokens, then those that were named and are not among them.
 *
 * @param logits Of the last token, [V].
 */
export function nextTokens(
  logits: ArrayLike<number>,
  { top, tokenizer, targets, distractors }: {
    top: number;
    tokenizer: Tokenizer;
    targets: readonly string[];
    distractors: readonly string[];
  },
): NextToken[] {
  const ids = Array.from(logits, (_, id) => id).sort((a, b) => logits[b]! - logits[a]! || a - b);
  const largest = logits[ids[0]!]!;
  let sum = 0;
  for (const id of ids) sum += Math.exp(logits[id]! - largest);
  const roles = new Map<number, NextToken["role"]>();
  for (const [role, texts] of [["distractor", distractors], ["target", targets]] as const) {
    for (const text of texts) roles.set(tokenizer.encode(text)[0]!, role);
  }
  return ids
    .map((id, i) => ({
      id,
      text: "",
      logit: logits[id]!,
      probability: Math.exp(logits[id]! - largest) / sum,
      rank: i + 1,
      role: roles.get(id) ?? null,
    }))
    .filter(({ rank, role }) => rank <= top || role !== null)
    .map((token) => ({ ...token, text: tokenizer.token(token.id) }));
}
