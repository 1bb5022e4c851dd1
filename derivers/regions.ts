/**
 * The part of an activation that an ablation overwrites.
 *
 * @module
 */

import type { ScalarDimName } from "./nodes.ts";
import { checkRank, resolveIndex } from "./indices.ts";

/** A block of a tensor: for each dimension the first index and the number of them. */
export interface Region {
  /** First index, by dimension. */
  readonly start: readonly number[];
  /** Number of indices, by dimension. */
  readonly count: readonly number[];
}

/**
 * The block that indices select: an integer one entry of its dimension, `"All"`
 * all of it. Negative integers count from the end.
 *
 * @param shape Of one sequence's activation: its own tokens, no batch.
 * @param options `name`: of the location, for errors; `dims`: of the shape.
 * @throws {RequestError} `wrong_number_of_indices` naming the location, or
 * `index_out_of_range` naming the index.
 */
export function regionOf(
  tensorIndices: readonly (number | "All")[],
  shape: readonly number[],
  { name, dims }: { name: string; dims: readonly ScalarDimName[] },
): Region {
  checkRank(tensorIndices, dims, { name });
  const start: number[] = [];
  const count: number[] = [];
  tensorIndices.forEach((index, i) => {
    const size = shape[i]!;
    start.push(index === "All" ? 0 : resolveIndex(index, size, { name, dim: dims[i]! }));
    count.push(index === "All" ? size : 1);
  });
  return { start, count };
}

/** Number of entries of a block. */
export function regionSize(region: Region): number {
  return region.count.reduce((size, count) => size * count, 1);
}
