/**
 * The largest and smallest entries of scalars, or of parts of them. Large
 * tensors are searched where they are; of those only candidates are read back.
 *
 * @module
 */

import { isWorthSelecting, type RowRange, rowTopK } from "../engine/tape/ops/row_top_k.ts";
import { gatherRows, sliced } from "../engine/tape/ops/slice.ts";
import { Arena, readTensors, Tensor } from "../engine/tape/tensor.ts";
import { nodeOfScalar, unravel } from "./indices.ts";
import { RowsOnDemand } from "./rows_on_demand.ts";
import type {
  HostTensor,
  ScalarEntry,
  ScalarStore,
  ScalarTensor,
  TopScalar,
} from "./scalar_store.ts";
import { type ScalarName, type ScalarRow, scalarTable } from "./table.ts";
import { type Part, selectTop } from "./top.ts";

/** A contiguous part of a scalar. */
export interface ScalarRange<T extends ScalarTensor = ScalarTensor> {
  readonly entry: ScalarEntry<T>;
  /** First element. */
  readonly start: number;
  readonly size: number;
}

/** Values and their index within a range. */
export type RangeValues = Pick<Part, "values" | "indices">;

/** What may be among the largest, and among the smallest, values of a range. */
export interface RangeEnds {
  readonly largest: RangeValues;
  readonly smallest: RangeValues;
}

/** All of a scalar. */
export function wholeOf<T extends ScalarTensor>(entry: ScalarEntry<T>): ScalarRange<T> {
  return { entry, start: 0, size: entry.tensor.size };
}

/** What was found of a range, or is being found. */
interface Found {
  readonly start: number;
  readonly size: number;
  readonly wanted: WantedEnds;
  readonly ends: Promise<RangeEnds>;
}

/** Which ends are wanted, and how far in: `k` entries, `null` for all. */
export interface WantedEnds {
  readonly k: number | null;
  readonly largest: boolean;
  readonly smallest: boolean;
}

/** What is known of scalars that are on the GPU; they never change. */
const foundOf = new WeakMap<ScalarTensor, Found[]>();

/**
 * What of each range may be among the k largest or smallest: all that is known or
 * little, and otherwise the ends of each; in one transfer, and none for what was found before.
 */
export function endsOf<T extends ScalarTensor>(
  store: ScalarStore<T>,
  ranges: readonly ScalarRange<T>[],
  wanted: WantedEnds,
): Promise<RangeEnds[]> {
  const known = ranges.map(({ entry: { tensor }, start, size }) =>
    foundOf.get(tensor)?.find((found) =>
      found.start === start && found.size === size && covers(found.wanted, wanted)
    )?.ends
  );
  const others = ranges.filter((_, i) => known[i] === undefined);
  const searching = search(store, others, wanted);
  let next = 0;
  return Promise.all(ranges.map((range, i) => {
    if (known[i] !== undefined) return known[i];
    const place = next++;
    const ends = searching.then((all) => all[place]!);
    remember(range, { wanted, ends });
    return ends;
  }));
}

function covers(found: WantedEnds, wanted: WantedEnds): boolean {
  return (found.largest || !wanted.largest) && (found.smallest || !wanted.smallest) &&
    (found.k === null || wanted.k !== null && found.k >= wanted.k);
}

function remember(
  { entry: { tensor }, start, size }: ScalarRange<ScalarTensor>,
  { wanted, ends }: Pick<Found, "wanted" | "ends">,
): void {
  let all = foundOf.get(tensor);
  if (all === undefined) foundOf.set(tensor, all = []);
  const found = { start, size, wanted, ends };
  all.push(found);
  ends.catch(() => all.splice(all.indexOf(found), 1));
}

async function search<T extends ScalarTensor>(
  store: ScalarStore<T>,
  wantedRanges: readonly ScalarRange<T>[],
  { k, largest, smallest }: WantedEnds,
): Promise<RangeEnds[]> {
  const ranges = wantedRanges.map(computed);
  const onGpu = (range: ComputedRange): range is ComputedRange & { tensor: Tensor } =>
    range.tensor instanceof Tensor && store.known(range.tensor) === undefined;
  const gpu = ranges.find(onGpu)?.tensor.gpu;
  if (gpu === undefined) return ranges.map((range) => bothEnds(valuesOf(store, range)));

  using arena = new Arena(gpu);
  const context = { gpu, arena };
  const searched = new Map<ComputedRange, RowRange>();
  const parts = new Map<ComputedRange, Tensor>();
  const whole: Tensor[] = [];
  for (const range of ranges) {
    if (!onGpu(range)) continue;
    const { tensor: x, start, size } = range;
    if (k !== null && isWorthSelecting(gpu, { width: size, k })) {
      searched.set(range, { x, start, rows: 1, width: size });
    } else if (size < x.size) {
      parts.set(range, sliced(context, x, { start, size }));
    } else {
      whole.push(x);
    }
  }
  const count = k ?? 0;
  const found = searched.size > 0
    ? rowTopK(context, [...searched.values()], {
      largest: largest ? count : 0,
      smallest: smallest ? count : 0,
    })
    : undefined;
  const read = await readTensors([
    ...whole,
    ...parts.values(),
    ...found ? [found.candidates] : [],
  ]);
  whole.forEach((tensor, i) => store.setValues(tensor, read[i]!));
  const partValues = new Map([...parts.keys()].map((range, i) => [range, read[whole.length + i]!]));
  const ends = found?.ends(read.at(-1)!) ?? [];
  const endsByRange = new Map([...searched.keys()].map((range, i) => [range, ends[i]![0]!]));
  return ranges.map((range) => {
    const selected = endsByRange.get(range);
    if (selected === undefined) {
      return bothEnds(partValues.get(range) ?? valuesOf(store, range));
    }
    return selected;
  });
}

