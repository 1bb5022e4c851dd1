import { mapRef, type Ref, type ReferenceOp, zerosLike } from "./ref.ts";

/** A box of a tensor, and the constant to be written there. */
export interface Region {
  /** First index, by dimension. */
  readonly start: readonly number[];
  /** Number of indices, by dimension. */
  readonly count: readonly number[];
  readonly value: number;
}

/** Attributes of {@linkcode overwrite}. */
export interface OverwriteAttrs {
  /** The shape in which the regions are given, e.g. [T, T, H] for [P, H]. */
  readonly shape: readonly number[];
  /** Applied in order: the last to write an entry wins. */
  readonly regions: readonly Region[];
  /** Flat index of x at which `shape` begins, 0 unless given. */
  readonly offset?: number;
}

/** Flat indices of a box. */
function* entries(
  shape: readonly number[],
  { start, count }: Pick<Region, "start" | "count">,
): Generator<number> {
  const [size, ...inner] = shape;
  if (size === undefined) {
    yield 0;
    return;
  }
  const stride = inner.reduce((product, dim) => product * dim, 1);
  for (let i = start[0]!; i < start[0]! + count[0]!; i++) {
    const box = { start: start.slice(1), count: count.slice(1) };
    for (const at of entries(inner, box)) yield i * stride + at;
  }
}

/** The constant at each overwritten entry of x. */
function constants(
  { shape, regions, offset = 0 }: OverwriteAttrs,
): Map<number, number> {
  const written = new Map<number, number>();
  for (const region of regions) {
    for (const at of entries(shape, region)) {
      written.set(offset + at, region.value);
    }
  }
  return written;
}

/** y = x, with constants written; gradient and tangent are 0 there */
export const overwrite: ReferenceOp<[x: Ref], OverwriteAttrs> = {
  forward([x], attrs) {
    const written = constants(attrs);
    return mapRef(x, (value, i) => written.get(i) ?? value);
  },
  vjp(_inputs, attrs, dy) {
    const written = constants(attrs);
    return [mapRef(dy, (value, i) => written.has(i) ? 0 : value)];
  },
  jvp([x], attrs, [tx = zerosLike(x)]) {
    const written = constants(attrs);
    return mapRef(tx, (value, i) => written.has(i) ? 0 : value);
  },
};
