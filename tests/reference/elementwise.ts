import { mapRef, type Ref, type ReferenceOp, zerosLike } from "./ref.ts";

/** y = a + b, of one shape */
export const add: ReferenceOp<[a: Ref, b: Ref], unknown> = {
  forward: ([a, b]) => mapRef(a, (value, i) => value + b.data[i]!),
  vjp: (_inputs, _attrs, dy) => [dy, dy],
  jvp: ([a, b], attrs, [ta = zerosLike(a), tb = zerosLike(b)]) => add.forward([ta, tb], attrs),
};

/** y = a - b, of one shape */
export const sub: ReferenceOp<[a: Ref, b: Ref], unknown> = {
  forward: ([a, b]) => mapRef(a, (value, i) => value - b.data[i]!),
  vjp: (_inputs, _attrs, dy) => [dy, mapRef(dy, (value) => -value)],
  jvp: ([a, b], attrs, [ta = zerosLike(a), tb = zerosLike(b)]) => sub.forward([ta, tb], attrs),
};

/** y = a b, value by value, of one shape */
export const mul: ReferenceOp<[a: Ref, b: Ref], unknown> = {
  forward: ([a, b]) => mapRef(a, (value, i) => value * b.data[i]!),
  // da = dy b, db = dy a
  vjp: ([a, b], _attrs, dy) => [
    mapRef(dy, (value, i) => value * b.data[i]!),
    mapRef(dy, (value, i) => value * a.data[i]!),
  ],
  // ty = ta b + a tb
  jvp: ([a, b], _attrs, [ta = zerosLike(a), tb = zerosLike(b)]) =>
    mapRef(a, (value, i) => ta.data[i]! * b.data[i]! + value * tb.data[i]!),
};

/** Attributes of {@linkcode scale}. */
export interface ScaleAttrs {
  readonly alpha: number;
}

/** y = alpha x */
export const scale: ReferenceOp<[x: Ref], ScaleAttrs> = {
  forward: ([x], { alpha }) => mapRef(x, (value) => alpha * value),
  vjp: (_inputs, attrs, dy) => [scale.forward([dy], attrs)],
  jvp: ([x], attrs, [tx = zerosLike(x)]) => scale.forward([tx], attrs),
};

/** y = x times a factor, where entry i of x has the factor `at(i)`. */
function scaledBy(
  at: (i: number, x: Ref) => number,
): ReferenceOp<[x: Ref, factor: Ref], unknown> {
  return {
    forward: ([x, factor]) => mapRef(x, (value, i) => value * factor.data[at(i, x)]!),
    // dx = dy factor, dfactor = Σ x dy over the entries that share it
    vjp([x, factor], _attrs, dy) {
      const dFactor = zerosLike(factor);
      dy.data.forEach((g, i) => dFactor.data[at(i, x)]! += g * x.data[i]!);
      return [
        mapRef(dy, (value, i) => value * factor.data[at(i, x)]!),
        dFactor,
      ];
    },
    // ty = tx factor + x tfactor
    jvp: ([x, factor], _attrs, [tx = zerosLike(x), t = zerosLike(factor)]) =>
      mapRef(x, (value, i) => tx.data[i]! * factor.data[at(i, x)]! + value * t.data[at(i, x)]!),
  };
}

/** y[n, f] = x[n, f] v[f]; x [N, F], v [F] */
export const scaleColumns = scaledBy((i, x) => i % x.shape[1]!);

/** y[n, f] = x[n, f] s[n]; x [N, F], s [N, 1] */
export const scaleRows = scaledBy((i, x) => Math.floor(i / x.shape[1]!));
