/**
 * The largest and smallest entries of rows, looked for where the rows are: what is
 * read back is a few candidates and not the rows.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily, variant } from "../../gpu/kernel.ts";
import type { Recorder } from "../../gpu/recorder.ts";
import type { Bound } from "../../gpu/pipelines.ts";
import { bindingAlignment, boundPart } from "../bound_part.ts";
import { outputGrid } from "../launch.ts";
import type { Context } from "../op.ts";
import type { Tensor } from "../tensor.ts";

const rowTopKFamily = kernelFamily({
  name: "row_top_k",
  wgsl: wgsl.rowTopK,
  bindings: { x: "read", ends: "readWrite", out: "readWrite" },
  uniforms: {
    start: "u32",
    rows: "u32",
    width: "u32",
    blocks: "u32",
    quads: "u32",
    largest: "u32",
    smallest: "u32",
  },
});
const blockEndsKernel = rowTopKFamily("block_ends", ["x", "ends"]);
const rowTopKKernel = rowTopKFamily("row_top_k", ["x", "ends", "out"]);

/** The most entries that {@linkcode rowTopK} looks for from one end of a row. */
export const maxRowTopK = 128;

/** Rows of a tensor, one after another. */
export interface RowRange {
  readonly x: Tensor;
  /** First element of the first row; 0 if absent. */
  readonly start?: number;
  readonly rows: number;
  readonly width: number;
}

/** Entries of a row, in no order: their values, and their indices within the row. */
export interface RowEntries {
  readonly values: Float32Array<ArrayBuffer>;
  readonly indices: Uint32Array<ArrayBuffer>;
}

/** What may be among the first from either end of a row; of equals the lower index. */
export interface RowEnds {
  readonly largest: RowEntries;
  readonly smallest: RowEntries;
}

/** How many entries are wanted from each end. */
export interface RowTopKOptions {
  readonly largest: number;
  readonly smallest: number;
}

/** What {@linkcode rowTopK} recorded. */
export interface RowTopK {
  /** The candidates of all ranges, to be read together with whatever else is read. */
  readonly candidates: Tensor;
  /** The candidates, once read: for each range, for each row. */
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
  readonly start: number;
  readonly bound: Bound;
  readonly blocks: number;
  /** Quads of a block, at most. */
  readonly quads: number;
  /** Quads of its candidates, and the first of them. */
  readonly found: { readonly start: number; readonly size: number };
}

/** About as many blocks as quads in a block: then both steps have the least to do. */
function blocksOf(width: number): Pick<Piece, "blocks" | "quads"> {
  const most = Math.ceil((width + 3) / 4); // quads of a row, wherever it starts
  const blocks = Math.min(Math.ceil(Math.sqrt(width)), Math.ceil(width / 4));
  return { blocks, quads: Math.ceil(most / blocks) };
}

/**
 * Whether looking for `k` from each end of rows where they are takes less time than reading
 * them: there must be far fewer candidates than entries. A CPU rasteriser's memory is the
 * host's own, and a dispatch takes it as long as some thousand entries take the host.
 */
export function isWorthSelecting(
  { facts }: Recorder,
  { rows = 1, width, k }: { rows?: number; width: number; k: number },
): boolean {
  const isLarge = facts.class === "gpu" || rows * width >= 2 ** 15;
  return isLarge && k <= Math.min(Math.sqrt(width) / 8, maxRowTopK);
}

/**
 * Finds candidates for the first entries from both ends of each row of the ranges. A NaN
 * comes before all others from either end, level with an infinity. Not recorded.
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
      `Cannot look for ${k} entries of a row on the GPU: at most ${maxRowTopK} can be`,
    );
  }
  const { gpu, arena } = context;
  const pieces: Piece[] = [];
  let size = 0;
  ranges.forEach((range, r) => {
    for (const piece of piecesOf(gpu, range)) {
      const { blocks, quads } = blocksOf(piece.width);
      const chosen = Math.min(largest, blocks) + Math.min(smallest, blocks);
      const found = { start: size, size: piece.rows * chosen * (1 + quads) };
      pieces.push({ ...piece, range: r, blocks, quads, found });
      size += Math.ceil(found.size / bindingAlignment) * bindingAlignment;
    }
  });
  const candidates = arena.tensor([size, 4], "candidates");
  for (const piece of pieces) record(context, piece, { largest, smallest, candidates });
  return {
    candidates,
    ends: (read) => endsOf(ranges, { pieces, candidates: read, largest, smallest }),
  };
}

function record(
  { gpu, arena }: Context,
  { bound: x, start, rows, width, blocks, quads, found }: Piece,
  { largest, smallest, candidates }: RowTopKOptions & { candidates: Tensor },
): void {
  const k = Math.max(largest, smallest);
  if (k === 0) return;
  const uniforms = { start, rows, width, blocks, quads, largest, smallest };
  arena.tidy(() => {
    const { block: ends } = arena.tensor([2, rows, blocks, 2], "block ends");
    gpu.dispatch(blockEndsKernel, {
      bind: { x, ends },
      uniforms,
      workgroups: outputGrid(gpu, rows * blocks, quads),
    });
    const turns = k * (blocks + 1 + quads);
    gpu.dispatch(variant(rowTopKKernel, { LANES: lanesFor(gpu, turns), K: roomFor(k) }), {
      bind: {
        x,
        ends,
        out: { block: candidates.block, byteOffset: 16 * found.start, bytes: 16 * found.size },
      },
      uniforms,
      workgroups: [Math.min(2 * rows, gpu.facts.maxWorkgroups)],
    });
    return undefined;
  });
}

/** The fewest on a CPU rasteriser that do not take more turns than llvmpipe allows. */
function lanesFor({ facts }: Recorder, turns: number): number {
  if (facts.class === "gpu") return 128;
  return turns <= 8 * 40_000 ? 8 : 64;
}

