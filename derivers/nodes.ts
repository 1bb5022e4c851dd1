/**
 * The node types, and where in the order of computation a node stands. Which
 * autoencoder reads what stands here too, as its latents are nodes.
 *
 * @module
 */

import type { AutoencoderSite } from "../engine/model/autoencoder.ts";
import type { DimName, LocationName } from "../engine/tape/locations.ts";

/**
 * Places within a layer, in the order of computation. `endOfPrevLayer` is the
 * residual that the layer's attention reads, `residPostAttn` the one its MLP reads.
 */
export const places = {
  endOfPrevLayer: 1,
  attn: 2,
  residPostAttn: 3,
  mlp: 4,
  residPostMlp: 5,
} as const;

/** A place within a layer. */
export type Place = keyof typeof places;

/** What a scalar's dimensions can be: those of activations, and the lower triangle of (q, k). */
export type ScalarDimName = DimName | "sequence_token_pairs";

/** One row of {@linkcode nodeTypes}. */
export interface NodeKind {
  /** What `tensorIndices` of a node index counts, in order. */
  readonly dims: readonly [DimName, ...DimName[]];
  /** Place within its layer; `null` where the node type alone does not say. */
  readonly place: Place | null;
  /** For latents, which autoencoder: `only` is the single one loaded, whatever it reads. */
  readonly autoencoder: "only" | "mlp" | "attention" | null;
  /** The activation that the node is, if there is just one; `null` otherwise. */
  readonly location: LocationName | null;
}

/** Every node type. */
export const nodeTypes = {
  attention_head: {
    dims: ["sequence_tokens", "attended_to_sequence_tokens", "attn_heads"],
    place: "attn",
    autoencoder: null,
    location: "attn.qk_probs",
  },
  qk_channel: {
    dims: ["sequence_tokens", "attn_heads", "query_and_key_channels"],
    place: "attn",
    autoencoder: null,
    location: null, // attn.q or attn.k
  },
  v_channel: {
    dims: ["sequence_tokens", "attn_heads", "value_channels"],
    place: "attn",
    autoencoder: null,
    location: null, // attn.v or attn.v_out
  },
  mlp_neuron: {
    dims: ["sequence_tokens", "mlp_acts"],
    place: "mlp",
    autoencoder: null,
    location: "mlp.post_act",
  },
  autoencoder_latent: {
    dims: ["sequence_tokens", "autoencoder_latents"],
    place: null, // that of the autoencoder's input
    autoencoder: "only",
    location: "online_autoencoder_latent",
  },
  mlp_autoencoder_latent: {
    dims: ["sequence_tokens", "autoencoder_latents"],
    place: "mlp",
    autoencoder: "mlp",
    location: "online_mlp_autoencoder_latent",
  },
  attention_autoencoder_latent: {
    dims: ["sequence_tokens", "autoencoder_latents"],
    place: "attn",
    autoencoder: "attention",
    location: "online_attention_autoencoder_latent",
  },
  autoencoder_latent_by_token_pair: {
    dims: ["sequence_tokens", "attended_to_sequence_tokens", "autoencoder_latents"],
    place: "attn",
    autoencoder: "attention",
    location: null,
  },
  layer: {
    dims: ["sequence_tokens", "singleton"],
    place: null,
    autoencoder: null,
    location: null,
  },
  residual_stream_channel: {
    dims: ["sequence_tokens", "residual_stream_channels"],
    place: null,
    autoencoder: null,
    location: null,
  },
  vocab_token: {
    dims: ["sequence_tokens", "vocab_size"],
    place: null,
    autoencoder: null,
    location: "logits",
  },
} as const satisfies Record<string, NodeKind>;

/** Name of a node type. */
export type NodeType = keyof typeof nodeTypes;

/** All node types. */
export const nodeTypeNames = Object.keys(nodeTypes) as NodeType[];

/** Node types whose activation can be traced, recomputed or attributed to. */
export const traceableNodeTypes = [
  "attention_head",
  "mlp_neuron",
  "autoencoder_latent",
  "mlp_autoencoder_latent",
  "attention_autoencoder_latent",
] as const satisfies readonly NodeType[];

/** One of {@linkcode traceableNodeTypes}. */
export type TraceableNodeType = (typeof traceableNodeTypes)[number];

/** Whether nodes of that type can be traced. */
export function isTraceable(nodeType: NodeType): nodeType is TraceableNodeType {
  return (traceableNodeTypes as readonly NodeType[]).includes(nodeType);
}

const nodeTypeByLastDim: Readonly<Partial<Record<ScalarDimName, NodeType>>> = {
  mlp_acts: "mlp_neuron",
  attn_heads: "attention_head",
  query_and_key_channels: "qk_channel",
  value_channels: "v_channel",
  singleton: "layer",
  residual_stream_channels: "residual_stream_channel",
  vocab_size: "vocab_token",
  autoencoder_latents: "autoencoder_latent",
};

/**
 * The node type of whatever has that last dimension.
 *
 * @throws {TypeError} if it is a token dimension, which is never the last one.
 */
export function nodeTypeOfDim(lastDim: ScalarDimName): NodeType {
  const nodeType = nodeTypeByLastDim[lastDim];
  if (nodeType === undefined) {
    throw new TypeError(`Internal error: "${lastDim}" is the last dimension of nothing`);
  }
  return nodeType;
}

/** Where a node or direction stands; without a layer, it comes before all layers. */
export type Position = { readonly layer: number; readonly place: Place } | {
  readonly layer: null;
};

/** Where a direction in the residual stream, a gradient with respect to it, stands. */
export interface DirectionPosition {
  /** The layer that it is in, or that reads it. */
  readonly layer: number;
  /** The place within that layer. */
  readonly place: Place;
}

/**
 * Whether what happens at `upstream` can have a direct effect along `direction`:
 * it has no layer, or comes strictly before it.
 */
export function precedes(upstream: Position, direction: DirectionPosition): boolean {
  if (upstream.layer === null) return true;
  if (upstream.layer !== direction.layer) return upstream.layer < direction.layer;
  return places[upstream.place] < places[direction.place];
}

/** What an autoencoder can read, as `dst` of its configuration says it. */
export type AutoencoderInput = AutoencoderSite;

/** The latents of an autoencoder of each input as nodes. */
export const autoencoderInputs = {
  mlp_post_act: { nodeType: "mlp_autoencoder_latent", place: "mlp" },
  resid_delta_mlp: { nodeType: "mlp_autoencoder_latent", place: "mlp" },
  resid_delta_attn: { nodeType: "attention_autoencoder_latent", place: "attn" },
} as const satisfies Record<AutoencoderInput, { nodeType: NodeType; place: "attn" | "mlp" }>;

/** A residual stream activation, and where it stands in the order of computation. */
export interface Residual {
  /** The activation. */
  readonly location: "resid.post_emb" | "resid.post_mlp" | "resid.post_attn";
  /** The layer of the activation, `null` for the embedding. */
  readonly layerIndex: number | null;
  /** The same in terms of the layer that reads it. */
  readonly position: DirectionPosition;
}

/** The residual that a layer's attention (`attn`) or its MLP (`mlp`) reads. */
export function residualBefore(place: "attn" | "mlp", layer: number): Residual {
  if (place === "mlp") {
    const position = { layer, place: "residPostAttn" } as const;
    return { location: "resid.post_attn", layerIndex: layer, position };
  }
  const position = { layer, place: "endOfPrevLayer" } as const;
  return layer === 0
    ? { location: "resid.post_emb", layerIndex: null, position }
    : { location: "resid.post_mlp", layerIndex: layer - 1, position };
}
