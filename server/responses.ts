/**
 * The responses of the debugger's JSON API, as zod schemas: the one place where their
 * shape is said. Every number in them is finite.
 *
 * @module
 */

import { z } from "zod";
import { groupIds } from "../derivers/groups.ts";
import { nodeTypeNames } from "../derivers/nodes.ts";
import { scalarNames } from "../derivers/table.ts";

const numbers = z.array(z.number());
const layerOrNone = z.int().nullable();

/**
 * A node; clients compare them as text, so the order of the fields matters: it is
 * the one here.
 */
export const responseNodeIndexSchema = z.strictObject({
  nodeType: z.enum(nodeTypeNames),
  tensorIndices: z.array(z.int()),
  layerIndex: layerOrNone,
  passType: z.enum(["forward", "backward"]),
});

const nodeIndices = z.array(responseNodeIndexSchema);

/** What is known of a run and its prompt. */
export const inferenceAndTokenDataSchema = z.strictObject({
  /** Seconds from the start of the run to the last value. */
  inferenceTime: z.number(),
  /** Bytes of GPU memory in use, those of the model included. */
  memoryUsedBefore: z.int().nullable(),
  memoryUsedAfter: z.int().nullable(),
  log: z.string().nullable(),
  loss: z.number().nullable(),
  activationValueForBackwardPass: z.number().nullable(),
  tokensAsInts: z.array(z.int()),
  tokensAsStrings: z.array(z.string()),
});

const tokenAndScalarSchema = z.strictObject({
  token: z.string(),
  scalar: z.number(),
  /** Over the larger magnitude of the first of top and the first of bottom. */
  normalizedScalar: z.number(),
});

/** The tokens of the vocabulary with the largest and the smallest values. */
export const topTokensSchema = z.strictObject({
  top: z.array(tokenAndScalarSchema),
  bottom: z.array(tokenAndScalarSchema),
});

/** Answers a derived scalars spec. */
export const derivedScalarsResponseDataSchema = z.strictObject({
  responseDataType: z.literal("derived_scalars_response_data"),
  activations: numbers,
  normalizedActivations: numbers.nullable(),
  nodeIndices,
  topTokens: topTokensSchema.nullable(),
});

/** One token and its attention to those before it, in and to it from those after, out. */
export const tokenAndAttentionScalarsSchema = z.strictObject({
  token: z.string(),
  scalars: numbers,
  normalizedScalars: numbers,
  totalScalarIn: z.number(),
  normalizedTotalScalarIn: z.number(),
  maxScalarIn: z.number(),
  normalizedMaxScalarIn: z.number(),
  totalScalarOut: z.number(),
  normalizedTotalScalarOut: z.number(),
  maxScalarOut: z.number(),
  normalizedMaxScalarOut: z.number(),
});

/** Answers a derived attention scalars spec. */
export const derivedAttentionScalarsResponseDataSchema = z.strictObject({
  responseDataType: z.literal("derived_attention_scalars_response_data"),
  tokenAndAttentionScalarsList: z.array(tokenAndAttentionScalarsSchema),
});

/** A tensor of up to three dimensions. */
export const tensorSchema = z.discriminatedUnion("tensorType", [
  z.strictObject({ tensorType: z.literal("tensor_0d"), value: z.number() }),
  z.strictObject({ tensorType: z.literal("tensor_1d"), value: numbers }),
  z.strictObject({ tensorType: z.literal("tensor_2d"), value: z.array(numbers) }),
  z.strictObject({ tensorType: z.literal("tensor_3d"), value: z.array(z.array(numbers)) }),
]);

/** Answers a multiple top k spec. */
export const multipleTopKResponseDataSchema = z.strictObject({
  responseDataType: z.literal("multiple_top_k_derived_scalars_response_data"),
  /** Of each group the values at `nodeIndices`. */
  activationsByGroupId: z.partialRecord(z.enum(groupIds), numbers),
  nodeIndices,
  /** `null` unless all nodes are tokens of the vocabulary. */
  vocabTokenStringsForIndices: z.array(z.string()).nullable(),
  intermediateSumActivationsByDstByGroupId: z.partialRecord(
    z.enum(groupIds),
    z.partialRecord(z.enum(scalarNames), tensorSchema),
  ),
});