/** A range of values that are there. */
interface ComputedRange {
  readonly tensor: Tensor | HostTensor;
  readonly start: number;
  readonly size: number;
}

function computed({ entry: { tensor }, start, size }: ScalarRange<ScalarTensor>): ComputedRange {
  if (!(tensor instanceof RowsOnDemand)) return { tensor, start, size };
  const { row, start: startInRow } = tensor.rowAt(start, size);
  return { tensor: row, start: startInRow, size };
}

function valuesOf<T extends ScalarTensor>(
  store: ScalarStore<T>,
  { tensor, start, size }: ComputedRange,
): Float32Array {
  return store.known(tensor)!.subarray(start, start + size);
}

/** Values of which any may be among the first from either end. */
export function bothEnds(values: ArrayLike<number>): RangeEnds {
  return { largest: { values }, smallest: { values } };
}

/**
 * The k largest (or smallest) of the ranges' values, with the nodes they belong to.
 *
 * @param values Of each range, what may be among them.
 * @param options As for `selectTop`.
 */
export function topOf(
  ranges: readonly ScalarRange[],
  values: readonly RangeValues[],
  options: { k: number | null; largest: boolean; layersFirst?: boolean },
): TopScalar[] {
  const order = new Map<ScalarName, number>();
  for (const { entry: { dst } } of ranges) if (!order.has(dst)) order.set(dst, order.size);
  const parts = ranges.map(({ entry }, i): Part => ({
    ...values[i]!,
    layer: entry.layerIndex ?? -1,
    order: order.get(entry.dst)!,
  }));
  return selectTop(parts, options).map(({ part, flat, value }) => {
    const { entry: { dst, passType, layerIndex, tensor }, start } = ranges[part]!;
    const tensorIndices = unravel(start + flat, tensor.shape);
    const row: ScalarRow = scalarTable[dst];
    const node = nodeOfScalar({ dst, passType, layerIndex, tensorIndices }, row);
    return { dst, passType, layerIndex, tensorIndices, node, value };
  });
}

/** An entry of a scalar. */
export interface EntryPlace {
  readonly tensor: ScalarTensor;
  readonly flat: number;
}

/** Scalars of up to this size are read as they are. */
const small = 2 ** 12;

/** The values at places of a store's scalars, in one transfer. */
export async function readEntries<T extends ScalarTensor>(
  store: ScalarStore<T>,
  wanted: readonly EntryPlace[],
): Promise<number[]> {
  const places = wanted.map(({ tensor, flat }): EntryPlace => {
    if (!(tensor instanceof RowsOnDemand)) return { tensor, flat };
    const { row, start } = tensor.rowAt(flat);
    return { tensor: row, flat: start };
  });
  const indicesOf = new Map<ScalarTensor, Map<number, number>>();
  for (const { tensor, flat } of places) {
    let indices = indicesOf.get(tensor);
    if (indices === undefined) indicesOf.set(tensor, indices = new Map());
    if (!indices.has(flat)) indices.set(flat, indices.size);
  }
  const unknown = [...indicesOf.keys()].filter((tensor): tensor is Tensor =>
    tensor instanceof Tensor && store.known(tensor) === undefined
  );
  const gpu = unknown[0]?.gpu;
  const gathered = new Map<ScalarTensor, Float32Array>();
  if (gpu !== undefined) {
    using arena = new Arena(gpu);
    const few = unknown.filter((x) =>
      x.size > Math.max(small, 8 * indicesOf.get(x)!.size) &&
      4 * x.size <= gpu.facts.maxBindingBytes
    );
    const whole = unknown.filter((tensor) => !few.includes(tensor));
    const parts = few.map((x) => {
      const indices = Uint32Array.from(indicesOf.get(x)!.keys());
      const at = arena.upload(indices, [indices.length], "places");
      using entries = x.view({ shape: [x.size, 1] });
      return gatherRows({ gpu, arena }, entries, at);
    });
    const read = await readTensors([...whole, ...parts]);
    whole.forEach((tensor, i) => store.setValues(tensor, read[i]!));
    few.forEach((tensor, i) => gathered.set(tensor, read[whole.length + i]!));
  }
  return places.map(({ tensor, flat }) => {
    const part = gathered.get(tensor);
    return part ? part[indicesOf.get(tensor)!.get(flat)!]! : store.known(tensor)![flat]!;
  });
}
