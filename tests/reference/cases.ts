/**
 * Odd sizes and attributes for every op: 1, primes, sequences of unequal length.
 *
 * @module
 */

import { createRandom, randomRef } from "../support/random.ts";
import {
  type AttrsOf,
  type InputsOf,
  mapRef,
  opNames,
  type Ref,
  reference,
  type ReferenceOpName,
} from "./mod.ts";

/** One op with inputs and attributes. */
export interface ReferenceCase<Op extends ReferenceOpName = ReferenceOpName> {
  readonly op: Op;
  /** Shapes and attributes in a line. */
  readonly label: string;
  readonly inputs: InputsOf<Op>;
  readonly attrs: AttrsOf<Op>;
}

function oneCase<Op extends ReferenceOpName>(
  op: Op,
  inputs: InputsOf<Op>,
  attrs: AttrsOf<Op>,
): ReferenceCase<Op> {
  const shapes = inputs.map((x) => `[${x?.shape.join(", ")}]`).join(" ");
  return { op, label: `${op} ${shapes} ${labelOf(attrs)}`, inputs, attrs };
}

function labelOf(attrs: unknown): string {
  const text = JSON.stringify(attrs) ?? "";
  return text === "{}" ? "" : text.slice(0, 60);
}

let seed = 1;
const x = (...shape: number[]): Ref => randomRef(shape, seed++);
const positive = (...shape: number[]): Ref => mapRef(x(...shape), (value) => 0.5 + Math.abs(value));
const whole = (length: number, below: number): number[] => {
  const random = createRandom(seed++);
  return Array.from({ length }, () => random.integer(below));
};
const numbers = (length: number): number[] => [...x(length).data];

const rowShapes = [[1, 1], [1, 7], [5, 3], [3, 17], [2, 65]] as const;
const lengthsList = [[1], [5], [3, 1, 4]] as const;
const headShapes = [[1, 1], [3, 2]] as const;

function packed(
  make: (
    size: { N: number; P: number; lengths: number[] },
    H: number,
    e: number,
  ) => ReferenceCase[],
): ReferenceCase[] {
  return lengthsList.flatMap((lengths) =>
    headShapes.flatMap(([H, e]) => {
      const N = lengths.reduce((sum: number, T) => sum + T, 0);
      const P = lengths.reduce((sum: number, T) => sum + T * T, 0);
      return make({ N, P, lengths: [...lengths] }, H, e);
    })
  );
}

