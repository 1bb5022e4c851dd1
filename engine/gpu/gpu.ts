/**
 * The GPU: memory, and commands recorded in order.
 *
 * Nothing here waits but {@linkcode Gpu.read}. Dispatches and copies are
 * recorded into one encoder and submitted together, at the latest by the next
 * read. Errors the driver reports later are thrown by the next call.
 *
 * @module
 */

import { GpuError } from "../errors.ts";
import { type AdapterFacts, openDevice, type OpenGpuOptions } from "./adapter.ts";
import { CommandCounter, type CommandCounts } from "./command_counter.ts";
import { DeviceFailure } from "./device_failure.ts";
import type { Kernel } from "./kernel.ts";
import { type Bound, memoryOf, PipelineCache } from "./pipelines.ts";
import {
  type AcquireOptions,
  type Block,
  BufferPool,
  type MemoryUse,
  type Texture,
} from "./pool.ts";
import { Reader } from "./read_back.ts";
import type { Dispatch, Recorder } from "./recorder.ts";
import { Rehearsal } from "./rehearsal.ts";
import { type KernelTime, Timer } from "./timing.ts";
import { Uniforms } from "./uniforms.ts";

/** Bytes of uploads that may wait for a submission. */
const uploadedAtMost = 1 << 22;
/** Enough work to keep a GPU busy while the next commands are recorded. */
const dispatchesPerSubmit = 256;

/** Opens the GPU.
 *
 * @param options Which adapter, and limits to stay under.
 * @returns The GPU; dispose of it to give its memory back.
 * @throws {GpuError} if there is no adapter, naming what to install.
 */
export async function openGpu(options: OpenGpuOptions = {}): Promise<Gpu> {
  const { device, facts } = await openDevice(options);
  return new Gpu(device, facts, options);
}

/** A device, its memory and the commands recorded for it; from {@linkcode openGpu}. */
export class Gpu implements Recorder, Disposable {
  /** The adapter in use. */
  readonly facts: AdapterFacts;
  /** The most bytes that tensors may take together; infinite unless it was opened with a limit. */
  readonly maxMemoryBytes: number;
  readonly #device: GPUDevice;
  readonly #pool: BufferPool;
  readonly #pipelines: PipelineCache;
  readonly #uniforms: Uniforms;
  readonly #failure: DeviceFailure;
  readonly #reader: Reader;
  readonly #timer: Timer | undefined;
  readonly #commands = new CommandCounter();
  #transfer: Promise<void> | undefined;
  #uploaded = 0;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #recorded = 0;

