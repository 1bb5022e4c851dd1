/**
 * Whether the nodes in a scalar's configuration are of the kind that the scalar
 * needs, and which autoencoders they mean.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import { locations } from "../engine/tape/locations.ts";
import { checkLayers, requireField } from "./check_request.ts";
import {
  checkLatentNode,
  checkNode,
  checkTrace,
  type ResolvedLatent,
  type ResolvedNode,
  type ResolvedTrace,
} from "./check_trace.ts";
import {
  type AutoencoderFacts,
  autoencoderForLocation,
  chooseAutoencoder,
} from "./choose_autoencoder.ts";
import { type SequenceFacts, shapeOfLocation } from "./facts.ts";
import { checkRank, resolveIndex } from "./indices.ts";
import { type AutoencoderInput, autoencoderInputs, type NodeType, nodeTypes } from "./nodes.ts";
import type { ResolvedDstConfig, TraceConfig } from "./request.ts";

/**
 * The trace to whose node a direction belongs that a backward pass has found.
 *
 * @returns `null` if the direction is that of the last layer's residual.
 * @throws {RequestError} as {@linkcode checkTrace}.
 */
export function checkDirectionTrace(
  trace: TraceConfig | null,
  facts: SequenceFacts,
): ResolvedTrace | null {
  return trace && checkTrace(trace, facts, { lossPresent: true, field: "config.traceConfig" });
}

/**
 * The trace along whose node's gradient, recomputed, a scalar is projected.
 *
 * @throws {RequestError} `trace_config_missing`; `invalid_trace` for a `V` trace,
 * which has no activation to differentiate; or as {@linkcode checkTrace}.
 */
export function checkActivationTrace(
  dst: string,
  config: ResolvedDstConfig,
  facts: SequenceFacts,
): ResolvedTrace {
  const trace = requireField(dst, config, "traceConfig");
  if (trace.attentionTraceType === "V") {
    throw new RequestError(
      "invalid_trace",
      `Cannot derive "${dst}" with config.traceConfig.attentionTraceType "V": ` +
        'it must be "Q", "K" or "QK" for an attention head',
    );
  }
  return checkTrace(trace, facts, { lossPresent: true, field: "config.traceConfig" });
}

/**
 * The latent of which a scalar is the gradient, or to which it is a write.
 *
 * @param options `inputs`: what its autoencoder may read.
 * @throws {RequestError} `trace_config_missing`, `no_such_autoencoder` naming the
 * scalar, or as {@linkcode checkLatentNode}.
 */
export function checkLatentTrace(
  dst: string,
  config: ResolvedDstConfig,
  { facts, inputs }: { facts: SequenceFacts; inputs: readonly AutoencoderInput[] },
): ResolvedLatent {
  const { nodeIndex } = requireField(dst, config, "traceConfig");
  const field = "config.traceConfig.nodeIndex";
  const latent = checkLatentNode(nodeIndex, facts, { field, asked: dst });
  const { name, dst: input } = latent.autoencoder;
  if (inputs.includes(input)) return latent;
  throw new RequestError(
    "no_such_autoencoder",
    `Cannot derive "${dst}" with autoencoder "${name}" on "${input}": ` +
      `it must be on ${inputs.map((wanted) => `"${wanted}"`).join(" or ")}`,
  );
}

/** The node that an edge starts at or ends in. */
export interface ResolvedSubnode extends ResolvedNode {
  /** Which input of a head, `null` for other nodes and for a node that an edge starts at. */
  readonly qKOrV: "attn.q" | "attn.k" | "attn.v" | null;
}

/**
 * The node on the one side of an edge, or alone.
 *
 * @param options `side`: `upstream` for a node whose write is followed, `downstream`
 * for one to whose inputs it is attributed.
 * @throws {RequestError} `node_index_missing`; `invalid_trace` naming `qKOrV` if a
 * downstream head is without or another node with it; or as {@linkcode checkNode}.
 */
