/**
 * Whether the nodes of a request can be traced: that they exist in the model, and
 * that what is said beside them belongs to a node of their kind.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import { type AutoencoderFacts, autoencoderForNodeType } from "./choose_autoencoder.ts";
import { type SequenceFacts, shapeOf } from "./facts.ts";
import { checkRank, resolveIndex } from "./indices.ts";
import {
  autoencoderInputs,
  isTraceable,
  nodeTypes,
  type Residual,
  residualBefore,
  type TraceableNodeType,
  traceableNodeTypes,
} from "./nodes.ts";
import type { AttentionTraceType, NodeIndex, TraceConfig } from "./request.ts";

/** A node with everything about it spelt out. */
export interface ResolvedNode {
  /** What kind of node. */
  readonly nodeType: TraceableNodeType;
  /** The layer that it is in. */
  readonly layer: number;
  /** Not negative: [q, k, h] for a head, [t, n] for others. */
  readonly indices: readonly number[];
  /** The place within the layer at which it writes. */
  readonly place: "attn" | "mlp";
  /** That of a latent, `null` for other nodes. */
  readonly autoencoder: AutoencoderFacts | null;
  /** The residual from which it is recomputed, R(node). */
  readonly residual: Residual;
}

/** A trace with everything about it spelt out. */
export interface ResolvedTrace {
  /** The node that is traced. */
  readonly node: ResolvedNode;
  /** Whether before or after its nonlinearity. */
  readonly preOrPostAct: "pre" | "post";
  /** Whether the layer norm scale before it counts as a constant. */
  readonly detachLayerNormScale: boolean;
  /** `null` unless the node is a head. */
  readonly attentionTraceType: AttentionTraceType | null;
  /** The node towards which a `V` trace goes; `null` towards the loss. */
  readonly downstream: ResolvedTrace | null;
}

/**
 * Checks a trace.
 *
 * @param options `lossPresent`: whether the sequence has a loss, which a `V` trace
 * without a downstream node needs; true for a trace that is not run, but only says
 * to which node a direction belongs. `field`: where the trace stands in the request.
 * @throws {RequestError} `invalid_trace` naming the offending field, or as
 * {@linkcode checkNode}.
 */
export function checkTrace(
  trace: TraceConfig,
  facts: SequenceFacts,
  { lossPresent, field = "traceConfig" }: { lossPresent: boolean; field?: string },
): ResolvedTrace {
  const node = checkNode(trace.nodeIndex, facts, { field: `${field}.nodeIndex` });
  const attentionTraceType = trace.attentionTraceType ?? null;
  const { nodeType } = trace.nodeIndex;
  if (nodeType === "attention_head" && attentionTraceType === null) {
    throw invalid(
      `Cannot trace a node of type "${nodeType}" without ${field}.attentionTraceType: ` +
        'current value is null, it must be "Q", "K", "QK" or "V"',
    );
  }
  if (nodeType !== "attention_head" && attentionTraceType !== null) {
    throw invalid(
      `Cannot trace a node of type "${nodeType}" with ${field}.attentionTraceType: ` +
        `current value is "${attentionTraceType}", it must be null for all but attention heads`,
    );
  }
  const downstreamField = `${field}.downstreamTraceConfig`;
  const downstream = trace.downstreamTraceConfig ?? null;
  if (downstream !== null && attentionTraceType !== "V") {
    throw invalid(
      `Cannot trace towards ${downstreamField} unless attentionTraceType is "V": ` +
        `current value is ${JSON.stringify(attentionTraceType)}`,
    );
  }
  if (downstream?.attentionTraceType === "V") {
    throw invalid(
      `Cannot trace towards a node with ${downstreamField}.attentionTraceType "V": ` +
        'it must be "Q", "K" or "QK" for an attention head',
    );
  }
  if (attentionTraceType === "V" && downstream === null && !lossPresent) {
    throw invalid(
      `Cannot trace with ${field}.attentionTraceType "V" towards nothing: ` +
        "it needs a lossFnConfig or a downstreamTraceConfig",
    );
  }
  return {
    node,
    preOrPostAct: trace.preOrPostAct,
    detachLayerNormScale: trace.detachLayerNormScale,
    attentionTraceType,
    downstream: downstream === null
      ? null
      : checkTrace(downstream, facts, { lossPresent, field: downstreamField }),
  };
}

