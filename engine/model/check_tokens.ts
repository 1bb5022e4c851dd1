/**
 * Whether a sequence of tokens can be run.
 *
 * @module
 */

import { RequestError } from "../errors.ts";
import type { ModelConfig } from "./config.ts";

/**
 * Checks that a sequence fits the model.
 *
 * @throws {RequestError} `prompt_empty` or `prompt_too_long`, naming the limit, or
 * `token_out_of_range` naming the token.
 */
export function checkTokens(
  tokens: readonly number[],
  { nCtx, dVocab }: Pick<ModelConfig, "nCtx" | "dVocab">,
): void {
  if (tokens.length === 0) {
    throw new RequestError(
      "prompt_empty",
      `Cannot run a prompt of 0 tokens: it must have from 1 to n_positions = ${nCtx}`,
    );
  }
  if (tokens.length > nCtx) {
    throw new RequestError(
      "prompt_too_long",
      `Cannot run a prompt of ${tokens.length} tokens: it must have from 1 to n_positions = ${nCtx}`,
    );
  }
  const wrong = tokens.find((token) => !isToken(token, dVocab));
  if (wrong !== undefined) {
    throw new RequestError(
      "token_out_of_range",
      `Cannot run a prompt with token ${wrong}: tokens must be from 0 to ${dVocab - 1}`,
    );
  }
}

/** Whether the vocabulary has a token of that number. */
export function isToken(token: number, dVocab: number): boolean {
  return Number.isInteger(token) && token >= 0 && token < dVocab;
}
