import { type Ref, ref, type ReferenceOp, zerosLike } from "./ref.ts";

/** Attributes of {@linkcode gatherRows}. */
export interface GatherRowsAttrs {
  readonly indices: ArrayLike<number>;
}

/** y[i] = x[indices[i]]; x [N, d] -> [number of indices, d] */
export const gatherRows: ReferenceOp<[x: Ref], GatherRowsAttrs> = {
  forward([x], { indices }) {
    const d = x.shape[1]!;
    const y = ref([indices.length, d]);
    for (let i = 0; i < indices.length; i++) {
      for (let c = 0; c < d; c++) {
        y.data[i * d + c] = x.data[indices[i]! * d + c]!;
      }
    }
    return y;
  },
  // dx[indices[i]] += dy[i]
  vjp([x], { indices }, dy) {
    const d = x.shape[1]!;
    const dx = zerosLike(x);
    for (let i = 0; i < indices.length; i++) {
      for (let c = 0; c < d; c++) {
        dx.data[indices[i]! * d + c]! += dy.data[i * d + c]!;
      }
    }
    return [dx];
  },
  jvp: ([x], attrs, [tx = zerosLike(x)]) => gatherRows.forward([tx], attrs),
};

/** Attributes of {@linkcode rows}. */
export interface RowsAttrs {
  readonly start: number;
  readonly count: number;
}

function indicesOf({ start, count }: RowsAttrs): GatherRowsAttrs {
  return { indices: Array.from({ length: count }, (_, i) => start + i) };
}

/** y[i] = x[start + i]; x [N, d] -> [count, d] */
export const rows: ReferenceOp<[x: Ref], RowsAttrs> = {
  forward: (inputs, attrs) => gatherRows.forward(inputs, indicesOf(attrs)),
  vjp: (inputs, attrs, dy) => gatherRows.vjp(inputs, indicesOf(attrs), dy),
  jvp: (inputs, attrs, tangents) => gatherRows.jvp(inputs, indicesOf(attrs), tangents),
};

/** Attributes of {@linkcode pick}. */
export interface PickAttrs {
  /** Flat index. */
  readonly index: number;
}

/** y = x[index], the index being flat; x of any shape -> [1] */
export const pick: ReferenceOp<[x: Ref], PickAttrs> = {
  forward: ([x], { index }) => ref([1], [x.data[index]!]),
  vjp([x], { index }, dy) {
    const dx = zerosLike(x);
    dx.data[index] = dy.data[0]!;
    return [dx];
  },
  jvp: ([x], attrs, [tx = zerosLike(x)]) => pick.forward([tx], attrs),
};
