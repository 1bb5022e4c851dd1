/**
 * Packed batches: the positions of all sequences one after another, without
 * padding. Rows of different sequences never mix.
 *
 * @module
 */

import type { Arena, Tensor } from "./tensor.ts";

/** Where each sequence's rows and pairs are. */
export interface Packing {
  /** Length of each sequence, in positions. */
  readonly lengths: readonly number[];
  /** First row of each sequence. */
  readonly starts: readonly number[];
  /** First (query, key) pair of each sequence. */
  readonly pairStarts: readonly number[];
  /** Positions of all sequences together. */
  readonly nRows: number;
  /** Pairs of all sequences together: the sum of T². */
  readonly nPairs: number;
  /** Length of the longest sequence. */
  readonly longest: number;
  /** For the kernels: [nRows, 4] u32, as `shaders/attention.wgsl` says. */
  readonly rows: Tensor;
  /** Up to four rows of a sequence each: [tiles, 4] u32, as `shaders/attention_tiles.wgsl` says. */
  readonly tiles: Tensor;
}

/** Packs sequences of these lengths. */
export function pack(arena: Arena, lengths: readonly number[]): Packing {
  const starts: number[] = [];
  const pairStarts: number[] = [];
  let nRows = 0;
  let nPairs = 0;
  for (const length of lengths) {
    starts.push(nRows);
    pairStarts.push(nPairs);
    nRows += length;
    nPairs += length * length;
  }
  const table = new Uint32Array(4 * nRows);
  lengths.forEach((length, s) => {
    for (let position = 0; position < length; position++) {
      const pair = pairStarts[s]! + position * length;
      table.set([starts[s]!, length, pair, position], 4 * (starts[s]! + position));
    }
  });
  const tiles = lengths.flatMap((length, s) =>
    Array.from({ length: Math.ceil(length / 4) }, (_, i) => {
      const start = starts[s]!;
      return [start + 4 * i, Math.min(4, length - 4 * i), start, length];
    })
  );
  return {
    lengths,
    starts,
    pairStarts,
    nRows,
    nPairs,
    longest: Math.max(0, ...lengths),
    rows: arena.upload(table, [nRows, 4], "rows of the packed batch"),
    tiles: arena.upload(new Uint32Array(tiles.flat()), [tiles.length, 4], "tiles of rows"),
  };
}
