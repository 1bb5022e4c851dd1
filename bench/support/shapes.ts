/**
 * The matrix products of GPT-2 small, by where they occur.
 *
 * @module
 */

import type { Layout } from "../../engine/tape/ops/matmul_launch.ts";

/** One product: C is [m, n], summed over k. */
export interface MatmulShape {
  /** Where it occurs. */
  readonly place: string;
  readonly layout: Layout;
  readonly m: number;
  readonly k: number;
  readonly n: number;
  /** Whether B is a weight. */
  readonly constant: boolean;
}

/** Of the forward pass (NN, the unembedding NT), the gradients of activations, and of weights. */
export const matmulShapes: readonly MatmulShape[] = [
  { place: "attn_out", layout: "NN", m: 64, k: 768, n: 768, constant: true },
  { place: "mlp_in", layout: "NN", m: 64, k: 768, n: 3072, constant: true },
  { place: "mlp_out", layout: "NN", m: 64, k: 3072, n: 768, constant: true },
  { place: "mlp_out", layout: "NN", m: 256, k: 3072, n: 768, constant: true },
  { place: "mlp_in", layout: "NN", m: 256, k: 768, n: 3072, constant: true },
  { place: "square", layout: "NN", m: 1024, k: 1024, n: 1024, constant: true },
  { place: "unembed", layout: "NT", m: 64, k: 768, n: 50257, constant: true },
  { place: "d attn_out", layout: "NT", m: 64, k: 768, n: 768, constant: true },
  { place: "d mlp_in", layout: "NT", m: 64, k: 3072, n: 768, constant: true },
  { place: "d mlp_out", layout: "NT", m: 64, k: 768, n: 3072, constant: true },
  { place: "one row", layout: "NN", m: 1, k: 768, n: 3072, constant: true },
  { place: "not a weight", layout: "NN", m: 64, k: 768, n: 3072, constant: false },
  { place: "not a weight", layout: "NN", m: 1024, k: 1024, n: 1024, constant: false },
  { place: "weight gradient", layout: "TN", m: 768, k: 64, n: 3072, constant: false },
];

/** Name as the benches print it. */
export function nameOf({ place, layout, m, k, n }: MatmulShape): string {
  return `matmul ${layout} f32 m=${m} k=${k} n=${n} (${place})`;
}

/** Multiplications and additions. */
export function flopOf({ m, k, n }: MatmulShape): number {
  return 2 * m * k * n;
}

/** Shapes of a layout's operands. */
export function operandShapes(
  { layout, m, k, n }: MatmulShape,
): { a: [number, number]; b: [number, number] } {
  return { a: layout === "TN" ? [k, m] : [m, k], b: layout === "NT" ? [n, k] : [k, n] };
}
