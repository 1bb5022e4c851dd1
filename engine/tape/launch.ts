/**
 * How many workgroups, and how many lanes a row, suit the adapter.
 *
 * @module
 */

import type { Gpu } from "../gpu/gpu.ts";
import { type Kernel, variant } from "../gpu/kernel.ts";
import type { Tensor } from "./tensor.ts";
import { ShapeError } from "../errors.ts";

const threads = 64; // @workgroup_size of the kernels with one output a thread

/**
 * Workgroups for `outputs` outputs, one a thread and then the next in turn. A
 * workgroup costs a CPU rasteriser about 0.8 µs a thread: few of them there.
 */
export function outputGrid(gpu: Gpu, outputs: number): [number] {
  const most = gpu.facts.class === "cpu" ? 16 : 4096;
  return [Math.min(Math.ceil(outputs / threads), most)];
}

/** Workgroups for `rows` rows, one a workgroup and then the next in turn. */
export function rowGrid(gpu: Gpu, rows: number): [number] {
  return [Math.min(rows, gpu.facts.class === "cpu" ? 64 : 16384)];
}

/** The kernel with as many lanes to a row as suit the adapter: one SIMD vector on a CPU. */
export function withLanes<K extends Kernel>(gpu: Gpu, kernel: K): K {
  return variant(kernel, { LANES: gpu.facts.class === "cpu" ? 8 : 128 });
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
