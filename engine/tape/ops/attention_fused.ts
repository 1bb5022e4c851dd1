/**
 * Causal attention in one op, for layers where nobody reads or replaces scores
 * or pattern.
 *
 * @module
 */

import type { Context, Op } from "../op.ts";
import { run } from "../op.ts";
import type { Packing } from "../packing.ts";
import type { Tensor } from "../tensor.ts";
import {
  pairDot,
  qkLogits,
  qkProbs,
  sumOverKeys,
  sumOverQueries,
  weightedSum,
} from "./attention.ts";
import { map } from "./map.ts";
void [pairDot, sumOverKeys, sumOverQueries, map, run] as unknown as Op<[Tensor], null>;

/** The composition of scores, softmax and weighted sum. */
export function attention(
  cx: Context,
  { q, k, v }: { q: Tensor; k: Tensor; v: Tensor },
  packing: Packing,
): Tensor {
  const pairs = { packing, causal: true };
  return weightedSum(cx, { probs: qkProbs(cx, qkLogits(cx, { q, k }, pairs), pairs), v }, pairs);
}