function roomFor(k: number): number {
  return k <= 16 ? 16 : maxRowTopK;
}

type PieceOfRange = Omit<Piece, "range" | "blocks" | "quads" | "found">;

/** Cuts a range where one binding may not span it. */
function piecesOf(gpu: Recorder, { x, start = 0, rows, width }: RowRange): PieceOfRange[] {
  if (rows * width === 0) return [];
  const whole = { firstRow: 0, firstIndex: 0, rows, width, start, bound: x.block };
  const { maxBindingBytes } = gpu.facts;
  if (4 * x.size <= maxBindingBytes) return [whole];
  const most = Math.floor(maxBindingBytes / 4) - 2 * bindingAlignment;
  const pieces: PieceOfRange[] = [];
  const rowsAtOnce = Math.floor(most / width);
  if (rowsAtOnce >= 1) {
    for (let firstRow = 0; firstRow < rows; firstRow += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, rows - firstRow);
      const at = boundPart(x, { start: start + firstRow * width, size: count * width });
      pieces.push({ firstRow, firstIndex: 0, rows: count, width, ...at });
    }
    return pieces;
  }
  for (let firstRow = 0; firstRow < rows; firstRow++) {
    for (let firstIndex = 0; firstIndex < width; firstIndex += most) {
      const count = Math.min(most, width - firstIndex);
      const at = boundPart(x, { start: start + firstRow * width + firstIndex, size: count });
      pieces.push({ firstRow, firstIndex, rows: 1, width: count, ...at });
    }
  }
  return pieces;
}

/** The entries of the blocks copied. */
function endsOf(
  ranges: readonly RowRange[],
  { pieces, candidates, largest, smallest }: RowTopKOptions & {
    pieces: readonly Piece[];
    candidates: Float32Array<ArrayBuffer>;
  },
): RowEnds[][] {
  const found = ranges.map(({ rows }) =>
    Array.from(
      { length: rows },
      () => ({ largest: [] as RowEntries[], smallest: [] as RowEntries[] }),
    )
  );
  for (const piece of pieces) {
    let record = 4 * piece.found.start;
    for (let row = 0; row < piece.rows; row++) {
      for (const [end, count] of [["largest", largest], ["smallest", smallest]] as const) {
        const chosen = Math.min(count, piece.blocks);
        found[piece.range]![piece.firstRow + row]![end].push(
          entriesOf(candidates, { piece, row, chosen, record }),
        );
        record += 4 * chosen * (1 + piece.quads);
      }
    }
  }
  return found.map((rows) =>
    rows.map((ends) => ({ largest: joined(ends.largest), smallest: joined(ends.smallest) }))
  );
}

/** The entries in a row's chosen blocks, without those of other rows in their quads. */
function entriesOf(
  candidates: Float32Array<ArrayBuffer>,
  { piece: { start, width, firstIndex, blocks, quads }, row, chosen, record }: {
    piece: Piece;
    row: number;
    chosen: number;
    record: number;
  },
): RowEntries {
  const bits = new Uint32Array(candidates.buffer, candidates.byteOffset, candidates.length);
  const values = new Float32Array(4 * chosen * quads);
  const indices = new Uint32Array(values.length);
  const before = (start + row * width) % 4;
  let size = 0;
  for (let j = 0, at = record; j < chosen; j++) {
    let quad = bits[at]!;
    at += 4;
    for (let q = 0; q < quads; q++, quad += blocks) {
      for (let c = 0, place = 4 * quad - before; c < 4; c++, place++, at++) {
        if (place < 0 || place >= width) continue;
        values[size] = candidates[at]!;
        indices[size++] = firstIndex + place;
      }
    }
  }
  return { values: values.subarray(0, size), indices: indices.subarray(0, size) };
}

function joined(parts: readonly RowEntries[]): RowEntries {
  if (parts.length === 1) return parts[0]!;
  return {
    values: Float32Array.from(parts.flatMap(({ values }) => [...values])),
    indices: Uint32Array.from(parts.flatMap(({ indices }) => [...indices])),
  };
}
