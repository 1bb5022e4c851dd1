/**
 * What nodes say in tokens: those that they write, those that make them active, and
 * those of the prompt that attention brings it from.
 *
 * @module
 */

import type { DerivedSequence } from "../derivers/derive.ts";
import { nodeTypes } from "../derivers/nodes.ts";
import {
  isDefinedFor,
  type PostprocessorName,
  tokenPairAttributions,
  tokenReads,
  tokenWritesWithSums,
} from "../derivers/postprocess.ts";
import type { NodeIndex } from "../derivers/request.ts";
import { selectTop } from "../derivers/top.ts";
import type { Model } from "../engine/model/model.ts";
import { finite, wireNode } from "./nodes.ts";
import type { ScoredTokensRequestSpec, TokenPairAttributionRequestSpec } from "./requests.ts";
import type { ProcessingResponseData, TopTokens } from "./responses.ts";
import { topTokensOf } from "./top_tokens.ts";

type ScoredTokensResponseData = Extract<
  ProcessingResponseData,
  { responseDataType: "scored_tokens_response_data" }
>;
type TokenPairAttributionResponseData = Extract<
  ProcessingResponseData,
  { responseDataType: "token_pair_attribution_response_data" }
>;

/** The nodes of a spec, and the prompt whose nodes they are. */
interface Asked {
  readonly sequence: DerivedSequence;
  readonly nodes: readonly NodeIndex[];
  readonly model: Model;
}

/** Answers a spec for the tokens that nodes write or read. */
export async function scoredTokensOf(
  { tokenScoringType, numTokens: t }: ScoredTokensRequestSpec,
  { sequence, nodes, model }: Asked,
): Promise<ScoredTokensResponseData> {
  const listOf = (): Promise<(TopTokens | null)[]> => {
    switch (tokenScoringType) {
      case "upvoted_output_tokens":
        return whereDefined(
          "tokenWrites",
          { sequence, nodes },
          (some) => topTokensOfWrites(some, { sequence, model, t }),
        );
      case "input_tokens_that_upvote_mlp": {
        const ofMlp = nodes.map((node) =>
          node.nodeType === "attention_autoencoder_latent" ? null : node
        );
        return whereDefined(
          "tokenReads",
          { sequence, nodes: ofMlp },
          (some) =>
            topTokensOf(some, {
              sequence,
              model,
              t,
              rowsOf: (run, each) => ({ rows: tokenReads(run, each) }),
            }),
        );
      }
      case "input_tokens_that_upvote_attn_q":
      case "input_tokens_that_upvote_attn_k":
        return Promise.resolve(nodes.map(() => null));
    }
  };
  return {
    responseDataType: "scored_tokens_response_data",
    nodeIndices: nodes.map(wireNode),
    topTokensList: await listOf(),
  };
}

/** The tokens that nodes write. */
export function topTokensOfWrites(
  nodes: readonly NodeIndex[],
  { sequence, model, t }: { sequence: DerivedSequence; model: Model; t: number },
): Promise<TopTokens[]> {
  return topTokensOf(nodes, { sequence, model, t, rowsOf: tokenWritesWithSums });
}

/** Answers a spec for the tokens that attention latents are activated from. */
export async function tokenPairsOf(
  { numTokensAttendedTo: k }: TokenPairAttributionRequestSpec,
  { sequence, nodes }: Omit<Asked, "model">,
): Promise<TokenPairAttributionResponseData> {
  return {
    responseDataType: "token_pair_attribution_response_data",
    nodeIndices: nodes.map(wireNode),
    topTokensAttendedToList: await whereDefined(
      "tokenPairAttributions",
      { sequence, nodes },
      async (some) => {
        const found = await tokenPairAttributions(sequence.run, some);
        return found.map((values) => {
          if (values === "inactive") return null;
          const top = selectTop([{ values, layer: 0, order: 0 }], { k, largest: true });
          return {
            tokenIndices: top.map(({ flat }) => flat),
            attributions: top.map(({ value }) => finite(value, "token_pair_attribution")),
          };
        });
      },
    ),
  };
}

/** Applies `work` to the nodes for which a postprocessor is defined; `null` for others. */
async function whereDefined<T>(
  name: PostprocessorName,
  { sequence: { run: { facts } }, nodes }: {
    sequence: DerivedSequence;
    nodes: readonly (NodeIndex | null)[];
  },
  work: (nodes: readonly NodeIndex[]) => Promise<readonly T[]>,
): Promise<(T | null)[]> {
  // Some scalars have a value of a head for each token alone, and then no key to write from.
  const isWhole = ({ nodeType, tensorIndices }: NodeIndex) =>
    tensorIndices.length === nodeTypes[nodeType].dims.length;
  const isDefined = nodes.map((node) =>
    node !== null && isWhole(node) && isDefinedFor(name, node, facts)
  );
  const results = await work(nodes.flatMap((node, i) => isDefined[i] ? [node!] : []));
  let next = 0;
  return isDefined.map((defined) => defined ? results[next++]! : null);
}
