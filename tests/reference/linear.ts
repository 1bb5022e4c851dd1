import { mapRef, type Ref, ref, type ReferenceOp, zerosLike } from "./ref.ts";

/** Attributes of {@linkcode linear}. */
export interface LinearAttrs {
  /** Whether w is [out, in] rather than [in, out]. */
  readonly transposed?: boolean;
  /** Only these columns of the output, if given; of the bias too. */
  readonly columns?:
    | { readonly start: number; readonly count: number }
    | undefined;
  /** Factor of the result, 1 unless given. */
  readonly alpha?: number;
}

/** The sizes, and where W[k, m] and bias[m] lie for output column m. */
function layout(x: Ref, w: Ref, attrs: LinearAttrs) {
  const [inDim, outDim] = attrs.transposed
    ? [w.shape[1]!, w.shape[0]!]
    : [w.shape[0]!, w.shape[1]!];
  const { start, count } = attrs.columns ?? { start: 0, count: outDim };
  return {
    N: x.shape[0]!,
    K: inDim,
    M: count,
    alpha: attrs.alpha ?? 1,
    weightAt: (k: number, m: number) =>
      attrs.transposed ? (start + m) * inDim + k : k * outDim + start + m,
    biasAt: (m: number) => start + m,
  };
}

/** y = alpha (x W + bias); x [N, K], W [K, M] or transposed -> [N, M] */
export const linear: ReferenceOp<[x: Ref, w: Ref, bias?: Ref], LinearAttrs> = {
  forward([x, w, bias], attrs) {
    const { N, K, M, alpha, weightAt, biasAt } = layout(x, w, attrs);
    const y = ref([N, M]);
    for (let n = 0; n < N; n++) {
      for (let m = 0; m < M; m++) {
        let sum = bias === undefined ? 0 : bias.data[biasAt(m)]!;
        for (let k = 0; k < K; k++) {
          sum += x.data[n * K + k]! * w.data[weightAt(k, m)]!;
        }
        y.data[n * M + m] = alpha * sum;
      }
    }
    return y;
  },
  // dx = alpha dy Wᵀ, dW = alpha xᵀ dy, dbias = alpha Σ_n dy; zero off the slice
  vjp([x, w, bias], attrs, dy) {
    const { N, K, M, alpha, weightAt, biasAt } = layout(x, w, attrs);
    const dx = zerosLike(x);
    const dw = zerosLike(w);
    const dBias = bias === undefined ? undefined : zerosLike(bias);
    for (let n = 0; n < N; n++) {
      for (let m = 0; m < M; m++) {
        const g = alpha * dy.data[n * M + m]!;
        for (let k = 0; k < K; k++) {
          dx.data[n * K + k]! += g * w.data[weightAt(k, m)]!;
          dw.data[weightAt(k, m)]! += g * x.data[n * K + k]!;
        }
        if (dBias !== undefined) dBias.data[biasAt(m)]! += g;
      }
    }
    return dBias === undefined ? [dx, dw] : [dx, dw, dBias];
  },
  // ty = alpha (tx W + x tW + tbias)
  jvp([x, w], attrs, [tx, tw, tBias]) {
    const byX = linear.forward(
      tBias === undefined ? [tx ?? zerosLike(x), w] : [
        tx ?? zerosLike(x),
        w,
        tBias,
      ],
      attrs,
    );
    const byW = linear.forward([x, tw ?? zerosLike(w)], attrs);
    return mapRef(byX, (value, i) => value + byW.data[i]!);
  },
};
