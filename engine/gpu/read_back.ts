/**
 * Brings the content of buffers back to the host. What is asked for until the next
 * transfer comes with it.
 *
 * An awaited `mapAsync` costs about 11 ms in Deno, however little is read: it polls
 * between sleeps. There `mapAsync` itself blocks until the GPU is done, though, and
 * the range can be had at once, in about 0.1 ms; undocumented, so proven by a probe
 * when the GPU is opened. Elsewhere the documented way is taken.
 *
 * @module
 */

import type { Block } from "./pool.ts";

/** Part of a block to be read: its first bytes. */
export interface Wanted {
  readonly block: Block;
  readonly bytes: number;
}

/** A buffer that can be mapped, filled from its start. */
interface Staging {
  readonly buffer: GPUBuffer;
  readonly parts: Part[];
  used: number;
}

/** What was asked for, in a staging buffer; with its content after the transfer. */
interface Part {
  readonly offset: number;
  readonly bytes: number;
  content?: ArrayBuffer;
}

const smallestStaging = 1 << 16;

/** Reads buffers of one device. */
export class Reader {
  readonly #device: GPUDevice;
  /** What is mapped only to wait. */
  readonly #signal: GPUBuffer;
  /** What the next transfer maps; the last one has room. */
  #filling: Staging[] = [];
  #kept: GPUBuffer | undefined;
  #blocks = false;

  constructor(device: GPUDevice) {
    this.#device = device;
    this.#signal = this.#createStaging(8);
  }

  /** Whether reads need not be awaited. */
  get blocks(): boolean {
    return this.#blocks;
  }

  /** Finds out whether this is a host where `mapAsync` blocks. */
  probe(): void {
    if (!globalThis.navigator?.userAgent?.startsWith("Deno/")) return;
    const source = this.#device.createBuffer({
      size: 8,
      usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    const sample = new Uint32Array([0x600df00d, 0x5eed]);
    this.#device.queue.writeBuffer(source, 0, sample);
    const encoder = this.#device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, 0, this.#signal, 0, 8);
    this.#device.queue.submit([encoder.finish()]);
    try {
      const read = new Uint32Array(mapNow(this.#signal, 8).slice(0));
      this.#signal.unmap();
      this.#blocks = read[0] === sample[0] && read[1] === sample[1];
    } catch {
      this.#blocks = false;
    } finally {
      source.destroy();
    }
  }

  /** Waits until everything submitted has run. Only where {@linkcode Reader.blocks}. */
  wait(): void {
    mapNow(this.#signal, 8);
    this.#signal.unmap();
  }

  /** Records copies of what is wanted; it has content after the next {@linkcode transfer}. */
  record(encoder: GPUCommandEncoder, wanted: readonly Wanted[]): readonly Part[] {
    return wanted.map(({ block, bytes }) => {
      const staging = this.#roomFor(aligned(bytes));
      const part: Part = { offset: staging.used, bytes };
      const copied = Math.ceil(bytes / 4) * 4;
      if (copied > 0) {
        encoder.copyBufferToBuffer(block.buffer, 0, staging.buffer, part.offset, copied);
      }
      staging.parts.push(part);
      staging.used += aligned(bytes);
      return part;
    });
  }

  /** Gives all that was recorded, and then submitted, its content. */
  async transfer(): Promise<void> {
    const filled = this.#filling;
    this.#filling = [];
    const size = ({ used }: Staging) => Math.max(used, 8);
    if (!this.#blocks) {
      await Promise.all(filled.map((each) => each.buffer.mapAsync(GPUMapMode.READ, 0, size(each))));
    }
    for (const staging of filled) {
      const { buffer, parts } = staging;
      // What is mapped is copied: no more than was filled.
      const mapped = this.#blocks
        ? mapNow(buffer, size(staging))
        : buffer.getMappedRange(0, size(staging));
      for (const part of parts) part.content = mapped.slice(part.offset, part.offset + part.bytes);
      buffer.unmap();
      this.#keep(buffer);
    }
  }

  #roomFor(bytes: number): Staging {
    const last = this.#filling.at(-1);
    if (last !== undefined && last.used + bytes <= last.buffer.size) return last;
    let buffer = this.#kept;
    if (buffer !== undefined && buffer.size >= bytes) this.#kept = undefined;
    else buffer = this.#createStaging(Math.max(bytes, 2 * (last?.buffer.size ?? 0)));
    const staging = { buffer, parts: [], used: 0 };
    this.#filling.push(staging);
    return staging;
  }

  /** Mapped once when it is made: without that Deno aborts in {@linkcode mapNow}. */
  #createStaging(bytes: number): GPUBuffer {
    const buffer = this.#device.createBuffer({
      label: "read-back",
      size: Math.max(2 ** Math.ceil(Math.log2(bytes)), smallestStaging),
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      mappedAtCreation: true,
    });
    buffer.unmap();
    return buffer;
  }

  /** Keeps the largest. */
  #keep(buffer: GPUBuffer): void {
    const [less, more] = [this.#kept, buffer].sort((a, b) => (a?.size ?? 0) - (b?.size ?? 0));
    less?.destroy();
    this.#kept = more;
  }
}

function mapNow(staging: GPUBuffer, bytes: number): ArrayBuffer {
  staging.mapAsync(GPUMapMode.READ, 0, bytes).catch(() => {});
  return staging.getMappedRange(0, bytes);
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
