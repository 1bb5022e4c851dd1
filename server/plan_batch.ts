/**
 * Checks a batch before anything runs.
 *
 * @module
 */

import type { SequenceFacts } from "../derivers/facts.ts";
import { createGroups, type GroupId, type Groups } from "../derivers/groups.ts";
import { type PostprocessorName, postprocessorNeeds } from "../derivers/postprocess.ts";
import type { DstRequest, SequenceRequest } from "../derivers/request.ts";
import { RequestError } from "../engine/errors.ts";
import { demandsOf, vocabularyScalar } from "./demands.ts";
import { areLogitsOnDemand, beforeLogits, logits } from "./logits.ts";
import type {
  InferenceSubRequest,
  MultipleTopKRequestSpec,
  ScoredTokensRequestSpec,
} from "./requests.ts";
import type { Session } from "./session.ts";

/** Longest prompt of any request, in tokens. */
export const maxPromptTokens = 500;

/** A spec for top nodes, and its groups. */
export interface TopKPlan {
  readonly spec: MultipleTopKRequestSpec;
  readonly groups: Groups;
}

/** A sub-request, checked. */
export interface SubPlan {
  readonly subRequest: InferenceSubRequest;
  readonly tokens: readonly number[];
  /** The specs for top nodes, by their name. */
  readonly topK: ReadonlyMap<string, TopKPlan>;
  /** The scalars that the specs need. */
  readonly dsts: readonly DstRequest[];
  /** The activations that are needed besides. */
  readonly keeps: NonNullable<SequenceRequest["saveActivations"]>;
  /** Whether logits are looked at, and computed then. */
  readonly logitsOnDemand: boolean;
}

/**
 * Checks what can be checked without a run.
 *
 * @throws {RequestError} if a prompt is too long, prompts whose nodes are united are not
 * of one length, groups do not fit together, or a spec depends on one that is not there
 * or is asked for in a way that cannot be answered.
 */
export function planBatch(
  { model, facts }: Session,
  subRequests: readonly InferenceSubRequest[],
): SubPlan[] {
  const plans = subRequests.map((subRequest): SubPlan => {
    const { inferenceRequestSpec: { prompt } } = subRequest;
    const tokens = model.tokenizer.encode(prompt);
    checkLength(tokens);
    checkDependencies(subRequest);
    checkTokenCounts(subRequest, model.config);
    const demands = demandsOf(subRequest);
    const others = demands.filter(({ dst }) => dst !== logits);
    const logitsOnDemand = others.length < demands.length && areLogitsOnDemand(subRequest);
    const sizes = { ...model.config, nTokens: tokens.length, autoencoders: facts };
    return {
      subRequest,
      tokens,
      topK: topKPlansOf(subRequest),
      dsts: logitsOnDemand ? others : demands,
      keeps: [...keepsOf(subRequest, sizes), ...logitsOnDemand ? [beforeLogits] : []],
      logitsOnDemand,
    };
  });
  const lengths = plans.filter(({ topK }) => topK.size > 0).map(({ tokens }) => tokens.length);
  if (new Set(lengths).size > 1) {
    throw new RequestError(
      "prompt_lengths_differ",
      "Cannot unite the top nodes of prompts of different length: " +
        `current lengths are ${lengths.join(", ")} tokens`,
    );
  }
  return plans;
}

function checkLength({ length }: readonly number[]): void {
  if (length <= maxPromptTokens) return;
  throw new RequestError(
    "prompt_too_long",
    `Cannot run a prompt of ${length} tokens: it must have at most ${maxPromptTokens}`,
  );
}

function topKPlansOf(
  { processingRequestSpecByName }: InferenceSubRequest,
): ReadonlyMap<string, TopKPlan> {
  const plans = new Map<string, TopKPlan>();
  for (const [name, spec] of Object.entries(processingRequestSpecByName)) {
    if (spec.specType !== "multiple_top_k_derived_scalars_request_spec") continue;
    const groups = Object.entries(spec.dstListByGroupId).map(([groupId, scalars]) => ({
      groupId: groupId as GroupId,
      scalars: scalars ?? [],
    }));
    plans.set(name, { spec, groups: createGroups(groups) });
  }
  return plans;
}

function checkDependencies({ processingRequestSpecByName }: InferenceSubRequest): void {
  const earlier = new Set<string>();
  for (const [name, spec] of Object.entries(processingRequestSpecByName)) {
    if (spec.specType === "multiple_top_k_derived_scalars_request_spec") earlier.add(name);
    if (!("dependsOnSpecName" in spec) || earlier.has(spec.dependsOnSpecName)) continue;
    throw new RequestError(
      "no_such_spec",
      `Cannot answer spec "${name}" with dependsOnSpecName "${spec.dependsOnSpecName}": ` +
        "it must be the name of an earlier spec for top nodes",
    );
  }
}

function checkTokenCounts(
  { processingRequestSpecByName }: InferenceSubRequest,
  { dVocab }: { dVocab: number },
): void {
  for (const [name, spec] of Object.entries(processingRequestSpecByName)) {
    for (const field of ["numTokens", "numTopTokens"] as const) {
      const count = { ...absentCounts, ...spec }[field];
      if (count === null || count <= dVocab) continue;
      throw new RequestError(
        "too_many_tokens",
        `Cannot answer spec "${name}" with ${field} ${count}: it must be at most ${dVocab}, ` +
          "the size of the vocabulary",
      );
    }
  }
}

const absentCounts: { numTokens: number | null; numTopTokens: number | null } = {
  numTokens: null,
  numTopTokens: null,
};

/** What must be kept for the tokens that nodes write, read, or are activated from. */
function keepsOf(
  { processingRequestSpecByName }: InferenceSubRequest,
  facts: SequenceFacts,
): SubPlan["keeps"] {
  const names = Object.values(processingRequestSpecByName).flatMap(
    (spec): PostprocessorName[] => {
      switch (spec.specType) {
        case "derived_scalars_request_spec":
          return spec.numTopTokens === null || spec.dst === vocabularyScalar ? [] : ["tokenWrites"];
        case "token_pair_attribution_request_spec":
          return ["tokenPairAttributions"];
        case "scored_tokens_request_spec":
          return postprocessorOf[spec.tokenScoringType];
        default:
          return [];
      }
    },
  );
  const slots = postprocessorNeeds(facts, names);
  const byName = new Map(slots.map(({ location, pass }) => [`${location} ${pass}`, {
    activationLocationType: location,
    passType: pass,
  }]));
  return [...byName.values()];
}

const postprocessorOf: Readonly<
  Record<ScoredTokensRequestSpec["tokenScoringType"], PostprocessorName[]>
> = {
  upvoted_output_tokens: ["tokenWrites"],
  input_tokens_that_upvote_mlp: ["tokenReads"],
  input_tokens_that_upvote_attn_q: [],
  input_tokens_that_upvote_attn_k: [],
};
