/**
 * Parts of tensors that belong to nodes, gathered.
 *
 * @module
 */

import { linear } from "../engine/tape/ops/linear.ts";
import { gatherRows } from "../engine/tape/ops/slice.ts";
import type { Context } from "../engine/tape/op.ts";
import type { Tensor } from "../engine/tape/tensor.ts";

/** Rows of x [.., C], by their place among the rows: [n, C]. */
export function rowsAt(cx: Context, x: Tensor, places: readonly number[]): Tensor {
  using rows = x.view({ shape: [x.rows, x.width] });
  const indices = Uint32Array.from(places);
  return gatherRows(cx, rows, cx.arena.upload(indices, [indices.length], "rows"));
}

/** Entries of x, by their flat index: [n, 1]. */
export function entriesAt(cx: Context, x: Tensor, places: readonly number[]): Tensor {
  using entries = x.view({ shape: [x.size, 1] });
  return rowsAt(cx, entries, places);
}

/** Columns of a matrix [R, C] as rows: [n, R]. */
export function columnsAt(cx: Context, x: Tensor, columns: readonly number[]): Tensor {
  const { rows, width } = x;
  if (4 * x.size <= cx.gpu.facts.maxBindingBytes) {
    const places = columns.flatMap((column) =>
      Array.from({ length: rows }, (_, row) => row * width + column)
    );
    return entriesAt(cx, x, places).view({ shape: [columns.length, rows] });
  }
  // Products bind what is larger in pieces.
  const oneHot = new Float32Array(columns.length * width);
  columns.forEach((column, i) => oneHot[i * width + column] = 1);
  const chosen = cx.arena.upload(oneHot, [columns.length, width], "columns");
  return linear(cx, chosen, { w: x, transposed: true });
}
