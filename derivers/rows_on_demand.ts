/**
 * A scalar of which each row is computed when it is looked at.
 *
 * @module
 */

import type { Tensor } from "../engine/tape/tensor.ts";

/** Rows [R, C], none of them computed yet. */
export class RowsOnDemand {
  /** Length of each dimension. */
  readonly shape: readonly [number, number];
  readonly #row: (index: number) => Tensor;
  /** Computes the sum of each row: [R, 1]. */
  readonly sums: () => Tensor;
  readonly #rows = new Map<number, Tensor>();

  /** `row` computes one row, [1, C]; `sums` those of all rows, [R, 1]. */
  constructor({ shape, row, sums }: {
    shape: readonly [number, number];
    row: (index: number) => Tensor;
    sums: () => Tensor;
  }) {
    this.shape = shape;
    this.#row = row;
    this.sums = sums;
  }

  /** Number of elements. */
  get size(): number {
    return this.shape[0] * this.shape[1];
  }

  /** One row: [1, C]. */
  row(index: number): Tensor {
    let found = this.#rows.get(index);
    if (found === undefined) this.#rows.set(index, found = this.#row(index));
    return found;
  }

  /** The row in which `size` elements from `start` on lie, and where in it. */
  rowAt(start: number, size = 1): { row: Tensor; start: number } {
    const [, width] = this.shape;
    const index = Math.floor(start / width);
    if (start + size > (index + 1) * width) {
      throw new RangeError(
        `Cannot look at elements ${start} to ${start + size} at once: rows are computed one by ` +
          `one, and have ${width} elements`,
      );
    }
    return { row: this.row(index), start: start - index * width };
  }
}
