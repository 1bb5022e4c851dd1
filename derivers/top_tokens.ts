/**
 * The tokens that vectors over the vocabulary speak most for and most against.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import { isWorthSelecting, type RowEntry, rowTopK } from "../engine/tape/ops/row_top_k.ts";
import { Arena, type Tensor } from "../engine/tape/tensor.ts";
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
 * @throws {RequestError} `index_out_of_range` naming t if there are fewer tokens.
 */
export async function topTokens(rows: Tensor, t: number): Promise<TokenScores[]> {
  const { gpu, width } = rows;
  checkCount(t, width);
  if (rows.size === 0) return [];
  if (!isWorthSelecting(gpu, { rows: rows.rows, width, k: t })) {
    const values = await rows.read();
    return Array.from(
      { length: rows.rows },
      (_, row) => topTokensOfValues(values.subarray(row * width, (row + 1) * width), t),
    );
  }
  using arena = new Arena(gpu);
  const ranges = [{ x: rows, rows: rows.rows, width }];
  const { candidates, ends } = rowTopK({ gpu, arena }, ranges, { largest: t, smallest: t });
  return ends(await candidates.read())[0]!.map(({ largest, smallest }) =>
    scored(largest, smallest)
  );
}

/**
 * The t largest and the t smallest of values that are on the host: [V].
 *
 * @throws {RequestError} as {@linkcode topTokens}.
 */
export function topTokensOfValues(values: ArrayLike<number>, t: number): TokenScores {
  checkCount(t, values.length);
  const end = (largest: boolean) =>
    selectTop([{ values, layer: 0, order: 0 }], { k: t, largest })
      .map(({ flat, value }) => ({ index: flat, value }));
  return scored(end(true), end(false));
}

function checkCount(t: number, dVocab: number): void {
  if (Number.isInteger(t) && t >= 0 && t <= dVocab) return;
  throw new RequestError(
    "index_out_of_range",
    `Cannot find the top ${t} tokens: the number must be from 0 to ${dVocab}, the size of the ` +
      "vocabulary",
  );
}

function scored(largest: readonly RowEntry[], smallest: readonly RowEntry[]): TokenScores {
  const unit = Math.max(Math.abs(largest[0]?.value ?? 0), Math.abs(smallest[0]?.value ?? 0));
  const score = ({ index, value }: RowEntry): TokenScore => ({
    token: index,
    scalar: value,
    normalizedScalar: unit === 0 ? 0 : value / unit,
  });
  return { top: largest.map(score), bottom: smallest.map(score) };
}
