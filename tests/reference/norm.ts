/**
 * Layer norm in its two halves, because the scale is an activation of its own:
 * it can be read, replaced or held constant.
 *
 * @module
 */

import { type Ref, ref, type ReferenceOp, rowsAndColumns, zerosLike } from "./ref.ts";

/** Attributes of {@linkcode normScale}. */
export interface NormScaleAttrs {
  readonly eps: number;
}

function rowMean(x: Ref, n: number): number {
  const d = x.shape[1]!;
  let sum = 0;
  for (let c = 0; c < d; c++) sum += x.data[n * d + c]!;
  return sum / d;
}

/** s[n] = sqrt(mean_c((x[n, c] - mean)²) + eps); x [N, d] -> [N, 1] */
export const normScale: ReferenceOp<[x: Ref], NormScaleAttrs> = {
  forward([x], { eps }) {
    const [N, d] = rowsAndColumns(x);
    const s = ref([N, 1]);
    for (let n = 0; n < N; n++) {
      const mean = rowMean(x, n);
      let sum = 0;
      for (let c = 0; c < d; c++) sum += (x.data[n * d + c]! - mean) ** 2;
      s.data[n] = Math.sqrt(sum / d + eps);
    }
    return s;
  },
  // ds/dx[c] = (x[c] - mean) / (d s); the mean's own derivative cancels
  vjp([x], attrs, dy) {
    const [N, d] = rowsAndColumns(x);
    const s = normScale.forward([x], attrs);
    const dx = zerosLike(x);
    for (let n = 0; n < N; n++) {
      const mean = rowMean(x, n);
      for (let c = 0; c < d; c++) {
        dx.data[n * d + c] = dy.data[n]! * (x.data[n * d + c]! - mean) /
          (d * s.data[n]!);
      }
    }
    return [dx];
  },
  jvp([x], attrs, [tx = zerosLike(x)]) {
    const [N, d] = rowsAndColumns(x);
    const s = normScale.forward([x], attrs);
    const ts = zerosLike(s);
    for (let n = 0; n < N; n++) {
      const mean = rowMean(x, n);
      for (let c = 0; c < d; c++) {
        ts.data[n]! += (x.data[n * d + c]! - mean) * tx.data[n * d + c]! /
          (d * s.data[n]!);
      }
    }
    return ts;
  },
};

/**
 * y[n, c] = (x[n, c] - mean) / scale[n] * gain[c] + bias[c];
 * x [N, d], scale [N, 1], gain [d], bias [d] -> [N, d]
 */
export const normApply: ReferenceOp<
  [x: Ref, scale: Ref, gain: Ref, bias: Ref],
  unknown
> = {
  forward([x, scale, gain, bias]) {
    const [N, d] = rowsAndColumns(x);
    const y = zerosLike(x);
    for (let n = 0; n < N; n++) {
      const mean = rowMean(x, n);
      for (let c = 0; c < d; c++) {
        y.data[n * d + c] = (x.data[n * d + c]! - mean) / scale.data[n]! *
            gain.data[c]! + bias.data[c]!;
      }
    }
    return y;
  },
  // with g[c] = dy[c] gain[c] / s:
  // dx[c] = g[c] - mean(g), ds = -Σ g[c] (x[c] - mean) / s,
  // dgain[c] = Σ_n dy (x - mean) / s, dbias[c] = Σ_n dy
  vjp([x, scale, gain, bias], _attrs, dy) {
    const [N, d] = rowsAndColumns(x);
    const dx = zerosLike(x);
    const dScale = zerosLike(scale);
    const dGain = zerosLike(gain);
    const dBias = zerosLike(bias);
    for (let n = 0; n < N; n++) {
      const mean = rowMean(x, n);
      const s = scale.data[n]!;
      let meanOfG = 0;
      for (let c = 0; c < d; c++) {
        const normed = (x.data[n * d + c]! - mean) / s;
        const g = dy.data[n * d + c]! * gain.data[c]! / s;
        meanOfG += g / d;
        dScale.data[n]! -= g * normed;
        dGain.data[c]! += dy.data[n * d + c]! * normed;
        dBias.data[c]! += dy.data[n * d + c]!;
        dx.data[n * d + c] = g;
      }
      for (let c = 0; c < d; c++) dx.data[n * d + c]! -= meanOfG;
    }
    return [dx, dScale, dGain, dBias];
  },
  // ty = (tx - mean(tx)) / s gain - ts (x - mean) / s² gain
  //    + tgain (x - mean) / s + tbias
  jvp([x, scale, gain, bias], _attrs, [tx, tScale, tGain, tBias]) {
    const [N, d] = rowsAndColumns(x);
    tx ??= zerosLike(x);
    tScale ??= zerosLike(scale);
    tGain ??= zerosLike(gain);
    tBias ??= zerosLike(bias);
    const ty = zerosLike(x);
    for (let n = 0; n < N; n++) {
      const mean = rowMean(x, n);
      const tMean = rowMean(tx, n);
      const s = scale.data[n]!;
      for (let c = 0; c < d; c++) {
        const normed = (x.data[n * d + c]! - mean) / s;
        const tNormed = (tx.data[n * d + c]! - tMean) / s -
          tScale.data[n]! * normed / s;
        ty.data[n * d + c] = tNormed * gain.data[c]! +
          normed * tGain.data[c]! + tBias.data[c]!;
      }
    }
    return ty;
  },
};
