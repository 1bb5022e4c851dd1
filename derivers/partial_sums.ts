/**
 * Parts of a total: large scalars are added up where they are, as far as it takes to make
 * them small.
 *
 * @module
 */

import type { Context } from "../engine/tape/op.ts";
import { sumMiddle, sumRows } from "../engine/tape/ops/reduce.ts";
import { Arena, readTensors, sizeOf, Tensor } from "../engine/tape/tensor.ts";
import type { ScalarDimName } from "./nodes.ts";
import { RowsOnDemand } from "./rows_on_demand.ts";
import type { ScalarEntry, ScalarStore, ScalarTensor } from "./scalar_store.ts";
import { type ScalarName, type ScalarRow, scalarTable } from "./table.ts";

/** What is done to each entry before it is added. */
export interface EachEntry {
  onGpu(cx: Context, x: Tensor): Tensor;
  onHost(x: number): number;
}

/** Nothing. */
export const asItIs: EachEntry = { onGpu: (_, x) => x, onHost: (x) => x };

/** Part of a total: values over the dimensions that are left, of which some are kept. */
export interface Partial {
  readonly values: ArrayLike<number>;
  readonly shape: readonly number[];
  readonly kept: readonly boolean[];
}

/** Which of the dimensions of an entry are kept. */
export function isKept(
  { dst }: { dst: ScalarName },
  dimsToKeep: readonly ScalarDimName[],
): boolean[] {
  const row: ScalarRow = scalarTable[dst];
  return row.dims.map((dim) => dimsToKeep.includes(dim));
}

/** Sizes up to this are brought to the host as they are. */
const small = 2 ** 14;
/** Dimensions up to this are summed over on the GPU: llvmpipe ends longer loops, silently. */
const longestLoop = 60_000;

/** Reduces what is large where it is, and brings the rest of it to the host in one transfer. */
export async function partials(
  store: ScalarStore<ScalarTensor>,
  entries: readonly ScalarEntry<ScalarTensor>[],
  { dimsToKeep, each }: { dimsToKeep: readonly ScalarDimName[]; each: EachEntry },
): Promise<Partial[]> {
  const onDemand = entries.flatMap((entry) =>
    entry.tensor instanceof RowsOnDemand
      ? [sumsOfRows(entry, entry.tensor, { dimsToKeep, each })]
      : []
  );
  const large = entries.flatMap((entry) => {
    const { tensor } = entry;
    const onGpu = tensor instanceof Tensor && store.known(tensor) === undefined;
    return onGpu && tensor.size > small ? [{ tensor, entry }] : [];
  });
  const whole = entries.filter((entry) =>
    !large.some((each) => each.entry === entry) && !(entry.tensor instanceof RowsOnDemand)
  );
  const missing = whole.flatMap(({ tensor }) =>
    tensor instanceof Tensor && store.known(tensor) === undefined ? [tensor] : []
  );
  const gpu = (onDemand[0]?.tensor ?? large[0]?.tensor ?? missing[0])?.gpu;
  const result: Partial[] = [];
  if (gpu !== undefined) {
    using arena = new Arena(gpu);
    const cx = { gpu, arena };
    const reduced = large.map(({ tensor, entry }) => {
      const kept = isKept(entry, dimsToKeep);
      return reduce(cx, arena.tidy(() => each.onGpu(cx, tensor)), { shape: tensor.shape, kept });
    });
    reduced.push(...onDemand);
    const read = await readTensors([...missing, ...reduced.map(({ tensor }) => tensor)]);
    missing.forEach((tensor, i) => store.setValues(tensor, read[i]!));
    reduced.forEach(({ shape, kept }, i) =>
      result.push({ values: read[missing.length + i]!, shape, kept })
    );
  }
  for (const entry of whole) {
    const values = Float64Array.from(store.known(entry.tensor)!, each.onHost);
    result.push({ values, shape: entry.tensor.shape, kept: isKept(entry, dimsToKeep) });
  }
  return result;
}

/** Rows that are not computed have sums, and nothing else that can be added up. */
function sumsOfRows(
  entry: ScalarEntry<ScalarTensor>,
  { shape: [rows], sums }: RowsOnDemand,
  { dimsToKeep, each }: { dimsToKeep: readonly ScalarDimName[]; each: EachEntry },
): Reduced {
  const [keepsRows = false, keepsColumns = false] = isKept(entry, dimsToKeep);
  if (each !== asItIs || keepsColumns) {
    throw new TypeError(`Internal error: "${entry.dst}" is known by its rows' sums only`);
  }
  return { tensor: sums(), shape: [rows], kept: [keepsRows] };
}

/** A tensor, and which of its dimensions are kept. */
interface Reduced {
  tensor: Tensor;
  shape: number[];
  kept: boolean[];
}

/** Sums over dimensions that are not kept, the last first, until what is left is small. */
function reduce(
  cx: Context,
  x: Tensor,
  { shape, kept }: { shape: readonly number[]; kept: readonly boolean[] },
): Reduced {
  const left = { tensor: x, shape: [...shape], kept: [...kept] };
  for (let dim = shape.length - 1; dim >= 0 && left.tensor.size > small; dim--) {
    const inner = shape[dim]!;
    if (kept[dim] || inner === 1 || inner > longestLoop) continue;
    const outer = sizeOf(left.shape.slice(0, dim));
    const width = sizeOf(left.shape.slice(dim + 1));
    using view = left.tensor.view({ shape: [outer, inner, ...width === 1 ? [] : [width]] });
    left.tensor = width === 1 ? sumRows(cx, view) : sumMiddle(cx, view);
    left.shape.splice(dim, 1);
    left.kept.splice(dim, 1);
  }
  return left;
}
