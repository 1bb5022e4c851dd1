/**
 * Groups of scalars of the same nodes: the top nodes by any of them, and the values
 * of all of them at those nodes.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import type { PassType } from "../engine/tape/locations.ts";
import { sizeOf } from "../engine/tape/tensor.ts";
import { pairOfTokens, ravel, resolveIndex, scalarOfNode } from "./indices.ts";
import type { NodeType, ScalarDimName } from "./nodes.ts";
import { endsOf, type EntryPlace, readEntries, type ScalarRange, topOf } from "./range_ends.ts";
import type { NodeIndex } from "./request.ts";
import type { ScalarEntry, ScalarStore, ScalarTensor, TopScalar } from "./scalar_store.ts";
import { type ScalarName, type ScalarRow, scalarTable } from "./table.ts";

/** What a group's scalars say of their nodes. */
export const groupIds = [
  "act_times_grad",
  "activation",
  "direct_write_to_grad",
  "direction_write",
  "logits",
  "mlp_layer_write",
  "singleton",
  "token_write",
  "token_read",
  "write_norm",
  "token_pair_attribution",
] as const;

/** One of {@linkcode groupIds}. */
export type GroupId = (typeof groupIds)[number];

/** Scalars that say the same of nodes of different types. */
export interface Group {
  /** What the scalars say. */
  readonly groupId: GroupId;
  /** One for each node type. */
  readonly scalars: readonly ScalarName[];
}

/** Groups that fit together; from {@linkcode createGroups}. */
export interface Groups {
  /** In the order of the request. */
  readonly groups: readonly Group[];
  /** The node types of each group's scalars, in order. */
  readonly nodeTypes: readonly NodeType[];
}

/** Groups, and a store with all of their scalars. */
export interface GroupStore {
  /** Which scalars. */
  readonly groups: Groups;
  /** Their values. */
  readonly scalars: ScalarStore<ScalarTensor>;
}

/** Which nodes {@linkcode topNodes} looks for. */
export interface TopNodesOptions {
  /** How many from each end, of each scalar; `null` for all. */
  readonly topAndBottomK: number | null;
  /** Only nodes of this token; counted from the end if negative. */
  readonly tokenIndex?: number | null;
  /** Values, the default, or gradients. */
  readonly passType?: PassType;
}

/**
 * Groups of scalars, checked; nothing needs to have run.
 *
 * @throws {RequestError} `group_repeated` naming the group; `node_type_repeated` naming the
 * two scalars of one node type in a group; `groups_differ` naming the groups if their
 * scalars do not have the same node types in the same order.
 */
export function createGroups(groups: readonly Group[]): Groups {
  const [first, ...others] = groups;
  if (first === undefined) return { groups, nodeTypes: [] };
  const repeated = groups.find(({ groupId }, i) =>
    groups.slice(0, i).some((earlier) => earlier.groupId === groupId)
  );
  if (repeated !== undefined) {
    throw new RequestError(
      "group_repeated",
      `Cannot use group "${repeated.groupId}" twice: list all of its scalars in one`,
    );
  }
  groups.forEach(checkNodeTypes);
  const nodeTypes = nodeTypesOf(first);
  for (const other of others) {
    const theirs = nodeTypesOf(other);
    if (theirs.join() === nodeTypes.join()) continue;
    throw new RequestError(
      "groups_differ",
      `Cannot use groups "${first.groupId}" and "${other.groupId}" together as their scalars ` +
        "must have the same node types in the same order: current ones are " +
        `${nodeTypes.join(", ")} and ${theirs.join(", ")}`,
    );
  }
  return { groups, nodeTypes };
}

function checkNodeTypes({ groupId, scalars }: Group): void {
  const byNodeType = new Map<NodeType, ScalarName>();
  for (const dst of scalars) {
    const { nodeType } = scalarTable[dst];
    const other = byNodeType.get(nodeType);
    if (other !== undefined) {
      throw new RequestError(
        "node_type_repeated",
        `Cannot use "${other}" and "${dst}" both in group "${groupId}" as a node type must ` +
          `occur once: "${nodeType}" is that of both`,
      );
    }
    byNodeType.set(nodeType, dst);
  }
}

function nodeTypesOf({ scalars }: Group): NodeType[] {
  return scalars.map((dst) => scalarTable[dst].nodeType);
}

/**
 * The nodes with the largest and with the smallest values: of each group, k of each
 * scalar (ties: the lower layer, then the lower flat index), merged by descending value;
 * the smallest ones after the largest, descending too. Groups follow one another, and a
 * node that occurs again is left out.
 *
 * @returns With `tokenIndex`, nodes that carry it as it was given.
 * @throws {RequestError} `index_out_of_range` if there is no such token.
 */
export async function topNodes(
  { groups: { groups }, scalars: store }: GroupStore,
  { topAndBottomK: k, tokenIndex = null, passType = "forward" }: TopNodesOptions,
): Promise<NodeIndex[]> {
  const perScalar = groups.flatMap(({ scalars }) => scalars).map((dst) =>
    store.select({ dsts: [dst], passType }).map((entry) => rangeOfToken(entry, tokenIndex))
  );
  const ends = await endsOf(store, perScalar.flat(), { k, largest: true, smallest: true });
  const nodes: NodeIndex[] = [];
  let scalar = 0;
  let range = 0;
  for (const { scalars } of groups) {
    const largest: TopScalar[] = [];
    const smallest: TopScalar[] = [];
    for (const _ of scalars) {
      const ranges = perScalar[scalar++]!;
      const found = ends.slice(range, range += ranges.length);
      largest.push(...topOf(ranges, found.map((each) => each.largest), {
        k,
        largest: true,
        layersFirst: true,
      }));
      smallest.push(...topOf(ranges, found.map((each) => each.smallest), {
        k,
        largest: false,
        layersFirst: true,
      }));
    }
    nodes.push(...[largest, smallest].flatMap((list) => descending(list).map(({ node }) => node)));
  }
  return unionOfNodes([
    tokenIndex === null ? nodes : nodes.map((node) => ({
      ...node,
      tensorIndices: [tokenIndex, ...node.tensorIndices.slice(1)],
    })),
  ]);
}

