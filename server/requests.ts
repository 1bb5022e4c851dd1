/**
 * The requests of the debugger's JSON API, as zod schemas: the one place where their
 * shape is said. Fields are as on the wire, in camelCase. What a client may leave
 * out, as its own types allow, has a default here.
 *
 * @module
 */

import { z } from "zod";
import { groupIds } from "../derivers/groups.ts";
import {
  ablationSpecSchema,
  activationIndexSchema,
  lossFnConfigSchema,
  nodeIndexSchema,
  traceConfigSchema,
} from "../derivers/request.ts";
import type { ScalarDimName } from "../derivers/nodes.ts";
import { scalarNames, type ScalarRow, scalarTable } from "../derivers/table.ts";
import { dimNames } from "../engine/tape/locations.ts";

const defaultDimsToKeep: readonly ScalarDimName[] = [
  "sequence_tokens",
  "attended_to_sequence_tokens",
];
const layerIndex = z.int().nullable().default(null);
const passType = z.enum(["forward", "backward"]).default("forward");
const atLeastOne = z.int().min(1, { error: "an integer of at least 1" });
const fromZero = z.int().min(0, { error: "an integer of at least 0" });

/** A node as a client names it. */
export const wireNodeIndexSchema = nodeIndexSchema.extend({ layerIndex });

const wireActivationIndexSchema = activationIndexSchema.extend({ layerIndex });

/** One prompt and the objective, ablations and trace of its run. */
export const inferenceRequestSpecSchema = z.strictObject({
  prompt: z.string(),
  ablationSpecs: z.array(ablationSpecSchema.extend({ index: wireActivationIndexSchema }))
    .nullable().default(null),
  lossFnConfig: lossFnConfigSchema.nullable().default(null),
  traceConfig: traceConfigSchema.nullable().default(null),
  activationIndexForWithinLayerGrad: wireActivationIndexSchema.nullable().default(null),
});

/** Which stored record of a neuron gives the scale of normalized activations. */
const nodeIdAndDatasetsSchema = z.looseObject({}).nullable().default(null);

/** The values of one unit at every token. */
export const derivedScalarsRequestSpecSchema = z.strictObject({
  specType: z.literal("derived_scalars_request_spec").default("derived_scalars_request_spec"),
  dst: z.enum(scalarNames),
  layerIndex,
  activationIndex: fromZero,
  passType,
  numTopTokens: atLeastOne.nullable().default(null),
  normalizeActivationsUsingNeuronRecord: nodeIdAndDatasetsSchema,
});

/** The values of one head, or latent, at every pair of tokens. */
export const derivedAttentionScalarsRequestSpecSchema = z.strictObject({
  specType: z.literal("derived_attention_scalars_request_spec")
    .default("derived_attention_scalars_request_spec"),
  dst: z.enum(scalarNames),
  layerIndex,
  activationIndex: fromZero,
  normalizeActivationsUsingNeuronRecord: nodeIdAndDatasetsSchema,
});

/** The nodes with the largest and the smallest values of several groups of scalars. */
export const multipleTopKRequestSpecSchema = z.strictObject({
  specType: z.literal("multiple_top_k_derived_scalars_request_spec")
    .default("multiple_top_k_derived_scalars_request_spec"),
  dstListByGroupId: z.partialRecord(
    z.enum(groupIds),
    z.array(z.enum(scalarNames)).min(1, { error: "a list of at least one scalar" }),
  ),
  tokenIndex: z.int().nullable().default(null),
  topAndBottomK: atLeastOne.nullable().default(null),
  passType,
  dimensionsToKeepForIntermediateSum: z.array(z.enum([...dimNames, "sequence_token_pairs"]))
    .nullish().transform((dims) => dims ?? defaultDimsToKeep),
});

/** The tokens of the vocabulary that a node writes, or that make it active. */
export const scoredTokensRequestSpecSchema = z.strictObject({
  specType: z.literal("scored_tokens_request_spec").default("scored_tokens_request_spec"),
  tokenScoringType: z.enum([
    "upvoted_output_tokens",
    "input_tokens_that_upvote_mlp",
    "input_tokens_that_upvote_attn_q",
    "input_tokens_that_upvote_attn_k",
  ]),
  numTokens: atLeastOne,
  dependsOnSpecName: z.string(),
});

/** The tokens of the prompt through which attention makes a latent active. */
export const tokenPairAttributionRequestSpecSchema = z.strictObject({
  specType: z.literal("token_pair_attribution_request_spec")
    .default("token_pair_attribution_request_spec"),
  numTokensAttendedTo: atLeastOne,
  dependsOnSpecName: z.string(),
});

/** One of the five specs above; clients leave `specType` out, so the fields tell which. */
export const processingRequestSpecSchema = z.preprocess(
  withSpecType,
  z.discriminatedUnion("specType", [
    derivedScalarsRequestSpecSchema,
    derivedAttentionScalarsRequestSpecSchema,
    multipleTopKRequestSpecSchema,
    scoredTokensRequestSpecSchema,
    tokenPairAttributionRequestSpecSchema,
  ], {
    error: "one of the known kinds, or left out where the fields of one kind tell which: " +
      '"dst", "dstListByGroupId", "tokenScoringType" or "numTokensAttendedTo"',
  }),
);

/** Says which kind of spec it is, by its fields. What has no kind is left as it is. */
function withSpecType(spec: unknown): unknown {
  if (typeof spec !== "object" || spec === null || Array.isArray(spec)) return spec;
  const { specType } = spec as { specType?: unknown };
  if (specType !== undefined && specType !== null) return spec;
  const kind = kindByFields(spec);
  return kind === undefined ? spec : { ...spec, specType: kind };
}

