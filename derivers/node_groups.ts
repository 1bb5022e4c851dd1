/**
 * Nodes of all kinds, sorted by kind and layer, to be processed together.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import type { AutoencoderFacts } from "./choose_autoencoder.ts";
import { checkNode } from "./check_trace.ts";
import type { SequenceFacts } from "./facts.ts";
import { checkRank, resolveIndex } from "./indices.ts";
import { type NodeType, nodeTypes } from "./nodes.ts";
import type { NodeIndex } from "./request.ts";

/** What nodes can be asked after a run. */
export const postprocessorNames = [
  "residualWrites",
  "tokenWrites",
  "residualReads",
  "tokenReads",
  "tokenPairAttributions",
] as const;

/** One of {@linkcode postprocessorNames}. */
export type PostprocessorName = (typeof postprocessorNames)[number];

/** A node of a group. */
export interface GroupedNode {
  /** Its place among the nodes asked for. */
  readonly place: number;
  /** Not negative: [q, k, h] for a head, [t, n] for others. */
  readonly indices: readonly number[];
}

/** Nodes of one kind in one layer. */
export interface NodeGroup {
  readonly kind: "embedding" | "neuron" | "head" | "latent";
  /** `null` for embeddings. */
  readonly layer: number | null;
  /** That of latents. */
  readonly autoencoder: AutoencoderFacts | null;
  readonly nodes: readonly GroupedNode[];
}

/**
 * Whether a postprocessor is defined for nodes of this kind; which one a latent of type
 * `autoencoder_latent` is follows from the autoencoder.
 */
export function isDefinedFor(
  name: PostprocessorName,
  { nodeType, layerIndex }: Pick<NodeIndex, "nodeType" | "layerIndex">,
  { autoencoders }: Pick<SequenceFacts, "autoencoders">,
): boolean {
  const kind = kindOf(nodeType, layerIndex);
  switch (name) {
    case "residualWrites":
    case "tokenWrites":
      return kind !== null;
    case "residualReads":
    case "tokenReads":
      return kind === "neuron" || kind === "latent";
    case "tokenPairAttributions":
      return nodeType === "attention_autoencoder_latent" ||
        (nodeType === "autoencoder_latent" && autoencoders.length === 1 &&
          autoencoders[0]!.dst === "resid_delta_attn");
  }
}

function kindOf(nodeType: NodeType, layerIndex: number | null): NodeGroup["kind"] | null {
  switch (nodeType) {
    case "mlp_neuron":
      return "neuron";
    case "attention_head":
      return "head";
    case "autoencoder_latent":
    case "mlp_autoencoder_latent":
    case "attention_autoencoder_latent":
      return "latent";
    case "layer":
      return layerIndex === null ? "embedding" : null;
    default:
      return null;
  }
}

/**
 * Checks nodes and sorts them by kind and layer.
 *
 * @param options `name`: what they are asked, as it is called.
 * @throws {RequestError} `not_defined` naming the node type if it is not defined for a node;
 * otherwise as `checkNode`.
 */
export function groupNodes(
  nodes: readonly NodeIndex[],
  { facts, name }: { facts: SequenceFacts; name: PostprocessorName },
): NodeGroup[] {
  const groups = new Map<string, Omit<NodeGroup, "nodes"> & { nodes: GroupedNode[] }>();
  nodes.forEach((node, place) => {
    const { nodeType, layerIndex } = node;
    const kind = kindOf(nodeType, layerIndex);
    if (kind === null || !isDefinedFor(name, node, facts)) {
      throw new RequestError(
        "not_defined",
        `Cannot compute ${name}() of a node of type "${nodeType}" (layer ` +
          `${layerIndex ?? "none"}): it is defined only for ${definedFor[name]}`,
      );
    }
    const { indices, autoencoder } = kind === "embedding"
      ? { indices: embeddingIndices(node, facts), autoencoder: null }
      // The node is asked about as such, whichever pass found it.
      : checkNode({ ...node, passType: "forward" }, facts, { field: "nodeIndex" });
    const key = `${kind} ${autoencoder?.name} ${layerIndex}`;
    let group = groups.get(key);
    if (group === undefined) {
      group = { kind, layer: layerIndex, autoencoder, nodes: [] };
      groups.set(key, group);
    }
    group.nodes.push({ place, indices });
  });
  return [...groups.values()];
}

const writers = "neurons, attention heads, latents and the embedding (a layer without layer)";
const readers = "neurons and latents";
const definedFor: Readonly<Record<PostprocessorName, string>> = {
  residualWrites: writers,
  tokenWrites: writers,
  residualReads: readers,
  tokenReads: readers,
  tokenPairAttributions: 'latents of an autoencoder on "resid_delta_attn"',
};

function embeddingIndices({ tensorIndices }: NodeIndex, { nTokens }: SequenceFacts): number[] {
  const { dims } = nodeTypes.layer;
  checkRank(tensorIndices, dims, { name: "layer" });
  const sizes = [nTokens, 1];
  return tensorIndices.map((index, i) => {
    if (typeof index === "number") {
      return resolveIndex(index, sizes[i]!, { name: "layer", dim: dims[i]! });
    }
    throw new RequestError(
      "indices_not_integers",
      `Cannot use tensorIndices ${JSON.stringify(tensorIndices)} for "layer": ` +
        "all of them must be integers",
    );
  });
}