  /** Use {@linkcode openGpu}. */
  constructor(device: GPUDevice, facts: AdapterFacts, options: OpenGpuOptions) {
    this.#device = device;
    this.facts = facts;
    this.maxMemoryBytes = options.maxMemoryBytes ?? Infinity;
    this.#uniforms = new Uniforms(device, { alignment: facts.uniformAlignment });
    this.#pipelines = new PipelineCache(device, {
      uniforms: this.#uniforms.buffer,
      maxBindingBytes: facts.maxBindingBytes,
      watch: (error, about) => this.#failure.watch(error, about),
    });
    this.#pool = new BufferPool(device, {
      facts,
      maxBytes: this.maxMemoryBytes,
      onDestroy: (destroyed) => {
        const { lastUse = this.#commands.submits } = destroyed as Partial<Block>;
        if (lastUse === this.#commands.submits) this.flush();
        this.#pipelines.forget(destroyed);
      },
    });
    this.#timer = options.timings ? new Timer() : undefined;
    this.#reader = new Reader(device);
    this.#reader.probe();
    this.#failure = new DeviceFailure(device);
  }

  /** A buffer of at least `bytes`, its content undefined. */
  acquire(bytes: number, label: string, options?: AcquireOptions): Block {
    this.#failure.check();
    return this.#pool.acquire(bytes, label, options);
  }

  /** Gives a buffer back; commands recorded so far may still use it. */
  release(block: Block): void {
    if (!this.#failure.disposed) this.#pool.release(block);
  }

  /** A storage texture of rgba32float, its content undefined. */
  acquireTexture(width: number, height: number): Texture {
    this.#failure.check();
    return this.#pool.acquireTexture(width, height);
  }

  /** Gives a texture back; commands recorded so far may still use it. */
  releaseTexture(texture: Texture): void {
    if (!this.#failure.disposed) this.#pool.releaseTexture(texture);
  }

  /** Bytes of GPU memory held by tensors. */
  memory(): MemoryUse {
    return this.#pool.memory();
  }

  /** Runs `work`; gives what it gives and the most bytes it added to those in use before. */
  peakOf<T>(work: () => T): { result: T; peakBytes: number } {
    return this.#pool.peakOf(work);
  }

  /** Counts the memory of what is recorded in it, on this adapter, and does nothing else. */
  rehearsal(): Rehearsal {
    return new Rehearsal(this.facts);
  }

  /** Destroys pooled buffers and forgets the peak. */
  trim(): void {
    this.flush();
    this.#pool.trim();
    this.#pool.resetPeak();
  }

  /** Counts of what was recorded since the GPU was opened. */
  counts(): CommandCounts {
    return this.#commands.counts();
  }

  /** The layer of the model that launches are counted for, if any. */
  get layer(): number | null {
    return this.#commands.layer;
  }

  /** Counts what `work` launches for a layer, or for none; gives what `work` gives. */
  inLayer<T>(layer: number | null, work: () => T): T {
    return this.#commands.inLayer(layer, work);
  }

  /** Writes `data` into a block, in order with the commands recorded so far. */
  upload(block: Block, data: ArrayBufferView<ArrayBuffer>, byteOffset = 0): void {
    this.#failure.check();
    if (block.lastUse === this.#commands.submits) this.flush();
    this.#device.queue.writeBuffer(
      block.buffer,
      byteOffset,
      data.buffer,
      data.byteOffset,
      data.byteLength,
    );
    // The driver keeps a copy of what was written until it is submitted and done.
    this.#uploaded += data.byteLength;
    if (this.#uploaded < uploadedAtMost) return;
    this.#uploaded = 0;
    this.#device.queue.submit([]);
    if (this.#reader.blocks) this.#reader.wait();
  }

  /** Records one launch of a kernel. */
  dispatch<Binding extends string, Uniform extends string>(
    kernel: Kernel<Binding, Uniform>,
    { bind, uniforms, workgroups: [x, y = 1, z = 1] }: Dispatch<Binding, Uniform>,
  ): void {
    this.#failure.check();
    if (x === 0 || y === 0 || z === 0) return;
    if (Math.max(x, y, z) > this.facts.maxWorkgroups) {
      throw new GpuError(
        "limit",
        `Cannot dispatch kernel "${kernel.label}" as each dimension must be at most ` +
          `${this.facts.maxWorkgroups} workgroups: current size is ${x} x ${y} x ${z}`,
      );
    }
    const pipeline = this.#pipelines.pipelineOf(kernel as Kernel);
    if (!this.#uniforms.hasRoomFor(pipeline) || this.#recorded >= dispatchesPerSubmit) {
      this.flush();
    }
    const bound: Bound[] = [];
    for (const name of pipeline.bindingNames) {
      const each: Bound = bind[name as Binding];
      const memory = memoryOf(each);
      if ("lastUse" in memory) memory.lastUse = this.#commands.submits;
      bound.push(each);
    }
    const group = this.#pipelines.bindGroupOf(pipeline, bound);
    const offset = this.#uniforms.add(pipeline, uniforms);
    this.#encoder ??= this.#device.createCommandEncoder();
    this.#pass ??= this.#encoder.beginComputePass();
    this.#pass.setPipeline(pipeline.pipeline);
    this.#pass.setBindGroup(0, group, [offset]);
    this.#pass.dispatchWorkgroups(x, y, z);
    this.#recorded++;
    this.#commands.dispatched();
    if (this.#timer !== undefined) this.#timeLast(pipeline.kernel.label);
  }

  /** Submits what was recorded. */
  flush(): void {
    if (this.#encoder === undefined) return;
    this.#pass?.end();
    this.#uniforms.write();
    this.#device.queue.submit([this.#encoder.finish()]);
    this.#encoder = undefined;
    this.#pass = undefined;
    this.#recorded = 0;
    this.#commands.submitted();
  }

  /**
   * Runs everything recorded and reads the first `bytes` of each block, as they are
   * now. All that is read in one turn of the event loop comes in one transfer.
   */
  async read(wanted: readonly { block: Block; bytes: number }[]): Promise<ArrayBuffer[]> {
    this.#failure.check();
    this.#pass?.end();
    this.#pass = undefined;
    this.#encoder ??= this.#device.createCommandEncoder();
    for (const { block } of wanted) block.lastUse = this.#commands.submits;
    const parts = this.#reader.record(this.#encoder, wanted);
    await (this.#transfer ??= this.#transferSoon());
    return parts.map(({ content }) => content!);
  }

  /** Waits until everything recorded has run. */
  async finish(): Promise<void> {
    this.#failure.check();
    this.flush();
    if (this.#reader.blocks) this.#reader.wait();
    else await this.#device.queue.onSubmittedWorkDone();
    await this.#failure.checkAll();
  }

  /**
   * Time spent in each kernel since the last call, the largest first; nothing unless
   * the GPU was opened with `timings`. Only where reads block, as in Deno.
   */
  timings(): KernelTime[] {
    return this.#timer?.take() ?? [];
  }

  /** Destroys the device and every buffer. */
  [Symbol.dispose](): void {
    if (this.#failure.disposed) return;
    this.#failure.dispose();
    // Mesa may corrupt its heap when a device goes in the middle of its work.
    if (this.#reader.blocks && this.#failure.isAbsent) this.#reader.wait();
    this.#device.destroy();
  }

  /** Transfers what is read in this turn of the event loop, once it has ended. */
  async #transferSoon(): Promise<void> {
    await Promise.resolve();
    this.#transfer = undefined;
    this.#failure.check();
    this.flush();
    this.#commands.read();
    await this.#reader.transfer();
    await this.#failure.checkAll();
  }

  /** Waits for what was recorded last, and counts how long that took. */
  #timeLast(kernel: string): void {
    const started = performance.now();
    this.flush();
    this.#reader.wait();
    this.#timer!.add(kernel, performance.now() - started);
  }
}