/** Sorted by value; of equals, the first stays first. */
function descending(list: readonly TopScalar[]): TopScalar[] {
  const key = ({ value }: TopScalar) => Number.isNaN(value) ? Infinity : value;
  return list.toSorted((a, b) => key(a) === key(b) ? 0 : key(b) - key(a));
}

/** The entries of a token, the one that attends for scalars over token pairs. */
function rangeOfToken<T extends ScalarTensor>(
  entry: ScalarEntry<T>,
  tokenIndex: number | null,
): ScalarRange<T> {
  const { dst, tensor: { shape, size } } = entry;
  if (tokenIndex === null) return { entry, start: 0, size };
  const [dim]: readonly ScalarDimName[] = scalarTable[dst].dims;
  const width = sizeOf(shape.slice(1));
  const inPairs = dim === "sequence_token_pairs";
  const nTokens = inPairs ? tokensOfPairs(shape[0]!) : shape[0]!;
  const token = resolveIndex(tokenIndex, nTokens, { name: dst, dim: "sequence_tokens" });
  return inPairs
    ? { entry, start: pairOfTokens(token, 0) * width, size: (token + 1) * width }
    : { entry, start: token * width, size: width };
}

/** The number of tokens that have that many pairs. */
function tokensOfPairs(pairs: number): number {
  return (Math.sqrt(8 * pairs + 1) - 1) / 2;
}

/** Nodes of several lists, each once, where it first occurs. */
export function unionOfNodes(lists: readonly (readonly NodeIndex[])[]): NodeIndex[] {
  const found = new Map<string, NodeIndex>();
  for (const node of lists.flat()) {
    const { nodeType, layerIndex, tensorIndices, passType } = node;
    const key = `${nodeType} ${layerIndex} ${tensorIndices.join()} ${passType}`;
    if (!found.has(key)) found.set(key, node);
  }
  return [...found.values()];
}

/**
 * The values of every group at every node, in the order of the nodes: those of the
 * group's scalar of that node's type.
 *
 * @param options `allowNonFinite`: for infinities and NaN, which JSON does not have.
 * @throws {RequestError} `non_finite` naming the scalar if a value is not finite and need be;
 * `no_such_node` if no scalar has nodes of that type; `not_derived` if it was not derived in
 * that layer; `index_out_of_range` naming the index.
 */
export async function valuesAtNodes(
  { groups: { groups, nodeTypes }, scalars: store }: GroupStore,
  nodes: readonly NodeIndex[],
  { allowNonFinite = false }: { allowNonFinite?: boolean } = {},
): Promise<Partial<Record<GroupId, number[]>>> {
  const places = groups.map(({ scalars }) =>
    nodes.map((node) => {
      const at = nodeTypes.indexOf(node.nodeType);
      if (at < 0) {
        throw new RequestError(
          "no_such_node",
          `Cannot find values of a node of type "${node.nodeType}": ` +
            `those of the groups are ${nodeTypes.join(", ")}`,
        );
      }
      return placeOf(store, node, scalars[at]!);
    })
  );
  const values = await readEntries(store, places.flat());
  if (!allowNonFinite) {
    const wrong = values.findIndex((value) => !Number.isFinite(value));
    if (wrong >= 0) {
      const { scalars } = groups[Math.floor(wrong / nodes.length)]!;
      const dst = scalars[nodeTypes.indexOf(nodes[wrong % nodes.length]!.nodeType)];
      throw new RequestError(
        "non_finite",
        `Cannot answer with "${dst}" as its values must be finite: one of them is ${values[wrong]}`,
      );
    }
  }
  return Object.fromEntries(
    groups.map(({ groupId }, g) => [
      groupId,
      values.slice(g * nodes.length, (g + 1) * nodes.length),
    ]),
  );
}

function placeOf(
  store: ScalarStore<ScalarTensor>,
  node: NodeIndex,
  dst: ScalarName,
): EntryPlace {
  const row: ScalarRow = scalarTable[dst];
  const { layerIndex, passType } = node;
  const tensor = store.get({ dst, layerIndex, passType });
  const { shape } = tensor;
  const inPairs = row.dims[0] === "sequence_token_pairs";
  const nTokens = inPairs ? tokensOfPairs(shape[0]!) : shape[0]!;
  const sizes = inPairs ? [nTokens, nTokens, ...shape.slice(1)] : shape;
  const dims: readonly ScalarDimName[] = inPairs
    ? ["sequence_tokens", "attended_to_sequence_tokens", ...row.dims.slice(1)]
    : row.dims;
  // A negative index, counted from the end, is left as it is by all but this.
  const tensorIndices = node.tensorIndices.map((index, i) =>
    typeof index === "number" && i < dims.length
      ? resolveIndex(index, sizes[i]!, { name: dst, dim: dims[i]! })
      : index
  );
  const index = scalarOfNode({ ...node, tensorIndices }, { dst, dims: row.dims });
  return { tensor, flat: ravel(index.tensorIndices, shape) };
}