function kindByFields(spec: object): string | undefined {
  if ("dstListByGroupId" in spec) return "multiple_top_k_derived_scalars_request_spec";
  if ("tokenScoringType" in spec) return "scored_tokens_request_spec";
  if ("numTokensAttendedTo" in spec) return "token_pair_attribution_request_spec";
  if (!("dst" in spec)) return undefined;
  // Only the scalar tells these two apart, by whether it is over tokens or token pairs.
  const rows: Readonly<Record<string, ScalarRow>> = scalarTable;
  const isOverPairs = typeof spec.dst === "string" && Object.hasOwn(rows, spec.dst) &&
    rows[spec.dst]!.dims[1] === "attended_to_sequence_tokens";
  return isOverPairs ? "derived_attention_scalars_request_spec" : "derived_scalars_request_spec";
}

/** One prompt of a batch and what to derive from it, by names that the client chooses. */
export const inferenceSubRequestSchema = z.strictObject({
  inferenceRequestSpec: inferenceRequestSpecSchema,
  processingRequestSpecByName: z.record(z.string(), processingRequestSpecSchema),
});

/** A node whose activation is overwritten. */
const nodeAblationSchema = z.strictObject({ nodeIndex: wireNodeIndexSchema, value: z.number() });

/** A node that a backward pass starts from, as a client names it. */
const nodeToTraceSchema = z.strictObject({
  nodeIndex: wireNodeIndexSchema,
  attentionTraceType: z.enum(["Q", "K", "QK", "V"]).nullable().default(null),
  downstreamTraceConfig: z.null({ error: 'null: the place for that is "downstreamNodeToTrace"' })
    .default(null),
});

/** What a debugger asks about one prompt. */
export const tdbRequestSpecSchema = z.strictObject({
  specType: z.literal("tdb_request_spec").default("tdb_request_spec"),
  prompt: z.string(),
  targetTokens: z.array(z.string()),
  distractorTokens: z.array(z.string()),
  componentTypeForMlp: z.enum(["neuron", "autoencoder_latent"]),
  componentTypeForAttention: z.enum(["attention_head", "autoencoder_latent"]),
  topAndBottomKForNodeTable: atLeastOne,
  /** Changes no number: a client uses it to show less. */
  hideEarlyLayersWhenAblating: z.boolean().default(true),
  nodeAblations: z.array(nodeAblationSchema).nullable().default(null),
  upstreamNodeToTrace: nodeToTraceSchema.nullable().default(null),
  downstreamNodeToTrace: nodeToTraceSchema.nullable().default(null),
});

const atLeastOneSubRequest = { error: "a list of at least one sub-request" };

/** Body of each route. */
export const requestSchemas = {
  derived_scalars: z.strictObject({
    inferenceRequestSpec: inferenceRequestSpecSchema,
    derivedScalarsRequestSpec: derivedScalarsRequestSpecSchema,
  }),
  derived_attention_scalars: z.strictObject({
    inferenceRequestSpec: inferenceRequestSpecSchema,
    derivedAttentionScalarsRequestSpec: derivedAttentionScalarsRequestSpecSchema,
  }),
  multiple_top_k_derived_scalars: z.strictObject({
    inferenceRequestSpec: inferenceRequestSpecSchema,
    multipleTopKDerivedScalarsRequestSpec: multipleTopKRequestSpecSchema,
  }),
  batched: z.strictObject({
    inferenceSubRequests: z.array(inferenceSubRequestSchema).min(1, atLeastOneSubRequest),
  }),
  batched_tdb: z.strictObject({
    subRequests: z.array(tdbRequestSpecSchema).min(1, atLeastOneSubRequest),
  }),
};

/** Name of a route that runs the model. */
export type InferenceRoute = keyof typeof requestSchemas;
/** Body of a route, as written. */
export type RequestInput<Route extends InferenceRoute> = z.input<(typeof requestSchemas)[Route]>;
/** Body of a route with the defaults filled in. */
export type RequestOf<Route extends InferenceRoute> = z.infer<(typeof requestSchemas)[Route]>;

/** See {@linkcode inferenceRequestSpecSchema}. */
export type InferenceRequestSpec = z.infer<typeof inferenceRequestSpecSchema>;
/** See {@linkcode derivedScalarsRequestSpecSchema}. */
export type DerivedScalarsRequestSpec = z.infer<typeof derivedScalarsRequestSpecSchema>;
/** See {@linkcode derivedAttentionScalarsRequestSpecSchema}. */
export type DerivedAttentionScalarsRequestSpec = z.infer<
  typeof derivedAttentionScalarsRequestSpecSchema
>;
/** See {@linkcode multipleTopKRequestSpecSchema}. */
export type MultipleTopKRequestSpec = z.infer<typeof multipleTopKRequestSpecSchema>;
/** See {@linkcode scoredTokensRequestSpecSchema}. */
export type ScoredTokensRequestSpec = z.infer<typeof scoredTokensRequestSpecSchema>;
/** See {@linkcode tokenPairAttributionRequestSpecSchema}. */
export type TokenPairAttributionRequestSpec = z.infer<
  typeof tokenPairAttributionRequestSpecSchema
>;
/** See {@linkcode processingRequestSpecSchema}. */
export type ProcessingRequestSpec = z.infer<typeof processingRequestSpecSchema>;
/** See {@linkcode inferenceSubRequestSchema}. */
export type InferenceSubRequest = z.infer<typeof inferenceSubRequestSchema>;
/** See {@linkcode tdbRequestSpecSchema}. */
export type TdbRequestSpec = z.infer<typeof tdbRequestSpecSchema>;
