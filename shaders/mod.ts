/**
 * The WGSL texts. A kernel's text is its snippets from `lib/` and its own file,
 * joined.
 *
 * @module
 */

import adamw from "./adamw.wgsl" with { type: "text" };
import attention from "./attention.wgsl" with { type: "text" };
import attentionFused from "./attention_fused.wgsl" with { type: "text" };
import attentionTiles from "./attention_tiles.wgsl" with { type: "text" };
import elementwise from "./elementwise.wgsl" with { type: "text" };
import embed from "./embed.wgsl" with { type: "text" };
import lanes from "./lib/lanes.wgsl" with { type: "text" };
import math from "./lib/math.wgsl" with { type: "text" };
import matmulTile from "./lib/matmul_tile.wgsl" with { type: "text" };
import loss from "./loss.wgsl" with { type: "text" };
import matmul from "./matmul.wgsl" with { type: "text" };
import matmulDirect from "./matmul_direct.wgsl" with { type: "text" };
import matmulStaged from "./matmul_staged.wgsl" with { type: "text" };
import matmulTexture from "./matmul_texture.wgsl" with { type: "text" };
import norm from "./norm.wgsl" with { type: "text" };
import reduce from "./reduce.wgsl" with { type: "text" };
import rowTopK from "./row_top_k.wgsl" with { type: "text" };
import slice from "./slice.wgsl" with { type: "text" };
import softmax from "./softmax.wgsl" with { type: "text" };
import writes from "./writes.wgsl" with { type: "text" };
import topK from "./top_k.wgsl" with { type: "text" };

/** Each kernel family's WGSL, named after its file. */
export const wgsl = {
  adamw: [lanes, adamw],
  attention: [math, attention, attentionTiles],
  attentionFused: [math, lanes, attentionFused],
  elementwise: [math, elementwise],
  embed: [embed],
  loss: [math, lanes, loss],
  matmulDirect: [math, matmul, matmulTile, matmulDirect],
  matmulStaged: [math, matmul, matmulStaged],
  matmulTexture: [math, matmul, matmulTile, matmulTexture],
  norm: [lanes, norm],
  reduce: [lanes, reduce],
  rowTopK: [rowTopK],
  slice: [slice],
  softmax: [math, lanes, softmax],
  topK: [lanes, topK],
  writes: [writes],
} as const satisfies Record<string, readonly string[]>;
