/**
 * Indices: into tensors, and from scalars and activations to the nodes they
 * belong to and back.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import { locations, type PassType } from "../engine/tape/locations.ts";
import { nodeTypeOfDim, nodeTypes, type ScalarDimName } from "./nodes.ts";
import type { ActivationIndex, NodeIndex } from "./request.ts";
import type { ScalarName } from "./table.ts";

/** One entry of a derived scalar. */
export interface ScalarIndex {
  /** The scalar. */
  readonly dst: ScalarName;
  /** Its value or the gradient there. */
  readonly passType: PassType;
  /** `null` for a scalar without layers. */
  readonly layerIndex: number | null;
  /** One index per dimension, not negative. */
  readonly tensorIndices: readonly number[];
}

/** The place in row-major order of an entry of a tensor of that shape. */
export function ravel(indices: readonly number[], shape: readonly number[]): number {
  return shape.reduce((flat, size, dim) => flat * size + indices[dim]!, 0);
}

/** The indices of the entry at that place in row-major order. */
export function unravel(flat: number, shape: readonly number[]): number[] {
  const indices = new Array<number>(shape.length);
  for (let dim = shape.length - 1; dim >= 0; dim--) {
    const size = shape[dim]!;
    indices[dim] = flat % size;
    flat = Math.floor(flat / size);
  }
  return indices;
}

/** The place of (q, k), with k ≤ q, among the token pairs (0,0), (1,0), (1,1), (2,0), … */
export function pairOfTokens(q: number, k: number): number {
  return q * (q + 1) / 2 + k;
}

/** The (q, k) at a place among the token pairs. */
export function tokensOfPair(pair: number): [q: number, k: number] {
  const q = Math.floor((Math.sqrt(8 * pair + 1) - 1) / 2);
  return [q, pair - pairOfTokens(q, 0)];
}

/**
 * A negative index counted from the end.
 *
 * @param options `name`: of what has the dimension; `dim`: of the dimension.
 * @throws {RequestError} `index_out_of_range` naming the index.
 */
export function resolveIndex(
  index: number,
  size: number,
  { name, dim }: { name: string; dim: ScalarDimName },
): number {
  if (index < -size || index >= size) {
    throw new RequestError(
      "index_out_of_range",
      `Cannot use index ${index} for "${dim}" of "${name}": ` +
        `the size is ${size}, so indices must be from ${-size} to ${size - 1}`,
    );
  }
  return index < 0 ? index + size : index;
}

/**
 * Checks that there is one index per dimension.
 *
 * @throws {RequestError} `wrong_number_of_indices` naming what is indexed.
 */
export function checkRank(
  indices: readonly unknown[],
  dims: readonly ScalarDimName[],
  { name }: { name: string },
): void {
  if (indices.length === dims.length) return;
  throw new RequestError(
    "wrong_number_of_indices",
    `Cannot use tensorIndices ${JSON.stringify(indices)} for "${name}": ` +
      `it has ${dims.length} dimensions, ${dims.join(", ")}`,
  );
}

/**
 * The node that an entry of a scalar belongs to. A token pair becomes (q, k).
 *
 * @param row The scalar's row of the table.
 */
export function nodeOfScalar(
  index: ScalarIndex,
  row: { readonly nodeType: NodeIndex["nodeType"]; readonly dims: readonly ScalarDimName[] },
): NodeIndex {
  const { layerIndex, passType, tensorIndices } = index;
  const [first = 0, ...rest] = tensorIndices;
  return {
    nodeType: row.nodeType,
    layerIndex,
    tensorIndices: row.dims[0] === "sequence_token_pairs"
      ? [...tokensOfPair(first), ...rest]
      : [...tensorIndices],
    passType,
  };
}

/**
 * The entry of a scalar that belongs to a node.
 *
 * @param row The scalar's name and dimensions.
 * @throws {RequestError} if the node has another number of indices, indices that
 * are no integers, or, for a scalar over token pairs, a key after the query.
 */
export function scalarOfNode(
  node: NodeIndex,
  row: { readonly dst: ScalarName; readonly dims: readonly ScalarDimName[] },
): ScalarIndex {
  const { layerIndex, passType } = node;
  const tensorIndices = integers(node.tensorIndices, row.dst);
  const inPairs = row.dims[0] === "sequence_token_pairs";
  const dims: readonly ScalarDimName[] = inPairs
    ? ["sequence_tokens", "attended_to_sequence_tokens", ...row.dims.slice(1)]
    : row.dims;
  checkRank(tensorIndices, dims, { name: row.dst });
  if (!inPairs) return { dst: row.dst, passType, layerIndex, tensorIndices };
  const [q = 0, k = 0, ...rest] = tensorIndices;
  if (k > q) {
    throw new RequestError(
      "index_out_of_range",
      `Cannot use token pair (${q}, ${k}) for "${row.dst}": a token attends only to itself ` +
        "and those before it",
    );
  }
  return { dst: row.dst, passType, layerIndex, tensorIndices: [pairOfTokens(q, k), ...rest] };
}

/**
 * The activation that a node is: the attention probability of a head, the output
 * of a neuron's nonlinearity, a latent, a logit.
 *
 * @throws {RequestError} if nodes of that type are not one activation.
 */
export function activationOfNode(node: NodeIndex): ActivationIndex {
  const { nodeType, layerIndex, passType } = node;
  const { location } = nodeTypes[nodeType];
  if (location === null) {
    throw new RequestError(
      "node_is_no_activation",
      `Cannot find the activation of a node of type "${nodeType}": there is no single one`,
    );
  }
  return {
    activationLocationType: location,
    layerIndex,
    tensorIndices: integers(node.tensorIndices, nodeType),
    passType,
  };
}

/** The node that an entry of an activation belongs to, by the location's last dimension. */
export function nodeOfActivation(index: ActivationIndex): NodeIndex {
  const { activationLocationType, layerIndex, tensorIndices, passType } = index;
  const nodeType = latentNodeTypes[activationLocationType] ??
    nodeTypeOfDim(locations[activationLocationType].dims.at(-1)!);
  return { nodeType, layerIndex, tensorIndices: [...tensorIndices], passType };
}

const latentNodeTypes: Readonly<
  Partial<Record<ActivationIndex["activationLocationType"], NodeIndex["nodeType"]>>
> = {
  online_mlp_autoencoder_latent: "mlp_autoencoder_latent",
  online_attention_autoencoder_latent: "attention_autoencoder_latent",
};

function integers(indices: NodeIndex["tensorIndices"], name: string): number[] {
  return indices.map((index) => {
    if (typeof index === "number") return index;
    throw new RequestError(
      "indices_not_integers",
      `Cannot use tensorIndices ${JSON.stringify(indices)} for "${name}": ` +
        "all of them must be integers",
    );
  });
}
