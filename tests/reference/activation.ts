import { mapRef, type Ref, type ReferenceOp, rowsAndColumns, zerosLike } from "./ref.ts";

/** An op on each value by itself, from its function and its derivative. */
function pointwise(
  f: (x: number) => number,
  derivative: (x: number) => number,
): ReferenceOp<[x: Ref], unknown> {
  return {
    forward: ([x]) => mapRef(x, f),
    vjp: ([x], _attrs, dy) => [
      mapRef(x, (value, i) => derivative(value) * dy.data[i]!),
    ],
    jvp: ([x], _attrs, [tx = zerosLike(x)]) =>
      mapRef(x, (value, i) => derivative(value) * tx.data[i]!),
  };
}

const gate = Math.sqrt(2 / Math.PI);
const cubic = 0.044715; // of the tanh approximation (Hendrycks & Gimpel 2016)

function tanhOfGelu(x: number): number {
  return Math.tanh(gate * (x + cubic * x ** 3));
}

/** y = x/2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³))) */
export const gelu = pointwise(
  (x) => 0.5 * x * (1 + tanhOfGelu(x)),
  (x) => {
    const t = tanhOfGelu(x);
    return 0.5 * (1 + t) +
      0.5 * x * (1 - t * t) * gate * (1 + 3 * cubic * x * x);
  },
);

/** y = max(x, 0); no gradient at 0; a NaN stays one */
export const relu = pointwise((x) => x <= 0 ? 0 : x, (x) => x > 0 ? 1 : 0);

/** y = x */
export const identity = pointwise((x) => x, () => 1);

/** Attributes of {@linkcode topK}. */
export interface TopKAttrs {
  readonly k: number;
}

/** 1 at the k largest of each row (ties: lower index) that are positive. */
function topKMask(x: Ref, k: number): Ref {
  const [N, M] = rowsAndColumns(x);
  const mask = zerosLike(x);
  for (let n = 0; n < N; n++) {
    const row = x.data.subarray(n * M, (n + 1) * M);
    const order = Array.from(row.keys())
      .sort((a, b) => row[b]! - row[a]! || a - b);
    for (const m of order.slice(0, k)) {
      if (row[m]! > 0) mask.data[n * M + m] = 1;
    }
  }
  return mask;
}

/** y = max(x, 0) at the k largest of each row, 0 elsewhere; x [N, M] */
export const topK: ReferenceOp<[x: Ref], TopKAttrs> = {
  forward([x], { k }) {
    const mask = topKMask(x, k);
    return mapRef(x, (value, i) => mask.data[i] === 1 ? value : 0);
  },
  // the mask is a constant
  vjp([x], { k }, dy) {
    const mask = topKMask(x, k);
    return [mapRef(dy, (value, i) => mask.data[i] === 1 ? value : 0)];
  },
  jvp([x], { k }, [tx = zerosLike(x)]) {
    const mask = topKMask(x, k);
    return mapRef(tx, (value, i) => mask.data[i] === 1 ? value : 0);
  },
};
