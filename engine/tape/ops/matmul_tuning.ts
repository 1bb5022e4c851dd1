/**
 * Tiles of the matrix product, by adapter class. `deno task tune` measures them on
 * the present adapter.
 *
 * @module
 */

/** Tile sizes; see `shaders/matmul_*.wgsl` for what they mean. */
export const matmulTuning = {
  /** GPUs: workgroup of wgX × wgY threads, 8 × 8 outputs each. Not yet measured on one. */
  staged: {
    few: { rows: 32, wgX: 16, wgY: 4, tileK: 16 },
    many: { wgX: 8, wgY: 8, tileK: 16 },
  },
  /** CPU rasterisers: rows of a tile for a product's sizes (measured on llvmpipe, 256 bits). */
  rows({ m, n, k }: { m: number; n: number; k: number }): number {
    // One row is done twice as fast by a tile of one: worth a kernel of its own, which takes
    // 20 ms to compile, where it is a large row.
    if (m === 1 && n * k >= 2 ** 20) return 1;
    return m <= 8 ? 8 : 16;
  },
  /** CPU rasterisers: rows of output from which packing a B that is no weight pays. */
  packedFrom: 128,
} as const;
