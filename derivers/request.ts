/**
 * The shape of a request, as JSON. What a request means, and whether it makes
 * sense for a model, is checked elsewhere: a request that fails here is malformed.
 *
 * @module
 */

import { z } from "zod";
import { RequestError } from "../engine/errors.ts";
import { locationNames } from "../engine/tape/locations.ts";
import { describeIssue } from "./describe_issue.ts";
import { nodeTypeNames } from "./nodes.ts";
import { scalarNames } from "./table.ts";

const count = z.int().min(0, { error: "at least 0" });
const passType = z.enum(["forward", "backward"]);
const allOrOne = z.union([z.int(), z.literal("All")], { error: 'an integer or "All"' });
const anyIndex = z.union([z.int(), z.literal("All"), z.null()], {
  error: 'an integer, "All" or null',
});

/** One entry, or a slice, of an activation. */
export const activationIndexSchema = z.strictObject({
  activationLocationType: z.enum(locationNames),
  passType,
  tensorIndices: z.array(allOrOne),
  layerIndex: z.int().nullable(),
});

/** A node; `null` or `"All"` as token only where one latent at all tokens is meant. */
export const nodeIndexSchema = z.strictObject({
  nodeType: z.enum(nodeTypeNames),
  layerIndex: z.int().nullable(),
  tensorIndices: z.array(anyIndex),
  passType,
});

/** A node, and for a head which of its inputs is meant. */
export const nodeIndexForAttributionSchema = nodeIndexSchema.extend({
  qKOrV: z.enum(["attn.q", "attn.k", "attn.v"]).nullish(),
});

/** A trace without the node it may go towards. */
export const oneTraceConfigSchema = z.strictObject({
  nodeIndex: nodeIndexSchema,
  preOrPostAct: z.enum(["pre", "post"]),
  detachLayerNormScale: z.boolean(),
  attentionTraceType: z.enum(["Q", "K", "QK", "V"]).nullish(),
});

/** See {@linkcode traceConfigSchema}. */
// Its recursion is written out: inferred, it depends on which file is checked first.
export type TraceConfig = (typeof oneTraceConfigSchema)["_output"] & {
  readonly downstreamTraceConfig?: TraceConfig | null | undefined;
};

/** The node that a backward pass starts at, or to which a direction belongs. */
export const traceConfigSchema: z.ZodType<TraceConfig, TraceConfig> = oneTraceConfigSchema.extend({
  get downstreamTraceConfig() {
    return traceConfigSchema.nullish();
  },
});

/** A function of the last token's logits. */
export const lossFnConfigSchema = z.strictObject({
  name: z.enum(["logit_diff", "logit_minus_mean", "probs", "zero"]),
  targetTokens: z.array(z.string()).nullish(),
  distractorTokens: z.array(z.string()).nullish(),
});

/** Entries of an activation or of its gradient, and the value to write there. */
export const ablationSpecSchema = z.strictObject({
  index: activationIndexSchema,
  value: z.number(),
});

/** How to derive a scalar; what is left out has the default of {@linkcode resolveConfig}. */
export const dstConfigSchema = z.strictObject({
  deriveGradients: z.boolean().optional(),
  layerIndices: z.array(z.int()).nullish(),
  traceConfig: traceConfigSchema.nullish(),
  nodeIndexForAttribution: nodeIndexForAttributionSchema.nullish(),
  detachLayerNormScaleForAttribution: z.boolean().optional(),
  activationIndexForFakeGrad: activationIndexSchema.nullish(),
});

/**
 * A scalar to derive. Just its name asks for its values, and for its gradient where it has
 * one and the sequence an objective; `null` for the default configuration.
 */
export const dstRequestSchema = z.preprocess(
  (entry) => typeof entry === "string" ? { dst: entry } : entry,
  z.strictObject({
    dst: z.enum(scalarNames),
    config: dstConfigSchema.nullish(),
  }),
);

/** One prompt and what to do with it. */
export const sequenceRequestSchema = z.strictObject({
  tokens: z.array(count).optional(),
  prompt: z.string().optional(),
  lossFnConfig: lossFnConfigSchema.nullable().default(null),
  traceConfig: traceConfigSchema.nullable().default(null),
  ablationSpecs: z.array(ablationSpecSchema).default([]),
  dsts: z.array(dstRequestSchema),
  saveActivations: z.array(z.strictObject({
    activationLocationType: z.enum(locationNames),
    passType,
  })).default([]),
}).refine(
  ({ tokens, prompt }) => (tokens === undefined) !== (prompt === undefined),
  { error: 'have either "tokens" or "prompt", and not both' },
);

/** A batch of sequences. */
export const deriveRequestSchema = z.strictObject({
  name: z.string().optional(),
  model: z.string().optional(),
  autoencoders: z.array(z.strictObject({
    name: z.string(),
    layers: z.array(count).nullable().default(null),
  })).default([]),
  sequences: z.array(sequenceRequestSchema).min(1, { error: "at least one sequence" }),
  topK: z.int().min(1, { error: "at least 1" }).default(10),
});

