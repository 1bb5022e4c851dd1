/**
 * Comparison of a kernel's float32 values with float64 ones.
 *
 * @module
 */

import { AssertionError } from "node:assert/strict";

import type { ReferenceOpName } from "../reference/mod.ts";

/** `|got - want| <= rel * max|want| + abs` */
export interface Tolerance {
  readonly rel: number;
  readonly abs: number;
}

/** One row of {@linkcode tolerances}. */
export interface ToleranceRow extends Tolerance {
  readonly reason: string;
}

// the rows that several ops share
const moved = { rel: 0, abs: 0, reason: "values are only moved" };
const rounded = {
  rel: 1e-6,
  abs: 1e-30, // a GPU may flush denormal numbers to 0
  reason: "a rounding or two of 6e-8 each; gradients may sum over rows",
};
const summed = {
  rel: 1e-5,
  abs: 1e-6,
  reason: "a sum of n products in float32, n up to some thousands: about " +
    "sqrt(n) roundings, and more where terms cancel",
};
const exponential = {
  rel: 5e-6,
  abs: 1e-6,
  reason: "exp and log of our own, within 3 units in the last place; then a sum",
};

/** How far a kernel may be from the reference: forward, vjp and jvp alike. */
export const tolerances = {
  embed: { ...rounded, reason: "one addition; gradients sum over repeats" },
  norm_scale: {
    rel: 3e-6,
    abs: 3e-7,
    reason: "two sums over the width, then a square root",
  },
  norm_apply: {
    rel: 5e-6,
    abs: 1e-6,
    reason: "difference from a float32 mean, a quotient, gradients with sums " +
      "over the width that cancel",
  },
  linear: summed,
  qk_logits: summed,
  softmax_keys: exponential,
  weighted_sum: summed,
  attention: {
    rel: 1e-5,
    abs: 1e-6,
    reason: "two sums of products around a softmax",
  },
  gelu: {
    rel: 1e-6,
    abs: 1e-7,
    reason: "an exp of our own and a quotient, a few units in the last place",
  },
  relu: moved,
  top_k: moved,
  identity: moved,
  add: rounded,
  sub: rounded,
  mul: rounded,
  scale: rounded,
  scale_columns: {
    rel: 3e-6,
    abs: 1e-6,
    reason: "one product; gradients of the factors sum over rows",
  },
  scale_rows: {
    rel: 3e-6,
    abs: 1e-6,
    reason: "one product; gradients of the factors sum over columns",
  },
  row_dot: summed,
  row_norm: { rel: 2e-6, abs: 1e-6, reason: "a sum over the width, then a square root" },
  sum_middle: summed,
  rows: moved,
  gather_rows: { ...rounded, reason: "moved; gradients sum over repeats" },
  pick: moved,
  overwrite: moved,
  softmax: exponential,
  log_softmax: exponential,
  cross_entropy: {
    ...exponential,
    rel: 1e-5,
    reason: "a log softmax, then a weighted sum over rows",
  },
  loss: { ...summed, reason: "a softmax, then a sum over the vocabulary that may cancel" },
} as const satisfies Record<ReferenceOpName, ToleranceRow>;

/** What a caller who names no op gets: as for a sum of products. */
export const defaultTolerance: ToleranceRow = summed;

/** Options of {@linkcode assertClose}. */
export interface AssertCloseOptions {
  /** The op whose tolerance holds. */
  readonly op?: keyof typeof tolerances;
  /** Shape of both, for the message. */
  readonly shape?: readonly number[];
  /** What is compared, for the message. */
  readonly label?: string;
  /** In place of the op's. */
  readonly rel?: number;
  /** In place of the op's. */
  readonly abs?: number;
}

/**
 * Asserts that every `|got - want| <= rel * max|want| + abs`, the largest taken
 * over the finite values, and that infinities and NaN are in the same places.
 *
 * @throws {AssertionError} If not; the message shows the worst value.
 */
export function assertClose(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  options: AssertCloseOptions = {},
): void {
  const { op, shape = [want.length] } = options;
  const label = options.label ?? op ?? "values";
  const title = `${label} [${shape.join(", ")}]`;
  const { rel, abs } = {
    ...(op === undefined ? defaultTolerance : tolerances[op]),
    ...(options.rel !== undefined && { rel: options.rel }),
    ...(options.abs !== undefined && { abs: options.abs }),
  };
  if (got.length !== want.length) {
    fail(`${title}: got ${got.length} values, want ${want.length}`);
  }

  const bound = rel * largestMagnitude(want) + abs;
  let wrong = 0;
  let worst = -1;
  let worstError = 0;
  for (let i = 0; i < want.length; i++) {
    const error = errorBetween(got[i]!, want[i]!);
    if (error <= bound) continue;
    wrong++;
    if (error > worstError) [worst, worstError] = [i, error];
  }
  if (wrong === 0) return;

  const pairs = Array.from(
    { length: Math.min(5, want.length) },
    (_, i) => `${got[i]} (${want[i]})`,
  );
  fail(
    `${title}: ${wrong} of ${want.length} values are wrong\n` +
      `  allowed: ${rel} * max|want| + ${abs} = ${bound}\n` +
      `  worst: index [${unravel(worst, shape).join(", ")}], got ${got[worst]}, ` +
      `want ${want[worst]}, error ${worstError}\n` +
      `  first: got (want) = ${pairs.join(", ")}`,
  );
}

/** The largest finite magnitude, 0 if there is none. */
export function largestMagnitude(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]!);
    if (Number.isFinite(magnitude)) largest = Math.max(largest, magnitude);
  }
  return largest;
}

/** Distance; 0 for the same infinity or two NaN, else infinite for those. */
export function errorBetween(got: number, want: number): number {
  if (Object.is(got, want)) return 0;
  const distance = Math.abs(got - want);
  return Number.isNaN(distance) ? Infinity : distance;
}

/** Indices by dimension of a flat index. */
function unravel(index: number, shape: readonly number[]): number[] {
  const indices: number[] = [];
  for (const dim of shape.toReversed()) {
    indices.unshift(index % dim);
    index = Math.floor(index / dim);
  }
  return indices;
}

function fail(message: string): never {
  throw new AssertionError({ message });
}
