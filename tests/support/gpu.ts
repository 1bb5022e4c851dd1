/**
 * What tests need of a GPU: one for the process, tests that are skipped where
 * there is none, and the way to and from reference tensors.
 *
 * @module
 */

import { GpuError } from "../../engine/errors.ts";
import { type Gpu, openGpu } from "../../engine/gpu/gpu.ts";
import type { Context } from "../../engine/tape/op.ts";
import { Tape } from "../../engine/tape/tape.ts";
import { Arena, readTensors, type Tensor } from "../../engine/tape/tensor.ts";
import { type Ref, ref } from "../reference/mod.ts";

/** What a test that needs a GPU gets. */
export interface GpuTest {
  readonly gpu: Gpu;
  /** Disposed of when the test ends. */
  readonly arena: Arena;
  /** The two above, without a tape. */
  readonly context: Context;
  /** For steps. */
  readonly t: Deno.TestContext;
}

let opened: Promise<Gpu | undefined> | undefined;

/** The process's GPU, opened at the first call; `undefined` if there is no adapter. */
export function testGpu(): Promise<Gpu | undefined> {
  return opened ??= openAndClose().catch((error: unknown) => {
    if (!(error instanceof GpuError) || error.reason !== "no-adapter") throw error;
    console.log("skipped: no WebGPU adapter (install mesa-vulkan-drivers for llvmpipe)");
    return undefined;
  });
}

/** Opens a GPU that is closed before the process ends: Mesa may abort in the middle of its work. */
async function openAndClose(): Promise<Gpu> {
  const gpu = await openGpu();
  globalThis.addEventListener("unload", () => gpu[Symbol.dispose]());
  return gpu;
}

/** A test that needs a GPU: where there is none it does nothing, and one line says so. */
export function gpuTest(name: string, work: (test: GpuTest) => void | Promise<void>): void {
  Deno.test(name, async (t) => {
    const gpu = await testGpu();
    if (gpu === undefined) return;
    using arena = new Arena(gpu);
    await work({ gpu, arena, context: { gpu, arena }, t });
  });
}

/** Brings a reference tensor to the GPU. */
export function upload(arena: Arena, x: Ref, label = "test input"): Tensor {
  return arena.upload(Float32Array.from(x.data), x.shape, label);
}

/** Brings tensors back as reference tensors, in one transfer. */
export async function readRefs(tensors: readonly Tensor[]): Promise<Ref[]> {
  const values = await readTensors(tensors);
  return tensors.map(({ shape }, i) => ref(shape, values[i]!));
}

/** The bits of tensors, for comparisons that allow no error at all. */
export async function readBits(tensors: readonly Tensor[]): Promise<Uint32Array[]> {
  return (await readTensors(tensors)).map(({ buffer }) => new Uint32Array(buffer));
}

/** The context with a new tape that watches these tensors. */
export function recording(
  { gpu, arena }: Context,
  watched: readonly Tensor[] = [],
): Context & { tape: Tape } {
  const tape = new Tape();
  for (const tensor of watched) tape.watch(tensor);
  return { gpu, arena, tape };
}