/** See {@linkcode activationIndexSchema}. */
export type ActivationIndex = (typeof activationIndexSchema)["_output"];
/** See {@linkcode nodeIndexSchema}. */
export type NodeIndex = (typeof nodeIndexSchema)["_output"];
/** See {@linkcode nodeIndexForAttributionSchema}. */
export type NodeIndexForAttribution = (typeof nodeIndexForAttributionSchema)["_output"];
/** Through which of its inputs a head is traced. */
export type AttentionTraceType = NonNullable<TraceConfig["attentionTraceType"]>;
/** See {@linkcode lossFnConfigSchema}. */
export type LossFnConfig = (typeof lossFnConfigSchema)["_output"];
/** See {@linkcode ablationSpecSchema}. */
export type AblationSpec = (typeof ablationSpecSchema)["_output"];
/** See {@linkcode dstConfigSchema}. */
export type DstConfig = (typeof dstConfigSchema)["_output"];
/** See {@linkcode dstRequestSchema}. */
export type DstRequest = (typeof dstRequestSchema)["_output"];
/** See {@linkcode sequenceRequestSchema}. */
export type SequenceRequest = (typeof sequenceRequestSchema)["_output"];
/** See {@linkcode deriveRequestSchema}. */
export type DeriveRequest = (typeof deriveRequestSchema)["_output"];
/** A {@linkcode DeriveRequest} as written: with what has a default left out, perhaps. */
export type DeriveRequestInput = (typeof deriveRequestSchema)["_input"];

/** A scalar's configuration with nothing left out. */
export interface ResolvedDstConfig {
  /** Whether the backward value is wanted beside the forward one. */
  readonly deriveGradients: boolean;
  /** `null` for all layers. */
  readonly layerIndices: readonly number[] | null;
  /** The node to which a direction belongs. */
  readonly traceConfig: TraceConfig | null;
  /** The node at one end of an edge. */
  readonly nodeIndexForAttribution: NodeIndexForAttribution | null;
  /** Whether the layer norm scale counts as a constant along an edge. */
  readonly detachLayerNormScaleForAttribution: boolean;
  /** The unit whose input direction is compared with the vocabulary. */
  readonly activationIndexForFakeGrad: ActivationIndex | null;
}

/**
 * Fills in the defaults. With `null` the gradient is derived too, unless the scalar itself
 * needs one; without a configuration where it can be; with one, only if it says so.
 *
 * @param options `needsBackwardPass`: whether the scalar's forward value needs a gradient.
 * `hasGradient`: whether it has a gradient that this sequence's run can give.
 */
export function resolveConfig(
  config: DstConfig | null | undefined,
  { needsBackwardPass, hasGradient = false }: {
    needsBackwardPass: boolean;
    hasGradient?: boolean;
  },
): ResolvedDstConfig {
  const byDefault = config === null ? !needsBackwardPass : config === undefined && hasGradient;
  return {
    deriveGradients: config?.deriveGradients ?? byDefault,
    layerIndices: config?.layerIndices ?? null,
    traceConfig: config?.traceConfig ?? null,
    nodeIndexForAttribution: config?.nodeIndexForAttribution ?? null,
    detachLayerNormScaleForAttribution: config?.detachLayerNormScaleForAttribution ?? false,
    activationIndexForFakeGrad: config?.activationIndexForFakeGrad ?? null,
  };
}

/**
 * Reads a request.
 *
 * @param json The parsed JSON.
 * @param fileName The file as shown in error messages.
 * @throws {RequestError} `malformed_request`, naming the file and, for everything
 * that is wrong, its path in the JSON, its value and what is wanted instead.
 */
export function parseDeriveRequest(json: unknown, fileName: string): DeriveRequest {
  const parsed = deriveRequestSchema.safeParse(json, { reportInput: true });
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(describeIssue);
  throw new RequestError(
    "malformed_request",
    `Cannot read request "${fileName}": ${problems.join("; ")}`,
    { cause: parsed.error },
  );
}

/** A request for one sequence: its fields, and the request's own, side by side. */
export type OneSequenceInput =
  & Omit<DeriveRequestInput, "sequences">
  & DeriveRequestInput["sequences"][number];

/** A request for one sequence as a batch of one; any other request as it is. */
export function asBatch(request: DeriveRequestInput | OneSequenceInput): DeriveRequestInput {
  if ("sequences" in request) return request;
  const { name, model, autoencoders, topK, ...sequence } = request;
  return {
    ...(name !== undefined && { name }),
    ...(model !== undefined && { model }),
    ...(autoencoders !== undefined && { autoencoders }),
    ...(topK !== undefined && { topK }),
    sequences: [sequence],
  };
}
