/**
 * Matrix products: the kernels behind every linear map. Nothing here is recorded.
 *
 * Whatever the kernel, an output is summed over k in order, so it depends on its
 * own row and column only: not on the rows beside it, not on the tile.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily, variant } from "../../gpu/kernel.ts";
import type { Context } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { map } from "./map.ts";
import {
  type Launch,
  type Layout,
  layouts,
  matmulBindings,
  matmulUniforms,
} from "./matmul_launch.ts";
import { matmulTuning } from "./matmul_tuning.ts";
import { multiplyTextures, suitsTextures } from "./matmul_texture.ts";

const shared = { bindings: matmulBindings, uniforms: matmulUniforms } as const;
const operands = ["a", "b", "bias", "c", "addend"] as const;
const direct = kernelFamily({ ...shared, name: "matmul_direct", wgsl: wgsl.matmulDirect });
const aligned = {
  NN: direct("matmul_nn", operands),
  NT: direct("matmul_nt", operands),
} as const;
const unaligned = direct("matmul_any", operands);
const staged = kernelFamily({ ...shared, name: "matmul_staged", wgsl: wgsl.matmulStaged })(
  "matmul_staged",
  operands,
);

/** Operands and sizes of one product, in elements. */
export interface Product {
  readonly layout: Layout;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: Tensor;
  readonly b: Tensor;
  /** First element of B, for a part of its rows or columns. */
  readonly bOffset?: number;
  /** Added to each row. */
  readonly bias?: Tensor | undefined;
  readonly biasOffset?: number;
  readonly alpha?: number;
  /** Whether gelu is applied, before the addend. */
  readonly gelu?: boolean;
  /** Added last; lies as C does. */
  readonly addend?: Tensor | undefined;
  /** Written to instead of a new tensor; `cOffset` and `ldc` say where. Nothing follows then. */
  readonly out?: Tensor;
  readonly cOffset?: number;
  /** First element of A, and elements from one of its rows to the next, if not its width. */
  readonly aOffset?: number;
  readonly lda?: number;
  /** Elements from one row of C to the next, if not its width. */
  readonly ldc?: number;
}

/**
 * `C = gelu(alpha (A B + bias)) + addend`, both only where asked for: C is [m, n]. NN: A
 * [m, k], B [k, n]; NT: B [n, k]; TN: A [k, m]. Operands larger than the binding limit are
 * bound in pieces. With alpha 1, gelu and addend give the bits of kernels of their own.
 */
export function matmul(cx: Context, product: Product): Tensor {
  const { layout, m, n, a, b, gelu = false, addend, ...rest } = product;
  const out = product.out ?? cx.arena.tensor([m, n], "matrix product");
  if (m === 0 || n === 0 || a.size === 0) return out;
  if (layout !== "NT" && bindsInPieces(cx, b) && (gelu || addend !== undefined)) {
    // The pieces are parts of a sum, and what follows wants the whole of it.
    const sum = matmul(cx, { ...rest, layout, m, n, a, b });
    const y = gelu ? map(cx, "gelu", { a: sum }) : sum;
    return addend === undefined ? y : map(cx, "add", { a: addend, b: y });
  }
  for (const launch of launchesOf(cx, product, out)) {
    if (cx.gpu.facts.class === "gpu") multiplyStaged(cx, launch);
    else if (suitsTextures(cx, launch)) multiplyTextures(cx, launch);
    else multiplyDirect(cx, launch);
  }
  return out;
}

function bindsInPieces({ gpu }: Context, b: Tensor): boolean {
  return 4 * b.size > gpu.facts.maxBindingBytes;
}

function* launchesOf(cx: Context, product: Product, out: Tensor): Generator<Launch> {
  const { layout, m, n, k, a, b, bias, bOffset = 0, alpha = 1, lda = a.width } = product;
  const { aOffset = 0, biasOffset = 0, cOffset = 0, ldc = out.width } = product;
  const { gelu = false } = product;
  let { addend } = product;
  const ldb = b.width;
  const overN = layout === "NT"; // B's rows are outputs; otherwise they are summed over
  const bRows = overN ? n : k;
  const rowBytes = 4 * ldb;
  const whole = !bindsInPieces(cx, b);
  // In groups of 64 rows, so that every start is aligned.
  const inPiece = Math.max(Math.floor(cx.gpu.facts.maxBindingBytes / rowBytes / 64), 1) * 64;
  const step = whole ? bRows : inPiece;
  const start = Math.floor(bOffset / ldb);
  for (let first = 0; first < bRows; first += step) {
    const count = Math.min(step, bRows - first);
    const isPart = !overN && first + count < bRows; // of a sum that the next piece goes on with
    const c = isPart ? cx.arena.tensor(out.shape, "part of a matrix product") : out;
    yield {
      layout,
      a,
      b,
      bBound: whole ? b.block : {
        block: b.block,
        byteOffset: (start + first) * rowBytes,
        bytes: count * rowBytes,
      },
      bFirstRow: start + first,
      bias: bias ?? a,
      addend: addend ?? a,
      gelu,
      c,
      uniforms: {
        m,
        n: overN ? count : n,
        k: overN ? k : count,
        lda,
        ldb,
        ldc,
        aOffset: aOffset + (overN ? 0 : layout === "NN" ? first : first * lda),
        bOffset: whole ? bOffset : bOffset % ldb,
        cOffset: cOffset + (overN ? first : 0),
        biasOffset: biasOffset + (overN ? first : 0),
        flags: (bias !== undefined && (overN || first === 0) ? 1 : 0) |
          (addend !== undefined ? 2 : 0),
        alpha,
      },
    };
    if (overN) continue;
    if (addend !== undefined && addend !== product.addend) cx.arena.free(addend);
    addend = c;
  }
}

function bindingsOf({ a, bBound, bias, c, addend }: Launch) {
  return { a: a.block, b: bBound, bias: bias.block, c: c.block, addend: addend.block };
}

/** On a GPU: tiles staged through workgroup memory. */
function multiplyStaged({ gpu }: Context, launch: Launch): void {
  const { m, n } = launch.uniforms;
  const { few, many } = matmulTuning.staged;
  const { wgX, wgY, tileK } = m <= few.rows ? few : many;
  gpu.dispatch(
    variant(staged, {
      LAYOUT: layouts.indexOf(launch.layout),
      WG_X: wgX,
      WG_Y: wgY,
      TILE_K: tileK,
      GELU: Number(launch.gelu),
    }),
    {
      bind: bindingsOf(launch),
      uniforms: launch.uniforms,
      workgroups: [Math.ceil(n / (8 * wgX)), Math.ceil(m / (8 * wgY))],
    },
  );
}

/** On a CPU: straight from buffers, four at a time where everything is aligned. */
function multiplyDirect({ gpu }: Context, launch: Launch): void {
  const { layout, uniforms } = launch;
  const { m, n, k, lda, ldb, aOffset, bOffset } = uniforms;
  const lengths = [lda, ldb, aOffset, bOffset, k, layout === "NN" ? n : 0];
  const isAligned = layout !== "TN" && lengths.every((length) => length % 4 === 0);
  const rows = matmulTuning.rows(uniforms);
  const shape = { ROWS: rows, GELU: Number(launch.gelu) };
  const kernel = isAligned
    ? variant(aligned[layout], shape)
    : variant(unaligned, { ...shape, LAYOUT: layouts.indexOf(layout) });
  gpu.dispatch(kernel, {
    bind: bindingsOf(launch),
    uniforms,
    workgroups: [Math.ceil(m / rows), Math.ceil(n / 128)],
  });
}