/**
 * Checks the index of a single node.
 *
 * @param options `field`: where the index stands in the request. `asked`: the name
 * for which its autoencoder is wanted, its node type unless given.
 * @throws {RequestError} `invalid_trace` naming `nodeType`, `passType` or
 * `tensorIndices`; `no_such_layer` naming the layer; `wrong_number_of_indices`
 * naming the node type; `index_out_of_range` naming the index;
 * `no_such_autoencoder` or `generic_name_with_two_autoencoders` naming `asked`.
 */
export function checkNode(
  node: NodeIndex,
  facts: SequenceFacts,
  { field, asked }: { field: string; asked?: string },
): ResolvedNode {
  const site = checkNodeSite(node, facts, { field, ...(asked !== undefined && { asked }) });
  const indices = node.tensorIndices.filter((index) => typeof index === "number");
  if (indices.length !== node.tensorIndices.length) {
    throw invalid(
      `Cannot use ${field}.tensorIndices ${JSON.stringify(node.tensorIndices)}: ` +
        "all of them must be integers",
    );
  }
  const { dims } = nodeTypes[site.nodeType];
  const shape = shapeOf(dims, facts, { nLatents: site.autoencoder?.nLatents });
  return {
    ...site,
    indices: indices.map((index, i) =>
      resolveIndex(index, shape[i]!, { name: site.nodeType, dim: dims[i]! })
    ),
  };
}

/** One latent of an autoencoder, at all tokens. */
export interface ResolvedLatent extends Omit<ResolvedNode, "indices" | "autoencoder"> {
  /** That of the latent. */
  readonly autoencoder: AutoencoderFacts;
  /** Index of the latent, not negative. */
  readonly latent: number;
}

/**
 * Checks the index of a latent at all tokens: `[null, i]` or `["All", i]`.
 *
 * @param options As for {@linkcode checkNode}.
 * @throws {RequestError} as {@linkcode checkNode}.
 */
export function checkLatentNode(
  node: NodeIndex,
  facts: SequenceFacts,
  { field, asked }: { field: string; asked: string },
): ResolvedLatent {
  const { autoencoder, ...site } = checkNodeSite(node, facts, { field, asked });
  if (autoencoder === null) {
    throw invalid(
      `Cannot derive "${asked}" from ${field}.nodeType "${node.nodeType}": ` +
        "it must be a type of latent",
    );
  }
  const [token, latent] = node.tensorIndices;
  if (typeof token === "number" || typeof latent !== "number") {
    throw invalid(
      `Cannot derive "${asked}" from ${field}.tensorIndices ` +
        `${JSON.stringify(node.tensorIndices)}: they must be null or "All", and an integer`,
    );
  }
  const at = { name: node.nodeType, dim: "autoencoder_latents" } as const;
  return { ...site, autoencoder, latent: resolveIndex(latent, autoencoder.nLatents, at) };
}

/** All of a node but its indices, of which the number is checked. */
function checkNodeSite(
  { nodeType, passType, layerIndex, tensorIndices }: NodeIndex,
  facts: SequenceFacts,
  { field, asked = nodeType }: { field: string; asked?: string },
): Omit<ResolvedNode, "indices"> {
  if (!isTraceable(nodeType)) {
    const wanted = traceableNodeTypes.map((name) => `"${name}"`).join(", ");
    throw invalid(`Cannot use ${field}.nodeType "${nodeType}": it must be one of ${wanted}`);
  }
  if (passType !== "forward") {
    throw invalid(`Cannot use ${field}.passType "${passType}": it must be "forward"`);
  }
  if (layerIndex === null || layerIndex < 0 || layerIndex >= facts.nLayers) {
    throw new RequestError(
      "no_such_layer",
      `Cannot use ${field}.layerIndex ${layerIndex}: ` +
        `layers must be from 0 to ${facts.nLayers - 1}`,
    );
  }
  checkRank(tensorIndices, nodeTypes[nodeType].dims, { name: nodeType });
  const autoencoder = autoencoderForNodeType(nodeType, facts.autoencoders, {
    asked,
    layers: [layerIndex],
  });
  const place = autoencoder === null
    ? nodeType === "attention_head" ? "attn" : "mlp"
    : autoencoderInputs[autoencoder.dst].place;
  const residual = residualBefore(place, layerIndex);
  return { nodeType, layer: layerIndex, place, autoencoder, residual };
}

function invalid(message: string): RequestError {
  return new RequestError("invalid_trace", message);
}
