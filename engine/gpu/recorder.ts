/**
 * What ops need of a GPU: memory, and commands recorded in order. `Gpu` runs the
 * commands; a {@linkcode Rehearsal} counts the memory and passes the commands by.
 *
 * @module
 */

import type { AdapterFacts } from "./adapter.ts";
import type { CommandCounts } from "./command_counter.ts";
import type { Kernel } from "./kernel.ts";
import type { Bound } from "./pipelines.ts";
import type { AcquireOptions, Block, MemoryUse, Texture } from "./pool.ts";

/** One launch of a kernel. */
export interface Dispatch<Binding extends string, Uniform extends string> {
  /** What each binding sees. */
  readonly bind: Readonly<Record<Binding, Bound>>;
  /** The members of the kernel's `Params`. */
  readonly uniforms: Readonly<Record<Uniform, number>>;
  /** Workgroups along x, y and z. */
  readonly workgroups: readonly [number, number?, number?];
}

/** Where ops take memory and record commands. */
export interface Recorder {
  /** The adapter in use. */
  readonly facts: AdapterFacts;
  /** A buffer of at least `bytes`, its content undefined. */
  acquire(bytes: number, label: string, options?: AcquireOptions): Block;
  /** Gives a buffer back; commands recorded so far may still use it. */
  release(block: Block): void;
  /** A storage texture of rgba32float, its content undefined. */
  acquireTexture(width: number, height: number): Texture;
  /** Gives a texture back; commands recorded so far may still use it. */
  releaseTexture(texture: Texture): void;
  /** Bytes of memory held by tensors. */
  memory(): MemoryUse;
  /** Counts of what was recorded so far. */
  counts(): CommandCounts;
  /** The layer of the model that launches are counted for, if any. */
  readonly layer: number | null;
  /** Counts what `work` launches for a layer, or for none; gives what `work` gives. */
  inLayer<T>(layer: number | null, work: () => T): T;
  /** Writes `data` into a block, in order with the commands recorded so far. */
  upload(block: Block, data: ArrayBufferView<ArrayBuffer>, byteOffset?: number): void;
  /** Records one launch of a kernel. */
  dispatch<Binding extends string, Uniform extends string>(
    kernel: Kernel<Binding, Uniform>,
    launch: Dispatch<Binding, Uniform>,
  ): void;
  /** Hands what was recorded to the driver. */
  flush(): void;
  /** The first `bytes` of each block, once everything recorded has run. */
  read(wanted: readonly { block: Block; bytes: number }[]): Promise<ArrayBuffer[]>;
}
