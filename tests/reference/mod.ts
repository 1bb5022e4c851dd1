/**
 * Every op of the tape in float64, as plain loops: the specification that the
 * kernels are held to.
 *
 * @module
 */

import { gelu, identity, relu, topK } from "./activation.ts";
import { attention, qkLogits, softmaxKeys, weightedSum } from "./attention.ts";
import { add, mul, scale, scaleColumns, scaleRows, sub } from "./elementwise.ts";
import { embed } from "./embed.ts";
import { gatherRows, pick, rows } from "./gather.ts";
import { linear } from "./linear.ts";
import { crossEntropy, loss } from "./loss.ts";
import { normApply, normScale } from "./norm.ts";
import { overwrite } from "./overwrite.ts";
import { rowDot, rowNorm, sumMiddle } from "./reduce.ts";
import type { ReferenceOp, RefInputs } from "./ref.ts";
import { logSoftmax, softmax } from "./softmax.ts";

export * from "./ref.ts";

/** Names of the ops. */
export const opNames = [
  "embed",
  "norm_scale",
  "norm_apply",
  "linear",
  "qk_logits",
  "softmax_keys",
  "weighted_sum",
  "attention",
  "gelu",
  "relu",
  "top_k",
  "identity",
  "add",
  "sub",
  "mul",
  "scale",
  "scale_columns",
  "scale_rows",
  "row_dot",
  "row_norm",
  "sum_middle",
  "rows",
  "gather_rows",
  "pick",
  "overwrite",
  "softmax",
  "log_softmax",
  "cross_entropy",
  "loss",
] as const;

/** Name of an op. */
export type ReferenceOpName = (typeof opNames)[number];

/** An op whose inputs and attributes are not known to the compiler. */
// The methods' parameters are bivariant, so that every op is one of these.
export type AnyReferenceOp = ReferenceOp<RefInputs, unknown>;

/** Every op, by name: a missing one is a compile error. */
export const reference = {
  embed,
  norm_scale: normScale,
  norm_apply: normApply,
  linear,
  qk_logits: qkLogits,
  softmax_keys: softmaxKeys,
  weighted_sum: weightedSum,
  attention,
  gelu,
  relu,
  top_k: topK,
  identity,
  add,
  sub,
  mul,
  scale,
  scale_columns: scaleColumns,
  scale_rows: scaleRows,
  row_dot: rowDot,
  row_norm: rowNorm,
  sum_middle: sumMiddle,
  rows,
  gather_rows: gatherRows,
  pick,
  overwrite,
  softmax,
  log_softmax: logSoftmax,
  cross_entropy: crossEntropy,
  loss,
} satisfies Record<ReferenceOpName, AnyReferenceOp>;

/** Inputs of an op. */
export type InputsOf<Op extends ReferenceOpName> = Parameters<
  (typeof reference)[Op]["forward"]
>[0];

/** Attributes of an op. */
export type AttrsOf<Op extends ReferenceOpName> = Parameters<
  (typeof reference)[Op]["forward"]
>[1];
