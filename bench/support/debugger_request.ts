/**
 * What a debugger asks about one prompt.
 *
 * @module
 */

import type { RequestInput } from "../../server/requests.ts";

/** Neurons and heads, the ten first and last of everything. */
export function debuggerRequest(tokens: readonly number[]): RequestInput<"batched_tdb"> {
  return {
    subRequests: [{
      prompt: tokens.map((id) => `<${id}>`).join(""), // as models with random weights read it
      targetTokens: ["<13>"],
      distractorTokens: ["<17>"],
      componentTypeForMlp: "neuron",
      componentTypeForAttention: "attention_head",
      topAndBottomKForNodeTable: 10,
    }],
  };
}
