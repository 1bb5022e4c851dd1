/**
 * The tokens that vectors over the vocabulary speak most for and most against.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import { isWorthSelecting, rowTopK } from "../engine/tape/ops/row_top_k.ts";
import { Arena, readTensors, type Tensor } from "../engine/tape/tensor.ts";
import { bothEnds, type RangeEnds, type RangeValues } from "./range_ends.ts";
import { selectTop } from "./top.ts";

/** A token and what a vector over the vocabulary says of it. */
export interface TokenScore {
  /** Its id. */
  readonly token: number;
  /** The vector's entry. */
  readonly scalar: number;
  /** The scalar over the larger magnitude of the first of both ends; 0 if that is 0. */
  readonly normalizedScalar: number;
}

/** Both ends of a vector over the vocabulary. */
export interface TokenScores {
  /** The largest, descending; of equals the lower token first. */
  readonly top: readonly TokenScore[];
  /** The smallest, ascending; of equals the lower token first. */
  readonly bottom: readonly TokenScore[];
}

/**
 * The t largest and the t smallest entries of each row [n, V]; where that is faster, rows are
 * searched where they are and only candidates are read back.
 *
 * @param options `sums`: those of the rows [n, 1], whose means are then taken off the entries.
 * @throws {RequestError} `index_out_of_range` naming t if there are fewer tokens.
 */
export async function topTokens(
  rows: Tensor,
  t: number,
  { sums }: { sums?: Tensor | undefined } = {},
): Promise<TokenScores[]> {
  const { gpu, width } = rows;
  checkCount(t, width);
  if (rows.size === 0) return [];
  const read = (tensor: Tensor) => readTensors([tensor, ...sums ? [sums] : []]);
  const meanOf = (ofRows: Float32Array | undefined, row: number) =>
    ofRows === undefined ? 0 : ofRows[row]! / width;
  if (!isWorthSelecting(gpu, { rows: rows.rows, width, k: t })) {
    const [all, ofRows] = await read(rows);
    return Array.from({ length: rows.rows }, (_, row) => {
      const values = all!.subarray(row * width, (row + 1) * width);
      return scored(bothEnds(values), t, meanOf(ofRows, row));
    });
  }
  using arena = new Arena(gpu);
  const ranges = [{ x: rows, rows: rows.rows, width }];
  const { candidates, ends } = rowTopK({ gpu, arena }, ranges, { largest: t, smallest: t });
  const [found, ofRows] = await read(candidates);
  return ends(found!)[0]!.map((row, r) => scored(row, t, meanOf(ofRows, r)));
}

/**
 * The t largest and the t smallest of values that are on the host: [V].
 *
 * @throws {RequestError} as {@linkcode topTokens}.
 */
export function topTokensOfValues(values: ArrayLike<number>, t: number): TokenScores {
  checkCount(t, values.length);
  return scored(bothEnds(values), t);
}

function checkCount(t: number, dVocab: number): void {
  if (Number.isInteger(t) && t >= 0 && t <= dVocab) return;
  throw new RequestError(
    "index_out_of_range",
    `Cannot find the top ${t} tokens: the number must be from 0 to ${dVocab}, the size of the ` +
      "vocabulary",
  );
}

function scored({ largest, smallest }: RangeEnds, t: number, mean = 0): TokenScores {
  const first = (values: RangeValues, { largest }: { largest: boolean }) =>
    selectTop([{ ...values, layer: 0, order: 0 }], { k: t, largest })
      .map(({ flat, value }) => ({ token: flat, scalar: Math.fround(value - mean) }));
  const top = first(largest, { largest: true });
  const bottom = first(smallest, { largest: false });
  const unit = Math.max(Math.abs(top[0]?.scalar ?? 0), Math.abs(bottom[0]?.scalar ?? 0));
  const score = (entry: Pick<TokenScore, "token" | "scalar">): TokenScore => ({
    ...entry,
    normalizedScalar: unit === 0 ? 0 : entry.scalar / unit,
  });
  return { top: top.map(score), bottom: bottom.map(score) };
}