export function checkNodeForAttribution(
  dst: string,
  config: ResolvedDstConfig,
  { facts, side }: { facts: SequenceFacts; side: "upstream" | "downstream" },
): ResolvedSubnode {
  const index = requireField(dst, config, "nodeIndexForAttribution");
  const node = checkNode(index, facts, { field: "nodeIndexForAttribution", asked: dst });
  const qKOrV = index.qKOrV ?? null;
  const needed = side === "downstream" && node.nodeType === "attention_head";
  if (needed === (qKOrV !== null)) return { ...node, qKOrV };
  throw new RequestError(
    "invalid_trace",
    `Cannot derive "${dst}" for ${side} node type "${node.nodeType}" with ` +
      `nodeIndexForAttribution.qKOrV ${JSON.stringify(qKOrV)}: ` +
      `it must be ${needed ? '"attn.q", "attn.k" or "attn.v"' : "null"}`,
  );
}

/**
 * The autoencoder of the many latents on the other side of an edge: that of the
 * node if it is a latent, otherwise the only one.
 *
 * @param options `layers`: those in which it must run.
 * @throws {RequestError} `no_such_autoencoder` or
 * `generic_name_with_two_autoencoders`, naming the scalar.
 */
export function autoencoderForEdge(
  dst: string,
  nodeType: NodeType,
  { autoencoders, layers }: {
    autoencoders: readonly AutoencoderFacts[];
    layers: readonly number[];
  },
): AutoencoderFacts {
  const choice = nodeTypes[nodeType].autoencoder ?? "only";
  return chooseAutoencoder(choice, autoencoders, { asked: dst, layers });
}

/** A neuron, or a latent of the MLP's autoencoder, whatever the token. */
export interface ResolvedUnit {
  /** The layer that it is in. */
  readonly layer: number;
  /** Which neuron or latent, not negative. */
  readonly index: number;
  /** That of the latent, `null` for a neuron. */
  readonly autoencoder: AutoencoderFacts | null;
}

/**
 * The unit whose input direction is compared with the vocabulary. Its token is
 * not looked at.
 *
 * @throws {RequestError} `fake_grad_index_missing`, `invalid_trace` for a location
 * that has no such units, or as the checks of an ablation.
 */
export function checkFakeGrad(
  dst: string,
  config: ResolvedDstConfig,
  facts: SequenceFacts,
): ResolvedUnit {
  const wanted = requireField(dst, config, "activationIndexForFakeGrad");
  const { activationLocationType: name, layerIndex, tensorIndices } = wanted;
  const allowed = ["mlp.post_act", "online_autoencoder_latent", "online_mlp_autoencoder_latent"];
  if (!allowed.includes(name)) {
    throw new RequestError(
      "invalid_trace",
      `Cannot derive "${dst}" with activationIndexForFakeGrad.activationLocationType "${name}": ` +
        `it must be one of ${allowed.map((location) => `"${location}"`).join(", ")}`,
    );
  }
  const layer = checkOneLayer(dst, layerIndex, facts);
  const asked = { asked: name, layers: [layer] };
  const autoencoder = autoencoderForLocation(name, facts.autoencoders, asked);
  if (autoencoder !== null && autoencoderInputs[autoencoder.dst].place !== "mlp") {
    chooseAutoencoder("mlp", facts.autoencoders, asked);
  }
  const { dims } = locations[name];
  checkRank(tensorIndices, dims, { name });
  const index = tensorIndices.at(-1)!;
  if (index === "All") {
    throw new RequestError(
      "indices_not_integers",
      `Cannot derive "${dst}" for tensorIndices ${JSON.stringify(tensorIndices)} of "${name}": ` +
        "the last one must be an integer",
    );
  }
  const size = shapeOfLocation(name, facts).at(-1)!;
  return { layer, index: resolveIndex(index, size, { name, dim: dims.at(-1)! }), autoencoder };
}

function checkOneLayer(dst: string, layer: number | null, facts: SequenceFacts): number {
  if (layer !== null) return checkLayers(dst, [layer], facts)[0]!;
  throw new RequestError(
    "no_such_layer",
    `Cannot derive "${dst}" in layer null: layers must be from 0 to ${facts.nLayers - 1}`,
  );
}
