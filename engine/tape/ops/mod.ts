/**
 * The ops of the tape, for hooks and objectives of one's own. Each takes a context first
 * (a hook finds one at its point) and gives a new tensor; recorded where the context has
 * a tape that tracks an input.
 *
 * @module
 */

export { qkLogits, qkProbs, weightedSum } from "./attention.ts";
export { attention } from "./attention_fused.ts";
export { add, gelu, mul, relu, scale, sub } from "./elementwise.ts";
export { embed } from "./embed.ts";
export { linear, type LinearOptions } from "./linear.ts";
export { type RowLoss, rowLosses } from "./loss.ts";
export { type Broadcast, filled } from "./map.ts";
export { normApply, normScale } from "./norm.ts";
export { rowDot, rowNorm } from "./reduce.ts";
export { gatherRows, overwrite, pick, type Region, reshape, slice } from "./slice.ts";
export { crossEntropy, logSoftmax } from "./softmax.ts";
export { topK } from "./top_k.ts";
