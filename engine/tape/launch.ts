/**
 * How many workgroups, and how many lanes a row, suit the adapter.
 *
 * @module
 */

import type { Recorder } from "../gpu/recorder.ts";
import { type Kernel, variant } from "../gpu/kernel.ts";
import type { Tensor } from "./tensor.ts";
import { GpuError, ShapeError } from "../errors.ts";

const threads = 64; // @workgroup_size of the kernels with one output a thread

/**
 * Loop turns that one invocation may take. llvmpipe ends every loop of an invocation
 * after 65,535 turns in all, silently (LP_MAX_TGSI_LOOP_ITERATIONS in Mesa).
 */
const turnsAtMost = 50_000;

/**
 * Workgroups for `outputs` outputs, one a thread and then the next in turn.
 *
 * @param turns Loop turns that one output takes.
 */
export function outputGrid(gpu: Recorder, outputs: number, turns = 1): [number] {
  const groups = Math.ceil(outputs / threads);
  if (gpu.facts.class === "gpu") return [Math.min(groups, 4096)];
  // A workgroup costs a CPU rasteriser about 0.8 µs a thread: few of them.
  return [Math.min(groups, Math.max(16, Math.ceil(groups * (turns + 1) / turnsAtMost)))];
}

/** How rows are given to lanes: see `shaders/lib/lanes.wgsl`. */
function lanesOf(gpu: Recorder, turns: number): { LANES: number; ROWS: number; GROUP: number } {
  if (gpu.facts.class === "gpu") return { LANES: 128, ROWS: 1, GROUP: 128 };
  // One row to each lane of a SIMD vector, unless it takes too many turns.
  if (turns <= turnsAtMost) return { LANES: 1, ROWS: 8, GROUP: 8 };
  const lanes = Math.min(Math.max(2 ** Math.ceil(Math.log2(turns / turnsAtMost)), 8), 256);
  return { LANES: lanes, ROWS: 1, GROUP: lanes };
}

/** Rows that a kernel works on: how many, how long, and how often it goes over each. */
export interface Rows {
  readonly rows: number;
  readonly width: number;
  readonly passes: number;
}

/** A kernel of `shaders/lib/lanes.wgsl` as it suits the adapter and the rows, and its grid. */
export function rowLaunch<K extends Kernel>(
  gpu: Recorder,
  kernel: K,
  { rows, width, passes }: Rows,
): { kernel: K; workgroups: [number] } {
  const turns = (width + 1) * passes;
  const lanes = lanesOf(gpu, turns);
  const groups = Math.ceil(rows / lanes.ROWS);
  const most = gpu.facts.class === "gpu"
    ? 16384
    : Math.max(64, Math.ceil(groups * turns / lanes.LANES / turnsAtMost));
  return { kernel: variant(kernel, lanes), workgroups: [Math.min(groups, most)] };
}

/** The kernel with as many lanes as suit the adapter for one row that takes so many turns. */
export function withLanes<K extends Kernel>(gpu: Recorder, kernel: K, turns = 1): K {
  const { LANES } = lanesOf(gpu, Math.max(turns, turnsAtMost + 1));
  return variant(kernel, { LANES });
}

const bindingStarts = 256; // bytes: WebGPU's minStorageBufferOffsetAlignment is at most that

/**
 * How many rows of a tensor to bind at a time: all of them, or as many as one binding
 * spans, so that the next one begins where a binding may start.
 *
 * @throws {GpuError} if one binding does not span the rows from one such place to the next.
 */
export function rowsPerBinding({ facts }: Recorder, { rows, width, label }: Tensor): number {
  const { maxBindingBytes } = facts;
  const rowBytes = 4 * width;
  if (rows * rowBytes <= maxBindingBytes) return rows;
  let group = bindingStarts / 4;
  while (group % 2 === 0 && group / 2 * rowBytes % bindingStarts === 0) group /= 2;
  const groups = Math.floor(maxBindingBytes / (group * rowBytes));
  if (groups > 0) return groups * group;
  throw new GpuError(
    "limit",
    `Cannot bind "${label}" in pieces as one binding must span at least ${group} of its rows ` +
      `(${group * rowBytes} bytes): the adapter's maxStorageBufferBindingSize, or the ` +
      `maxBindingBytes asked for, is ${maxBindingBytes}`,
  );
}

/** Throws unless `tensor` has the shape. */
export function expectShape(
  operation: string,
  tensor: Tensor,
  { argument, shape }: { argument: string; shape: readonly number[] },
): void {
  const { shape: actual } = tensor;
  if (actual.length === shape.length && shape.every((length, i) => length === actual[i])) return;
  throw new ShapeError(
    `Cannot run ${operation}() as ${argument} must be [${shape.join(", ")}]: ` +
      `"${tensor.label}" is [${actual.join(", ")}]`,
  );
}
