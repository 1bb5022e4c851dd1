import { type Ref, ref, type ReferenceOp, rowsAndColumns, zerosLike } from "./ref.ts";

/** The entries start, start + stride, … of a tensor: one softmax. */
export interface Lane {
  readonly start: number;
  readonly stride: number;
  readonly count: number;
}

/** The rows of x. */
export function rowLanes(x: Ref): Lane[] {
  const [N, V] = rowsAndColumns(x);
  return Array.from(
    { length: N },
    (_, n) => ({ start: n * V, stride: 1, count: V }),
  );
}

function largest(x: Ref, { start, stride, count }: Lane): number {
  let max = -Infinity;
  for (let i = 0; i < count; i++) {
    max = Math.max(max, x.data[start + i * stride]!);
  }
  return max;
}

function sumOfExp(x: Ref, lane: Lane, max: number): number {
  let sum = 0;
  for (let i = 0; i < lane.count; i++) {
    sum += Math.exp(x.data[lane.start + i * lane.stride]! - max);
  }
  return sum;
}

/** p_i = exp(x_i) / Σ_j exp(x_j) in each lane. */
export function softmaxLanes(x: Ref, lanes: readonly Lane[]): Ref {
  const p = zerosLike(x);
  for (const lane of lanes) {
    const max = largest(x, lane);
    const sum = sumOfExp(x, lane, max);
    for (let i = 0; i < lane.count; i++) {
      const at = lane.start + i * lane.stride;
      p.data[at] = Math.exp(x.data[at]! - max) / sum;
    }
  }
  return p;
}

/**
 * p_i (t_i - Σ_j p_j t_j) in each lane. The Jacobian of softmax is symmetric, so
 * this is its vjp (t = dy) and its jvp (t = tx). Zero where p is, whatever t is
 * there.
 */
export function softmaxJacobian(
  p: Ref,
  t: Ref,
  lanes: readonly Lane[],
): Ref {
  const result = zerosLike(p);
  for (const { start, stride, count } of lanes) {
    let mean = 0;
    for (let i = 0; i < count; i++) {
      const at = start + i * stride;
      if (p.data[at] !== 0) mean += p.data[at]! * t.data[at]!;
    }
    for (let i = 0; i < count; i++) {
      const at = start + i * stride;
      if (p.data[at] !== 0) {
        result.data[at] = p.data[at]! * (t.data[at]! - mean);
      }
    }
  }
  return result;
}

/** Softmax over the last dimension; x [N, V] */
export const softmax: ReferenceOp<[x: Ref], unknown> = {
  forward: ([x]) => softmaxLanes(x, rowLanes(x)),
  vjp([x], _attrs, dy) {
    const lanes = rowLanes(x);
    return [softmaxJacobian(softmaxLanes(x, lanes), dy, lanes)];
  },
  jvp([x], _attrs, [tx = zerosLike(x)]) {
    const lanes = rowLanes(x);
    return softmaxJacobian(softmaxLanes(x, lanes), tx, lanes);
  },
};

/** y_v = x_v - log Σ_w exp(x_w) over the last dimension; x [N, V] */
export const logSoftmax: ReferenceOp<[x: Ref], unknown> = {
  forward([x]) {
    const y = ref(x.shape);
    for (const lane of rowLanes(x)) {
      const max = largest(x, lane);
      const logSum = max + Math.log(sumOfExp(x, lane, max));
      for (let v = lane.start; v < lane.start + lane.count; v++) {
        y.data[v] = x.data[v]! - logSum;
      }
    }
    return y;
  },
  // dx_v = dy_v - p_v Σ_w dy_w
  vjp([x], attrs, dy) {
    const p = softmax.forward([x], attrs);
    const dx = zerosLike(x);
    for (const { start, count } of rowLanes(x)) {
      let sum = 0;
      for (let v = start; v < start + count; v++) sum += dy.data[v]!;
      for (let v = start; v < start + count; v++) {
        dx.data[v] = dy.data[v]! - p.data[v]! * sum;
      }
    }
    return [dx];
  },
  // ty_v = tx_v - Σ_w p_w tx_w
  jvp([x], attrs, [tx = zerosLike(x)]) {
    const p = softmax.forward([x], attrs);
    const ty = zerosLike(x);
    for (const { start, count } of rowLanes(x)) {
      let mean = 0;
      for (let v = start; v < start + count; v++) {
        mean += p.data[v]! * tx.data[v]!;
      }
      for (let v = start; v < start + count; v++) {
        ty.data[v] = tx.data[v]! - mean;
      }
    }
    return ty;
  },
};
