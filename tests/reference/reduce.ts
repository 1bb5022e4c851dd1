import { mapRef, type Ref, ref, type ReferenceOp, rowsAndColumns, zerosLike } from "./ref.ts";

/** y[n] = Σ_c x[n, c] g[n, c]; x, g [N, d] -> [N, 1] */
export const rowDot: ReferenceOp<[x: Ref, g: Ref], unknown> = {
  forward([x, g]) {
    const [N, d] = rowsAndColumns(x);
    const y = ref([N, 1]);
    x.data.forEach((value, i) => y.data[Math.floor(i / d)]! += value * g.data[i]!);
    return y;
  },
  // dx = dy g, dg = dy x
  vjp([x, g], _attrs, dy) {
    const [, d] = rowsAndColumns(x);
    return [
      mapRef(g, (value, i) => dy.data[Math.floor(i / d)]! * value),
      mapRef(x, (value, i) => dy.data[Math.floor(i / d)]! * value),
    ];
  },
  // ty = tx · g + x · tg
  jvp([x, g], attrs, [tx = zerosLike(x), tg = zerosLike(g)]) {
    const byG = rowDot.forward([x, tg], attrs);
    return mapRef(
      rowDot.forward([tx, g], attrs),
      (value, n) => value + byG.data[n]!,
    );
  },
};

/** y[n] = sqrt(Σ_c x[n, c]²); x [N, d] -> [N, 1]; no gradient at a row of zeros */
export const rowNorm: ReferenceOp<[x: Ref], unknown> = {
  forward: ([x], attrs) => mapRef(rowDot.forward([x, x], attrs), (value) => Math.sqrt(value)),
  // dx = dy x / |x|
  vjp([x], attrs, dy) {
    const [, d] = rowsAndColumns(x);
    const norm = rowNorm.forward([x], attrs);
    return [
      mapRef(x, (value, i) => {
        const n = Math.floor(i / d);
        return norm.data[n] === 0 ? 0 : dy.data[n]! * value / norm.data[n]!;
      }),
    ];
  },
  // ty = x · tx / |x|
  jvp([x], attrs, [tx = zerosLike(x)]) {
    const norm = rowNorm.forward([x], attrs);
    return mapRef(
      rowDot.forward([x, tx], attrs),
      (value, n) => norm.data[n] === 0 ? 0 : value / norm.data[n]!,
    );
  },
};

/** y[a, c] = Σ_b x[a, b, c]; x [A, B, C] -> [A, C] */
export const sumMiddle: ReferenceOp<[x: Ref], unknown> = {
  forward([x]) {
    const [A, B, C] = x.shape as [number, number, number];
    const y = ref([A, C]);
    for (let a = 0; a < A; a++) {
      for (let b = 0; b < B; b++) {
        for (let c = 0; c < C; c++) {
          y.data[a * C + c]! += x.data[(a * B + b) * C + c]!;
        }
      }
    }
    return y;
  },
  // dx[a, b, c] = dy[a, c]
  vjp([x], _attrs, dy) {
    const [A, B, C] = x.shape as [number, number, number];
    const dx = zerosLike(x);
    for (let a = 0; a < A; a++) {
      for (let b = 0; b < B; b++) {
        for (let c = 0; c < C; c++) {
          dx.data[(a * B + b) * C + c] = dy.data[a * C + c]!;
        }
      }
    }
    return [dx];
  },
  jvp: ([x], attrs, [tx = zerosLike(x)]) => sumMiddle.forward([tx], attrs),
};
