/**
 * Totals of a store: sums, counts, and the largest entries. What is read back is
 * small; the last additions, across layers and scalars, are made in float64.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import { map } from "../engine/tape/ops/map.ts";
import { sizeOf } from "../engine/tape/tensor.ts";
import { ravel, unravel } from "./indices.ts";
import type { ScalarDimName } from "./nodes.ts";
import { endsOf, topOf, wholeOf } from "./range_ends.ts";
import { asItIs, type EachEntry, isKept, type Partial, partials } from "./partial_sums.ts";
import type {
  ScalarEntry,
  ScalarSelection,
  ScalarStore,
  ScalarTensor,
  TopScalar,
} from "./scalar_store.ts";
import { type ScalarRow, scalarTable } from "./table.ts";

/** What is added up, and along which dimensions not. */
export interface SumOptions extends ScalarSelection {
  /** Dimensions kept, where a scalar has them; none if absent. */
  readonly dimsToKeep?: readonly ScalarDimName[];
}

/** A total, by the dimensions kept. */
export interface ScalarSum {
  /** The dimensions kept that the scalars have, in their order. */
  readonly dims: readonly ScalarDimName[];
  /** Lengths of the dimensions kept. */
  readonly shape: readonly number[];
  /** Row-major; one number if no dimension is kept. */
  readonly values: Float64Array;
}

/** A total as a number or, nested by dimension, lists of numbers. */
export type NestedSum = number | NestedSum[];

/**
 * The sum over all layers and scalars, and all dimensions but those kept.
 *
 * @throws {RequestError} `dims_differ` if the scalars have different ones of the
 * dimensions kept, naming them; `not_derived` if there is nothing to add.
 */
export function sumOf(
  store: ScalarStore<ScalarTensor>,
  options: SumOptions = {},
): Promise<ScalarSum> {
  return total(store, options, asItIs);
}

/** The sum of absolute values; otherwise as {@linkcode sumOf}. */
export function sumAbsOf(
  store: ScalarStore<ScalarTensor>,
  options: SumOptions = {},
): Promise<ScalarSum> {
  return total(store, options, { onGpu: (cx, a) => map(cx, "abs", { a }), onHost: Math.abs });
}

/** The number of entries that are not 0; otherwise as {@linkcode sumOf}. */
export function numNonzeroOf(
  store: ScalarStore<ScalarTensor>,
  options: SumOptions = {},
): Promise<ScalarSum> {
  return total(store, options, {
    onGpu: (cx, a) => map(cx, "nonzero", { a }),
    onHost: (x) => x === 0 ? 0 : 1,
  });
}

/** The number of entries, of both passes unless told. */
export function numelOf(
  store: ScalarStore<ScalarTensor>,
  options: ScalarSelection = {},
): number {
  const passTypes = options.passType ? [options.passType] : ["forward", "backward"] as const;
  return passTypes.flatMap((passType) => store.select({ ...options, passType }))
    .reduce((sum, { tensor }) => sum + tensor.size, 0);
}

/**
 * The largest entry; of equals as for `ScalarStore.topk`.
 *
 * @throws {RequestError} `not_derived` if there is none.
 */
export async function maxOf(
  store: ScalarStore<ScalarTensor>,
  options: ScalarSelection = {},
): Promise<TopScalar> {
  const [first] = await store.topk(1, { ...options, largest: true });
  return first ?? nothing("largest entry");
}

/**
 * The entry of the largest absolute value, which its `value` is; of equals as for
 * `ScalarStore.topk`.
 *
 * @throws {RequestError} `not_derived` if there is none.
 */
export async function maxAbsOf(
  store: ScalarStore<ScalarTensor>,
  options: ScalarSelection = {},
): Promise<TopScalar> {
  const ranges = store.select(options).map(wholeOf);
  const ends = await endsOf(store, ranges, { k: 1, largest: true, smallest: true });
  // The first of the positive and the first of the negative ones: one of them it is.
  const both = [true, false].flatMap((largest) => {
    const values = ends.map((each) => largest ? each.largest : each.smallest);
    return topOf(ranges, values, { k: 1, largest });
  });
  const [first] = topOf(
    both.map(({ dst, layerIndex }) =>
      ranges.find(({ entry }) => entry.dst === dst && entry.layerIndex === layerIndex)!
    ),
    both.map(({ tensorIndices, value, ...key }) => ({
      values: [Math.abs(value)],
      indices: [ravel(tensorIndices, store.get(key).shape)],
    })),
    { k: 1, largest: true },
  );
  return first ?? nothing("entry of the largest absolute value");
}

function nothing(what: string): never {
  throw new RequestError(
    "not_derived",
    `Cannot find the ${what} of no scalars: derive one that the selection means`,
  );
}

/** A total as the wire format has it. */
export function nestedSum({ shape, values }: ScalarSum): NestedSum {
  const nest = (dim: number, first: number): NestedSum => {
    if (dim === shape.length) return values[first]!;
    const stride = sizeOf(shape.slice(dim + 1));
    return Array.from({ length: shape[dim]! }, (_, i) => nest(dim + 1, first + i * stride));
  };
  return nest(0, 0);
}

async function total(
  store: ScalarStore<ScalarTensor>,
  options: SumOptions,
  each: EachEntry,
): Promise<ScalarSum> {
  const { dimsToKeep = [], ...selection } = options;
  const entries = store.select(selection);
  const { dims, shape } = keptDims(entries, dimsToKeep);
  const result = new Float64Array(sizeOf(shape));
  for (const partial of await partials(store, entries, { dimsToKeep, each })) {
    addTo(result, partial);
  }
  return { dims, shape, values: result };
}

function keptDims(
  entries: readonly ScalarEntry<ScalarTensor>[],
  dimsToKeep: readonly ScalarDimName[],
) {
  const of = (entry: ScalarEntry<ScalarTensor>) => {
    const row: ScalarRow = scalarTable[entry.dst];
    const kept = isKept(entry, dimsToKeep);
    return {
      dims: row.dims.filter((_, i) => kept[i]),
      shape: entry.tensor.shape.filter((_, i) => kept[i]),
    };
  };
  const [first, ...others] = entries;
  if (first === undefined) return nothing("sum");
  const { dims, shape } = of(first);
  for (const other of others) {
    const theirs = of(other);
    if (theirs.dims.join() === dims.join() && theirs.shape.join() === shape.join()) continue;
    throw new RequestError(
      "dims_differ",
      `Cannot add up "${first.dst}" and "${other.dst}": of ${dimsToKeep.join(", ")}, the one ` +
        `keeps ${sized(dims, shape)}, the other ${sized(theirs.dims, theirs.shape)}`,
    );
  }
  return { dims, shape };
}

function sized(dims: readonly string[], shape: readonly number[]): string {
  return dims.map((dim, i) => `${dim} (${shape[i]})`).join(", ") || "none";
}

/** Adds values at the place of the dimensions kept. */
function addTo(result: Float64Array, { values, shape, kept }: Partial): void {
  const keptShape = shape.filter((_, i) => kept[i]);
  if (keptShape.length === shape.length) {
    for (let i = 0; i < values.length; i++) result[i]! += values[i]!;
    return;
  }
  for (let i = 0; i < values.length; i++) {
    const indices = unravel(i, shape).filter((_, dim) => kept[dim]);
    result[ravel(indices, keptShape)]! += values[i]!;
  }
}
