/**
 * The nodes of a report and how much they matter.
 *
 * @module
 */

import type { DerivedSequence } from "../derivers/derive.ts";
import { ravel } from "../derivers/indices.ts";
import type { NodeIndex } from "../derivers/request.ts";
import type { ScalarName } from "../derivers/table.ts";
import type { NodeKindName, NodeScalars } from "./debug_scalars.ts";

/** A node that a report shows. */
export interface ReportNode {
  readonly kind: NodeKindName;
  readonly node: NodeIndex;
  /** Texts of its tokens, in the order of its indices: a head's query and key. */
  readonly tokens: readonly string[];
}

/** How much a node matters. */
export interface Effects {
  /** Activation times gradient: along all paths, to first order. */
  readonly totalEffect: number;
  /** Its write along the gradient of the residual it is read from at the end. */
  readonly directEffect: number;
  /** Length of its write; its sign is that of the activation. */
  readonly writeNorm: number;
}

/** A node that exists in the run, with the place of its numbers. */
export interface FoundNode extends ReportNode {
  readonly scalars: NodeScalars;
  readonly tensorIndices: readonly number[];
}

/** The nodes with the largest total effect, of either sign; none that has no effect. */
export async function topNodes(
  { scalars, tokenStrings }: DerivedSequence,
  { kinds, top }: { kinds: readonly NodeScalars[]; top: number },
): Promise<FoundNode[]> {
  const byScalar = new Map(kinds.map((kind) => [kind.total, kind]));
  const dsts = [...byScalar.keys()];
  const ends = [
    ...await scalars.topk(top, { dsts, largest: true }),
    ...await scalars.topk(top, { dsts, largest: false }),
  ];
  const names = new Set<string>();
  return ends
    .filter(({ value, dst, layerIndex, tensorIndices }) => {
      const name = `${dst} ${layerIndex} ${tensorIndices}`;
      const isNew = !names.has(name);
      names.add(name);
      return value !== 0 && isNew;
    })
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value))
    .slice(0, top)
    .map(({ dst, node, tensorIndices }) => {
      const found = byScalar.get(dst)!;
      const places = found.kind === "head" ? tensorIndices.slice(0, 2) : tensorIndices.slice(0, 1);
      const tokens = places.map((place) => tokenStrings[place]!);
      return { kind: found.kind, node, tokens, scalars: found, tensorIndices };
    });
}

/** The numbers of a node. */
export async function effectsAt(
  { scalars }: DerivedSequence,
  { scalars: names, node, tensorIndices }: FoundNode,
): Promise<Effects> {
  const values = await scalars.read();
  const at = (dst: ScalarName) => {
    const tensor = scalars.get({ dst, layerIndex: node.layerIndex });
    return values.get(tensor)![ravel(tensorIndices, tensor.shape)]!;
  };
  return {
    totalEffect: at(names.total),
    directEffect: at(names.direct),
    writeNorm: at(names.norm),
  };
}
