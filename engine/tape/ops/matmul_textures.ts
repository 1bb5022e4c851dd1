/**
 * Matrix products from textures, for CPU rasterisers, which read a texel of a storage
 * texture three times as fast as a vec4 of a buffer. Constant operands are packed
 * once and kept; others are packed for each product.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily, variant } from "../../gpu/kernel.ts";
import type { Recorder } from "../../gpu/recorder.ts";
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
  bFold: 1,
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

/** Writes a part of a matrix, four columns a texel, folded every `fold` rows. */
function packInto(
  { gpu }: Context,
  { bound, rows, columns, offset, pitch, transposed = false }: Part,
  { texture, fold }: { texture: Texture; fold: number },
): void {
  gpu.dispatch(variant(packKernel, { TRANSPOSE: Number(transposed) }), {
    bind: { a: bound, packed: texture },
    uniforms: { ...unused, m: rows, k: columns, aOffset: offset, lda: pitch, bFold: fold },
    workgroups: [Math.ceil(columns / 4 / 8), Math.ceil(rows / 16)],
  });
}

/**
 * A texture for rows of so many texels, and a few more: rows begin an odd number of cache lines
 * of four texels apart, as with a power of two all rows of a tile want the same few cache sets.
 */
function spreadTexture(arena: Arena, texels: number, height: number): Texture {
  const width = 8 * Math.ceil((texels - 4) / 8) + 4;
  return arena.texture(Math.max(texels, Math.min(width, arena.gpu.facts.maxTextureSide)), height);
}

/** A texture of B, folded where its rows are more than a texture may be high. */
function packedB(cx: Context, arena: Arena, { part, fold }: { part: Part; fold: number }): Texture {
  const { rows, columns } = part;
  const texels = Math.ceil(columns / 4) * Math.ceil(rows / fold);
  const texture = spreadTexture(arena, texels, Math.min(rows, fold));
  packInto(cx, part, { texture, fold });
  return texture;
}

/** The texture of a part of a constant matrix, packed at the first call. */
function packedConstant(
  cx: Context,
  b: Tensor,
  { firstRow, ...how }: { part: Part; firstRow: number; fold: number },
): Texture {
  const { rows, columns, offset, pitch } = how.part;
  const { id, generation } = b.block;
  const key = ["texture", id, generation, firstRow, rows, offset % pitch, pitch, columns].join();
  return b.arena.once(cx.gpu, key, (arena) => packedB(cx, arena, how));
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
  // As high as the size class of its rows, so that prompts of other lengths share it.
  const texture = spreadTexture(cx.arena, Math.ceil(columns / 4), sizeClass(16 * rows) / 16);
  packInto(cx, { bound: block, ...part }, { texture, fold: Math.ceil(rows / 4) * 4 });
  packedLast.set(cx.arena, { key, texture });
  return texture;
}

function sizesOf({ facts }: Recorder, { layout, uniforms: { m, n, k } }: Launch) {
  const [rows, columns] = layout === "NT" ? [n, k] : [k, n];
  const side = facts.maxTextureSide;
  const fold = Math.min(Math.ceil(rows / 4) * 4, side - side % 4);
  const texels = Math.ceil(columns / 4) * Math.ceil(rows / fold);
  return { rows, columns, fold, fit: Math.max(m, Math.ceil(k / 4), texels) <= side };
}

/** Whether textures can be so large, and packing the operands takes less than they save. */
export function suitsTextures({ gpu }: Context, launch: Launch): boolean {
  const { layout, b, uniforms: { m } } = launch;
  // TN has no kernel that reads buffers by fours: only weight gradients need it, by many rows.
  const pays = layout === "TN" || b.arena.constant || m >= matmulTuning.packedFrom;
  return pays && sizesOf(gpu, launch).fit;
}

/** Runs a launch whose operands fit textures. */
export function multiplyTextures(cx: Context, launch: Launch): void {
  const { layout, a, b, bBound, bFirstRow, bias, c, addend, gelu, uniforms } = launch;
  const { m, n, k, lda, ldb, aOffset, bOffset } = uniforms;
  const { rows, columns, fold } = sizesOf(cx.gpu, launch);
  const part = { bound: bBound, rows, columns, offset: bOffset, pitch: ldb };
  const isConstant = b.arena.constant;
  const bTexture = isConstant
    ? packedConstant(cx, b, { part, firstRow: bFirstRow, fold })
    : packedB(cx, cx.arena, { part, fold });
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
    uniforms: { ...uniforms, bOffset: 0, bFold: fold },
    workgroups: [Math.ceil(m / tileRows), Math.ceil(n / 128)],
  });
  if (!isConstant) cx.arena.freeTexture(bTexture);
}
