/**
 * The largest and smallest entries of rows, selected where the rows are: what is
 * read back is a few candidates and not the rows.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily, variant } from "../../gpu/kernel.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Bound } from "../../gpu/pipelines.ts";
import type { Context } from "../op.ts";
import type { Tensor } from "../tensor.ts";

const rowTopKKernel = kernelFamily({
  name: "row_top_k",
  wgsl: wgsl.rowTopK,
  bindings: { x: "read", out: "readWrite" },
  uniforms: {
    start: "u32",
    rows: "u32",
    width: "u32",
    parts: "u32",
    largest: "u32",
    smallest: "u32",
    outStart: "u32",
  },
})("row_top_k", ["x", "out"]);

/** The most entries that {@linkcode rowTopK} selects from one end of a row. */
export const maxRowTopK = 128;

/** Rows of a tensor, one after another. */
export interface RowRange {
  readonly x: Tensor;
  /** First element of the first row; 0 if absent. */
  readonly start?: number;
  readonly rows: number;
  readonly width: number;
}

/** An entry of a row. */
export interface RowEntry {
  readonly index: number;
  readonly value: number;
}

/** Both ends of a row. */
export interface RowEnds {
  /** Descending; of equals the one with the lower index first. */
  readonly largest: readonly RowEntry[];
  /** Ascending; of equals the one with the lower index first. */
  readonly smallest: readonly RowEntry[];
}

/** How many entries are wanted from each end; capped at the width. */
export interface RowTopKOptions {
  readonly largest: number;
  readonly smallest: number;
}

/** What {@linkcode rowTopK} recorded. */
export interface RowTopK {
  /** The candidates of all ranges, to be read together with whatever else is read. */
  readonly candidates: Tensor;
  /** Merges the candidates, once read: for each range, for each row. */
  ends(candidates: Float32Array<ArrayBuffer>): RowEnds[][];
}

/** A piece of a range that one binding spans. */
interface Piece {
  readonly range: number;
  readonly firstRow: number;
  /** Index within the row of the piece's first entry. */
  readonly firstIndex: number;
  readonly rows: number;
  readonly width: number;
  readonly parts: number;
  readonly start: number;
  readonly bound: Bound;
  readonly outStart: number;
}

/** Words of a candidate: its index and its bits. */
const words = 2;
const absent = 0xffffffff;

/**
 * Entries that one thread looks through: enough to make candidates rare among them, but
 * llvmpipe silently ends a kernel's loops after 65535 turns in all. An entry takes up to
 * 2 log2(K) turns, and 8 more while it waits for the other lanes of a vector.
 */
function entriesPerThread(gpu: Gpu, k: number): number {
  return gpu.facts.class === "cpu" ? 2048 : Math.max(256, 32 * k);
}

/**
 * Whether selecting `k` from each end of rows where they are takes less time than reading
 * them. A CPU rasteriser's memory is the host's own: there it takes many entries and few
 * candidates.
 */
export function isWorthSelecting(
  gpu: Gpu,
  { rows = 1, width, k }: { rows?: number; width: number; k: number },
): boolean {
  if (gpu.facts.class === "cpu") return k <= 16 && rows * width >= 2 ** 20;
  return k <= maxRowTopK && width >= entriesPerThread(gpu, k) / 2;
}

/**
 * Selects the largest and smallest entries of each row of the ranges, one dispatch
 * for a range. Of equals the lower index comes first; a NaN comes before all others
 * from either end, level with an infinity. Not recorded.
 *
 * @throws {RangeError} if more than {@linkcode maxRowTopK} are wanted.
 */
export function rowTopK(
  context: Context,
  ranges: readonly RowRange[],
  { largest, smallest }: RowTopKOptions,
): RowTopK {
  const k = Math.max(largest, smallest);
  if (k > maxRowTopK) {
    throw new RangeError(
      `Cannot select ${k} entries of a row on the GPU: at most ${maxRowTopK} can be`,
    );
  }
  const { gpu, arena } = context;
  const perThread = words * (largest + smallest);
  const pieces: Piece[] = [];
  let size = 0;
  ranges.forEach((range, r) => {
    for (const piece of piecesOf(gpu, range)) {
      const parts = Math.ceil(piece.width / entriesPerThread(gpu, k));
      pieces.push({ ...piece, range: r, parts, outStart: size });
      size += piece.rows * parts * perThread;
    }
  });
  const candidates = arena.tensor([size], "candidates");
  const { kernel, lanes } = kernelFor(gpu, k);
  for (const { start, rows, width, parts, bound, outStart } of pieces) {
    gpu.dispatch(kernel, {
      bind: { x: bound, out: candidates.block },
      uniforms: { start, rows, width, parts, largest, smallest, outStart },
      workgroups: [Math.min(Math.ceil(rows * parts / lanes), gpu.facts.maxWorkgroups)],
    });
  }
  return {
    candidates,
    ends: (read) => merged(ranges, { pieces, candidates: read, largest, smallest }),
  };
}

