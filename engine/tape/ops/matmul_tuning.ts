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
  /** CPU rasterisers: rows of a tile for m rows of output (measured on llvmpipe, 256 bits). */
  rows(m: number): number {
    return m === 1 ? 1 : m <= 8 ? 8 : 16;
  },
  /** CPU rasterisers: rows of output from which packing a B that is no weight pays. */
  packedFrom: 128,
} as const;