/** Answers a scored tokens spec; `null` where a node has no such tokens. */
export const scoredTokensResponseDataSchema = z.strictObject({
  responseDataType: z.literal("scored_tokens_response_data"),
  nodeIndices,
  topTokensList: z.array(topTokensSchema.nullable()),
});

/** Answers a token pair attribution spec; `null` where a node has none. */
export const tokenPairAttributionResponseDataSchema = z.strictObject({
  responseDataType: z.literal("token_pair_attribution_response_data"),
  nodeIndices,
  topTokensAttendedToList: z.array(
    z.strictObject({ tokenIndices: z.array(z.int()), attributions: numbers }).nullable(),
  ),
});

/** Answers one spec of a batch. */
export const processingResponseDataSchema = z.discriminatedUnion("responseDataType", [
  derivedScalarsResponseDataSchema,
  derivedAttentionScalarsResponseDataSchema,
  multipleTopKResponseDataSchema,
  scoredTokensResponseDataSchema,
  tokenPairAttributionResponseDataSchema,
]);

const batchedResponseSchema = z.strictObject({
  inferenceSubResponses: z.array(z.strictObject({
    inferenceResponse: z.strictObject({ inferenceAndTokenData: inferenceAndTokenDataSchema }),
    processingResponseDataByName: z.record(z.string(), processingResponseDataSchema),
  })),
});

/** Answer of each route. */
export const responseSchemas = {
  derived_scalars: z.strictObject({
    inferenceAndTokenData: inferenceAndTokenDataSchema,
    derivedScalarsResponseData: derivedScalarsResponseDataSchema,
  }),
  derived_attention_scalars: z.strictObject({
    inferenceAndTokenData: inferenceAndTokenDataSchema,
    derivedAttentionScalarsResponseData: derivedAttentionScalarsResponseDataSchema,
  }),
  multiple_top_k_derived_scalars: z.strictObject({
    inferenceAndTokenData: inferenceAndTokenDataSchema,
    multipleTopKDerivedScalarsResponseData: multipleTopKResponseDataSchema,
  }),
  batched: batchedResponseSchema,
  batched_tdb: batchedResponseSchema,
};

/** Answer of `/model_info`. */
export const modelInfoResponseSchema = z.strictObject({
  modelName: z.string(),
  hasMlpAutoencoder: z.boolean(),
  mlpAutoencoderName: z.string().nullable(),
  hasAttentionAutoencoder: z.boolean(),
  attentionAutoencoderName: z.string().nullable(),
  nLayers: z.int(),
});

/** Answer of a route. */
export type ResponseOf<Route extends keyof typeof responseSchemas> = z.infer<
  (typeof responseSchemas)[Route]
>;
/** See {@linkcode responseNodeIndexSchema}. */
export type ResponseNodeIndex = z.infer<typeof responseNodeIndexSchema>;
/** See {@linkcode inferenceAndTokenDataSchema}. */
export type InferenceAndTokenData = z.infer<typeof inferenceAndTokenDataSchema>;
/** See {@linkcode topTokensSchema}. */
export type TopTokens = z.infer<typeof topTokensSchema>;
/** See {@linkcode tokenAndAttentionScalarsSchema}. */
export type TokenAndAttentionScalars = z.infer<typeof tokenAndAttentionScalarsSchema>;
/** See {@linkcode tensorSchema}. */
export type WireTensor = z.infer<typeof tensorSchema>;
/** See {@linkcode processingResponseDataSchema}. */
export type ProcessingResponseData = z.infer<typeof processingResponseDataSchema>;
/** See {@linkcode modelInfoResponseSchema}. */
export type ModelInfoResponse = z.infer<typeof modelInfoResponseSchema>;