/** Room for heaps in powers of two; their lanes share 16 KiB, which every adapter has. */
function kernelFor(gpu: Gpu, k: number) {
  const room = 2 ** Math.ceil(Math.log2(Math.max(k, 8)));
  const lanes = gpu.facts.class === "cpu" ? 8 : Math.min(64, 1024 / room);
  return { kernel: variant(rowTopKKernel, { K: room, LANES: lanes }), lanes };
}

type PieceOfRange = Omit<Piece, "range" | "parts" | "outStart">;

/** Cuts a range where one binding may not span it. */
function piecesOf(gpu: Gpu, { x, start = 0, rows, width }: RowRange): PieceOfRange[] {
  if (rows * width === 0) return [];
  const whole = { firstRow: 0, firstIndex: 0, rows, width, start, bound: x.block };
  const { maxBindingBytes } = gpu.facts;
  if (4 * x.size <= maxBindingBytes) return [whole];
  const most = Math.floor(maxBindingBytes / 4) - alignment;
  const pieces: PieceOfRange[] = [];
  const rowsAtOnce = Math.floor(most / width);
  if (rowsAtOnce >= 1) {
    for (let firstRow = 0; firstRow < rows; firstRow += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, rows - firstRow);
      const at = bindingAt(x, { start: start + firstRow * width, size: count * width });
      pieces.push({ firstRow, firstIndex: 0, rows: count, width, ...at });
    }
    return pieces;
  }
  for (let firstRow = 0; firstRow < rows; firstRow++) {
    for (let firstIndex = 0; firstIndex < width; firstIndex += most) {
      const count = Math.min(most, width - firstIndex);
      const at = bindingAt(x, { start: start + firstRow * width + firstIndex, size: count });
      pieces.push({ firstRow, firstIndex, rows: 1, width: count, ...at });
    }
  }
  return pieces;
}

const alignment = 64; // elements: bindings start at multiples of 256 bytes

function bindingAt(x: Tensor, { start, size }: { start: number; size: number }) {
  const first = Math.floor(start / alignment) * alignment;
  const bytes = 4 * (start - first + size);
  return { start: start - first, bound: { block: x.block, byteOffset: 4 * first, bytes } };
}

function merged(
  ranges: readonly RowRange[],
  { pieces, candidates, largest, smallest }: {
    pieces: readonly Piece[];
    candidates: Float32Array<ArrayBuffer>;
    largest: number;
    smallest: number;
  },
): RowEnds[][] {
  const { buffer, byteOffset, length } = candidates;
  const indices = new Uint32Array(buffer, byteOffset, length);
  const found = ranges.map(({ rows }) =>
    Array.from({ length: rows }, () => ({ largest: [] as RowEntry[], smallest: [] as RowEntry[] }))
  );
  for (const { range, firstRow, firstIndex, rows, parts, outStart } of pieces) {
    let at = outStart;
    for (let row = 0; row < rows; row++) {
      const ends = found[range]![firstRow + row]!;
      for (let part = 0; part < parts; part++) {
        for (let j = 0; j < largest + smallest; j++, at += words) {
          if (indices[at] === absent) continue;
          const entry = { index: firstIndex + indices[at]!, value: candidates[at + 1]! };
          (j < largest ? ends.largest : ends.smallest).push(entry);
        }
      }
    }
  }
  return found.map((rows) =>
    rows.map((ends) => ({
      largest: ends.largest.sort(byRank(1)).slice(0, largest),
      smallest: ends.smallest.sort(byRank(-1)).slice(0, smallest),
    }))
  );
}

function byRank(sign: 1 | -1): (a: RowEntry, b: RowEntry) => number {
  const key = ({ value }: RowEntry) => Number.isNaN(value) ? Infinity : sign * value;
  return (a, b) => {
    const [keyA, keyB] = [key(a), key(b)];
    return keyA === keyB ? a.index - b.index : keyB - keyA;
  };
}
