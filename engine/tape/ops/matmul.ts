/**
 * Matrix products: the kernel behind every linear map. Nothing here is recorded.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily, variant } from "../../gpu/kernel.ts";
import { outputGrid } from "../launch.ts";
import type { Context } from "../op.ts";
import type { Tensor } from "../tensor.ts";

const matmulKernel = kernelFamily({
  name: "matmul",
  wgsl: wgsl.matmul,
  bindings: { a: "read", b: "read", bias: "read", c: "readWrite" },
  uniforms: {
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
  },
})("matmul", ["a", "b", "bias", "c"]);

/** Which operand is read transposed: `N` as it lies, `T` transposed. */
export type Layout = "NN" | "NT" | "TN";

const layouts: readonly Layout[] = ["NN", "NT", "TN"];

/** Operands and sizes of one product, in elements. */
export interface Product {
  readonly layout: Layout;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: Tensor;
  readonly b: Tensor;
  /** Where in a row of `b` (of its rows for NT) the product starts, for a slice of columns. */
  readonly bOffset?: number;
  /** Added to each row. */
  readonly bias?: Tensor | undefined;
  readonly biasOffset?: number;
  readonly alpha?: number;
  /** Written to instead of a new tensor; `cOffset` and its width say where. */
  readonly out?: Tensor;
  readonly cOffset?: number;
  /** First element of A, and elements from one of its rows to the next, if not its width. */
  readonly aOffset?: number;
  readonly lda?: number;
  /** Elements from one row of C to the next, if not its width. */
  readonly ldc?: number;
}

/**
 * `C = alpha (A B + bias)`: C is [m, n]. NN: A [m, k], B [k, n]; NT: B [n, k];
 * TN: A [k, m]. Each output is summed over k in order, whatever the other rows
 * are. Operands larger than the binding limit are bound in pieces.
 */
export function matmul({ gpu, arena }: Context, product: Product): Tensor {
  const { layout, m, n, k, a, b, bias, bOffset = 0, biasOffset = 0, alpha = 1 } = product;
  const { aOffset = 0, cOffset = 0, lda = a.width } = product;
  const c = product.out ?? arena.tensor([m, n], "matrix product");
  const ldb = b.width;
  // Rows of B that one binding may span, in whole groups whose start is aligned.
  const bRows = layout === "NT" ? n : k;
  const most = Math.floor(gpu.facts.maxBindingBytes / (4 * ldb));
  const step = b.size * 4 <= gpu.facts.maxBindingBytes ? bRows : Math.floor(most / 64) * 64;
  for (let first = 0; first < bRows; first += step) {
    const count = Math.min(step, bRows - first);
    const whole = count === bRows;
    gpu.dispatch(variant(matmulKernel, { LAYOUT: layouts.indexOf(layout) }), {
      bind: {
        a: a.block,
        b: whole
          ? b.block
          : { block: b.block, byteOffset: 4 * first * ldb, bytes: 4 * count * ldb },
        bias: (bias ?? a).block,
        c: c.block,
      },
      uniforms: {
        m,
        n: layout === "NT" ? count : n,
        k: layout === "NT" ? k : count,
        lda,
        ldb,
        ldc: product.ldc ?? c.width,
        aOffset: aOffset + (layout === "NT" ? 0 : layout === "NN" ? first : first * lda),
        bOffset,
        cOffset: cOffset + (layout === "NT" ? first : 0),
        biasOffset: biasOffset + (layout === "NT" ? first : 0),
        // The bias once, with the first piece; later pieces of k are added.
        flags: (bias !== undefined && (layout === "NT" || first === 0) ? 1 : 0) |
          (layout !== "NT" && first > 0 ? 2 : 0),
        alpha,
      },
      workgroups: outputGrid(gpu, m * (layout === "NT" ? count : n)),
    });
  }
  return c;
}
