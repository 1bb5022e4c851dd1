/**
 * Matrix products from textures, for CPU rasterisers, which read a texel of a storage
 * texture three times as fast as a vec4 of a buffer. Constant operands are packed
 * once and kept; others are packed for each product.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily, variant } from "../../gpu/kernel.ts";
import type { Bound } from "../../gpu/pipelines.ts";
import { sizeClass, type Texture } from "../../gpu/pool.ts";
import type { Context } from "../op.ts";
import type { Arena, Tensor } from "../tensor.ts";
import { type Launch, matmulBindings, matmulUniforms } from "./matmul_launch.ts";
import { matmulTuning } from "./matmul_tuning.ts";

const family = kernelFamily({
  name: "matmul_texture",
  wgsl: wgsl.matmulTexture,
  bindings: matmulBindings,
  uniforms: matmulUniforms,
});
const operands = ["bias", "c", "aTexture", "bTexture", "addend"] as const;
const kernels = {
  NN: family("matmul_texture_nn", operands),
  NT: family("matmul_texture_nt", operands),
} as const;
const packKernel = family("matmul_pack", ["a", "packed"]);

const unused = {
  m: 0,
  n: 0,
  k: 0,
  lda: 0,
  ldb: 0,
  ldc: 0,
  aOffset: 0,
  bOffset: 0,
  cOffset: 0,
  biasOffset: 0,
  flags: 0,
  alpha: 0,
};

/** Part of a matrix in a buffer. */
interface Part {
  readonly bound: Bound;
  readonly rows: number;
  readonly columns: number;
  readonly offset: number;
  readonly pitch: number;
  /** Whether its columns lie where rows are expected. */
  readonly transposed?: boolean;
}

/** Texels of a texture's row, of a panel's row, and rows panels are filled up to: as in the WGSL. */
const [width, across, together] = [2048, 32, 16];

/** Rows of the texture of a matrix that is packed in panels. */
function heightOf({ rows, columns }: Pick<Part, "rows" | "columns">): number {
  const panels = Math.ceil(columns / (4 * across));
  return Math.ceil(panels * Math.ceil(rows / together) * together * across / width);
}

/** Writes a part of a matrix into a texture, in panels: see `matmul_texture.wgsl`. */
function packInto(
  { gpu }: Context,
  { bound, rows, columns, offset, pitch, transposed = false }: Part,
  texture: Texture,
): void {
  gpu.dispatch(variant(packKernel, { TRANSPOSE: Number(transposed) }), {
    bind: { a: bound, packed: texture },
    uniforms: { ...unused, m: rows, k: columns, aOffset: offset, lda: pitch },
    workgroups: [4 * Math.ceil(columns / (4 * across)), Math.ceil(rows / together)],
  });
}

/** A texture of B. */
function packedB(cx: Context, arena: Arena, part: Part): Texture {
  const texture = arena.texture(width, heightOf(part));
  packInto(cx, part, texture);
  return texture;
}

/** The texture of a part of a constant matrix, packed at the first call. */
function packedConstant(
  cx: Context,
  b: Tensor,
  { part, firstRow }: { part: Part; firstRow: number },
): Texture {
  const { rows, columns, offset, pitch } = part;
  const { id, generation } = b.block;
  const key = ["texture", id, generation, firstRow, rows, offset % pitch, pitch, columns].join();
  return b.arena.once(cx.gpu, key, (arena) => packedB(cx, arena, part));
}

/** The operand packed last in each arena: queries, keys and values have theirs in common. */
const packedLast = new WeakMap<Arena, { key: string; texture: Texture }>();

/** The texture of the other operand, which is not written to once it has been used. */
function packedOperand(cx: Context, { block }: Tensor, part: Omit<Part, "bound">): Texture {
  const { rows, columns, offset, pitch, transposed } = part;
  const key = [block.id, block.generation, rows, columns, offset, pitch, transposed].join();
  const last = packedLast.get(cx.arena);
  if (last?.key === key) return last.texture;
  if (last !== undefined) cx.arena.freeTexture(last.texture);
  // As high as the size class of its height, so that prompts of other lengths share it.
  const texture = cx.arena.texture(width, sizeClass(16 * heightOf(part)) / 16);
  packInto(cx, { bound: block, ...part }, texture);
  packedLast.set(cx.arena, { key, texture });
  return texture;
}

function bSizeOf({ layout, uniforms: { n, k } }: Launch): { rows: number; columns: number } {
  return layout === "NT" ? { rows: n, columns: k } : { rows: k, columns: n };
}

/** Whether textures can be so large, and packing the operands takes less than they save. */
export function suitsTextures({ gpu }: Context, launch: Launch): boolean {
  const { layout, b, uniforms: { m, k } } = launch;
  // TN has no kernel that reads buffers by fours: only weight gradients need it, by many rows.
  const pays = layout === "TN" || b.arena.constant || m >= matmulTuning.packedFrom;
  const height = Math.max(heightOf({ rows: m, columns: k }), heightOf(bSizeOf(launch)));
  return pays && Math.max(width, height) <= gpu.facts.maxTextureSide;
}

/** Runs a launch whose operands fit textures. */
export function multiplyTextures(cx: Context, launch: Launch): void {
  const { layout, a, b, bBound, bFirstRow, bias, c, addend, gelu, uniforms } = launch;
  const { m, n, k, lda, ldb, aOffset, bOffset } = uniforms;
  const part = { bound: bBound, ...bSizeOf(launch), offset: bOffset, pitch: ldb };
  const isConstant = b.arena.constant;
  const bTexture = isConstant
    ? packedConstant(cx, b, { part, firstRow: bFirstRow })
    : packedB(cx, cx.arena, part);
  const aTexture = packedOperand(cx, a, {
    rows: m,
    columns: k,
    offset: aOffset,
    pitch: lda,
    transposed: layout === "TN",
  });
  const tileRows = matmulTuning.rows(uniforms);
  const shape = { ROWS: tileRows, GELU: Number(gelu) };
  cx.gpu.dispatch(variant(kernels[layout === "NT" ? "NT" : "NN"], shape), {
    bind: { bias: bias.block, c: c.block, aTexture, bTexture, addend: addend.block },
    uniforms,
    workgroups: [Math.ceil(m / tileRows), Math.ceil(n / 128)],
  });
  if (!isConstant) cx.arena.freeTexture(bTexture);
}