/** The cases, op by op: an op without any is a compile error. */
const casesByOp: { [Op in ReferenceOpName]: () => ReferenceCase[] } = {
  embed: () => [
    oneCase("embed", [x(1, 3), x(1, 3)], { tokens: [0], positions: [0] }),
    oneCase("embed", [x(7, 5), x(4, 5)], {
      tokens: [6, 0, 3, 3, 6],
      positions: [0, 1, 2, 0, 1],
    }),
  ],
  norm_scale: () => rowShapes.map((s) => oneCase("norm_scale", [x(...s)], { eps: 1e-5 })),
  norm_apply: () =>
    rowShapes.map(([N, d]) => oneCase("norm_apply", [x(N, d), positive(N, 1), x(d), x(d)], {})),
  linear: () =>
    ([[1, 1, 1], [5, 3, 7], [2, 17, 9]] as const).flatMap(([N, K, M]) => [
      oneCase("linear", [x(N, K), x(K, M)], {}),
      oneCase("linear", [x(N, K), x(K, M), x(M)], { alpha: -0.75 }),
      oneCase("linear", [x(N, K), x(M, K), x(M)], { transposed: true }),
      oneCase("linear", [x(N, K), x(K, M), x(M)], {
        columns: { start: M >> 1, count: (M + 2) >> 2 },
      }),
      oneCase("linear", [x(N, K), x(M, K)], {
        transposed: true,
        columns: { start: M >> 1, count: (M + 2) >> 2 },
        alpha: 0.5,
      }),
    ]).filter(({ attrs }) => attrs.columns?.count !== 0),
  qk_logits: () =>
    packed(({ N, lengths }, H, e) =>
      [true, false].map((causal) =>
        oneCase("qk_logits", [x(N, H, e), x(N, H, e)], { lengths, causal })
      )
    ),
  softmax_keys: () =>
    packed(({ N, P, lengths }, H, e) => {
      const attrs = { lengths, causal: true };
      const qk: [Ref, Ref] = [x(N, H, e), x(N, H, e)];
      return [
        oneCase("softmax_keys", [x(P, H)], { lengths }),
        oneCase("softmax_keys", [reference.qk_logits.forward(qk, attrs)], {
          lengths,
        }),
      ];
    }),
  weighted_sum: () =>
    packed((
      { N, P, lengths },
      H,
      e,
    ) => [oneCase("weighted_sum", [x(P, H), x(N, H, e)], { lengths })]),
  attention: () =>
    packed((
      { N, lengths },
      H,
      e,
    ) => [
      oneCase("attention", [x(N, H, e), x(N, H, e), x(N, H, e)], { lengths }),
    ]),
  gelu: () => rowShapes.map((s) => oneCase("gelu", [x(...s)], {})),
  relu: () => rowShapes.map((s) => oneCase("relu", [x(...s)], {})),
  top_k: () => rowShapes.flatMap((s) => [1, 5].map((k) => oneCase("top_k", [x(...s)], { k }))),
  identity: () => rowShapes.map((s) => oneCase("identity", [x(...s)], {})),
  add: () => rowShapes.map((s) => oneCase("add", [x(...s), x(...s)], {})),
  sub: () => rowShapes.map((s) => oneCase("sub", [x(...s), x(...s)], {})),
  mul: () => rowShapes.map((s) => oneCase("mul", [x(...s), x(...s)], {})),
  scale: () => rowShapes.map((s) => oneCase("scale", [x(...s)], { alpha: -1.5 })),
  scale_columns: () => rowShapes.map(([N, F]) => oneCase("scale_columns", [x(N, F), x(F)], {})),
  scale_rows: () => rowShapes.map(([N, F]) => oneCase("scale_rows", [x(N, F), x(N, 1)], {})),
  row_dot: () => rowShapes.map((s) => oneCase("row_dot", [x(...s), x(...s)], {})),
  row_norm: () => rowShapes.map((s) => oneCase("row_norm", [x(...s)], {})),
  sum_middle: () =>
    ([[1, 1, 1], [3, 5, 2], [1, 7, 11]] as const).map((s) => oneCase("sum_middle", [x(...s)], {})),
  rows: () => [
    oneCase("rows", [x(1, 1)], { start: 0, count: 1 }),
    oneCase("rows", [x(7, 3)], { start: 2, count: 4 }),
  ],
  gather_rows: () => [
    oneCase("gather_rows", [x(1, 1)], { indices: [0] }),
    oneCase("gather_rows", [x(7, 3)], { indices: [6, 2, 2, 0, 2] }),
  ],
  pick: () => [
    oneCase("pick", [x(1)], { index: 0 }),
    oneCase("pick", [x(3, 5, 2)], { index: 17 }),
  ],
  overwrite: () => [
    oneCase("overwrite", [x(3, 5)], {
      shape: [3, 5],
      regions: [{ start: [2, 0], count: [1, 5], value: 0.25 }],
    }),
    // the second sequence's block of a [P, H] tensor; regions that overlap
    oneCase("overwrite", [x(13, 3)], {
      shape: [3, 3, 3],
      offset: 12,
      regions: [
        { start: [0, 1, 0], count: [3, 1, 3], value: -2 },
        { start: [1, 0, 2], count: [1, 3, 1], value: 7 },
      ],
    }),
  ],
  softmax: () => rowShapes.map((s) => oneCase("softmax", [x(...s)], {})),
  log_softmax: () => rowShapes.map((s) => oneCase("log_softmax", [x(...s)], {})),
  cross_entropy: () =>
    rowShapes.map(([N, V]) =>
      oneCase("cross_entropy", [x(N, V)], {
        targets: whole(N, V),
        weights: numbers(N),
      })
    ),
  loss: () =>
    ([[3, 1], [6, 7], [4, 65]] as const).map(([N, V]) =>
      oneCase("loss", [x(N, V)], {
        specs: [
          { row: 0, kind: "linear", coefficients: numbers(V) },
          { row: 2, kind: "probs", coefficients: numbers(V) },
          { row: 1, kind: "zero", coefficients: numbers(V) },
          { row: N - 1, kind: "linear", coefficients: numbers(V) },
        ],
      })
    ),
};

/** Every case, op by op. */
export const referenceCases: readonly ReferenceCase[] = opNames.flatMap((op) => casesByOp[op]());
