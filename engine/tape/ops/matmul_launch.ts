/**
 * What the kernels of the matrix product share.
 *
 * @module
 */

import type { Range } from "../../gpu/pipelines.ts";
import type { Block } from "../../gpu/pool.ts";
import type { Tensor } from "../tensor.ts";

/** Sizes of one launch, as the kernels' `Params` has them. */
export const matmulUniforms = {
  m: "u32",
  n: "u32",
  k: "u32",
  lda: "u32",
  ldb: "u32",
  ldc: "u32",
  aOffset: "u32",
  bOffset: "u32",
  cOffset: "u32",
  biasOffset: "u32",
  flags: "u32",
  alpha: "f32",
} as const;

/** The bindings of the kernels, in order. */
export const matmulBindings = {
  a: "read",
  b: "read",
  bias: "read",
  c: "readWrite",
  aTexture: "readTexture",
  bTexture: "readTexture",
  packed: "writeTexture",
  addend: "read",
} as const;

/** Which operand is read transposed: `N` as it lies, `T` transposed. */
export type Layout = "NN" | "NT" | "TN";

/** All layouts, in the order of the kernels' numbers. */
export const layouts: readonly Layout[] = ["NN", "NT", "TN"];

/** One launch: a product, or as much of it as B's binding may span. */
export interface Launch {
  readonly layout: Layout;
  readonly a: Tensor;
  readonly b: Tensor;
  /** What is bound of B; `uniforms.bOffset` counts from its start. */
  readonly bBound: Block | Range;
  /** The row of B at which that starts. */
  readonly bFirstRow: number;
  readonly bias: Tensor;
  readonly addend: Tensor;
  readonly gelu: boolean;
  readonly c: Tensor;
  readonly uniforms: Readonly<Record<keyof typeof matmulUniforms, number>>;
}
