/**
 * A pool of GPU buffers by size class.
 *
 * A buffer that is released goes to the next taker of its class without waiting
 * for the GPU: commands run in the order in which they were recorded, so
 * whatever still reads the old content comes first.
 *
 * @module
 */

import { GpuError } from "../errors.ts";
import type { AdapterFacts } from "./adapter.ts";
import { MemoryMeter } from "./memory_meter.ts";

/** A piece of GPU memory, as large as its size class. */
export interface Block {
  /** Tells it from every other. */
  readonly id: number;
  /** WebGPU's own object. */
  readonly buffer: GPUBuffer;
  /** Size of the buffer: the class of the size asked for, or hardly more than that. */
  readonly bytes: number;
  /** How often it has been taken: tells what it holds now from what it held before. */
  generation: number;
  /** What it holds now. */
  label: string;
  /** Bytes asked for. */
  requested: number;
  /** The submission, by its number, whose commands use the block last. */
  lastUse: number;
}

/** A storage texture of rgba32float. */
export interface Texture {
  /** Tells it from every other. */
  readonly id: number;
  /** WebGPU's own object. */
  readonly texture: GPUTexture;
  /** The view that is bound. */
  readonly view: GPUTextureView;
  /** Texels along x. */
  readonly width: number;
  /** Texels along y. */
  readonly height: number;
  /** Sixteen for each texel. */
  readonly bytes: number;
}

/** Bytes of GPU memory held by tensors. */
export interface MemoryUse {
  /** In use now. */
  readonly live: number;
  /** Released and kept for the next taker. */
  readonly pooled: number;
  /** The most that was in use at any time. */
  readonly peak: number;
}

/** How a buffer is taken from the pool. */
export interface AcquireOptions {
  /** Whether it is hardly larger than asked for: right for what stays, as nobody takes it next. */
  readonly exact?: boolean;
}

const smallestClass = 256;
const pooledAtMost = 2 ** 30;

/** Size class of `bytes`: the next quarter of a power of two, so at most a quarter is lost. */
export function sizeClass(bytes: number): number {
  if (bytes <= smallestClass) return smallestClass;
  const step = 2 ** Math.max(Math.ceil(Math.log2(bytes)) - 3, 6);
  return Math.ceil(bytes / step) * step;
}

/**
 * Size of the buffer for so many bytes.
 *
 * @throws {GpuError} if the adapter has no buffer of that size.
 */
export function blockBytes(
  { bytes, label }: { bytes: number; label: string },
  { maxBufferBytes }: AdapterFacts,
  { exact = false }: AcquireOptions = {},
): number {
  const size = exact ? Math.ceil(bytes / smallestClass) * smallestClass : sizeClass(bytes);
  if (size <= maxBufferBytes) return size;
  throw new GpuError(
    "limit",
    `Cannot allocate "${label}" (${bytes} bytes) as a buffer must be smaller: the adapter's ` +
      `maxBufferSize is ${maxBufferBytes}`,
  );
}

/** Size of a texture of rgba32float. */
export function textureBytes(width: number, height: number): number {
  return 16 * width * height;
}

/** Hands out buffers and takes them back. */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #facts: AdapterFacts;
  readonly #maxBytes: number;
  readonly #onDestroy: (destroyed: Block | Texture) => void;
  readonly #free = new Map<number, Block[]>();
  readonly #freeTextures = new Map<string, Texture[]>();
  #nextId = 1;
  readonly #memory = new MemoryMeter();
  #pooled = 0;

  constructor(device: GPUDevice, options: {
    facts: AdapterFacts;
    maxBytes: number;
    onDestroy: (destroyed: Block | Texture) => void;
  }) {
    this.#device = device;
    this.#facts = options.facts;
    this.#maxBytes = options.maxBytes;
    this.#onDestroy = options.onDestroy;
  }

  /** A buffer of at least `bytes`; its content is whatever was there. */
  acquire(bytes: number, label: string, options?: AcquireOptions): Block {
    const size = blockBytes({ bytes, label }, this.#facts, options);
    const pooled = this.#take({ label, bytes, size }, this.#free.get(size));
    const block = pooled ?? this.#create(size);
    block.generation++;
    block.label = label;
    block.requested = bytes;
    return block;
  }

  /** Takes a buffer back. */
  release(block: Block): void {
    this.#memory.give(block.bytes);
    if (this.#pooled + block.bytes > pooledAtMost) return this.#destroy(block);
    this.#pooled += block.bytes;
    const free = this.#free.get(block.bytes);
    if (free === undefined) this.#free.set(block.bytes, [block]);
    else free.push(block);
  }

  /** A texture of that many texels, its content whatever was there. */
  acquireTexture(width: number, height: number): Texture {
    const key = `${width} x ${height}`;
    const size = textureBytes(width, height);
    const wanted = { label: `texture of ${key}`, bytes: size, size };
    const pooled = this.#take(wanted, this.#freeTextures.get(key));
    return pooled ?? this.#createTexture(width, height);
  }

  /** Takes a texture back. */
  releaseTexture(texture: Texture): void {
    this.#memory.give(texture.bytes);
    if (this.#pooled + texture.bytes > pooledAtMost) return this.#destroyTexture(texture);
    this.#pooled += texture.bytes;
    const key = `${texture.width} x ${texture.height}`;
    const free = this.#freeTextures.get(key);
    if (free === undefined) this.#freeTextures.set(key, [texture]);
    else free.push(texture);
  }

  /** Destroys every buffer and texture that nobody uses. */
  trim(): void {
    for (const blocks of this.#free.values()) blocks.forEach((block) => this.#destroy(block));
    for (const textures of this.#freeTextures.values()) {
      textures.forEach((texture) => this.#destroyTexture(texture));
    }
    this.#free.clear();
    this.#freeTextures.clear();
    this.#pooled = 0;
  }

  /** Bytes in use, kept and at most in use. */
  memory(): MemoryUse {
    return { live: this.#memory.live, pooled: this.#pooled, peak: this.#memory.peak };
  }

  /** Runs `work`; gives what it gives and the most bytes it added to those in use before. */
  peakOf<T>(work: () => T): { result: T; peakBytes: number } {
    return this.#memory.peakOf(work);
  }

  /** Forgets the peak so far. */
  resetPeak(): void {
    this.#memory.resetPeak();
  }

  /**
   * Counts what is taken, and takes it from those released if there is one; if not, the
   * others go where the limit leaves no room for them too.
   */
  #take<T extends Block | Texture>(
    { label, bytes, size }: { label: string; bytes: number; size: number },
    released: T[] | undefined,
  ): T | undefined {
    const { live } = this.#memory;
    if (live + size > this.#maxBytes) {
      throw new GpuError(
        "out-of-memory",
        `Cannot allocate "${label}" (${bytes} bytes) as ${live} of ${this.#maxBytes} bytes ` +
          "are in use: ask for fewer activations or layers, or dispose of earlier runs",
      );
    }
    const pooled = released?.pop();
    if (pooled !== undefined) this.#pooled -= size;
    else if (live + this.#pooled + size > this.#maxBytes) this.trim();
    this.#memory.take(size);
    return pooled;
  }

  #create(size: number): Block {
    const buffer = this.#device.createBuffer({
      size,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    return {
      id: this.#nextId++,
      buffer,
      bytes: size,
      generation: 0,
      label: "",
      requested: size,
      lastUse: -1,
    };
  }

  #createTexture(width: number, height: number): Texture {
    const texture = this.#device.createTexture({
      size: [width, height],
      format: "rgba32float",
      usage: GPUTextureUsage.STORAGE_BINDING,
    });
    const bytes = textureBytes(width, height);
    const view = texture.createView();
    return { id: this.#nextId++, texture, view, width, height, bytes };
  }

  #destroyTexture(texture: Texture): void {
    this.#onDestroy(texture);
    texture.texture.destroy();
  }

  #destroy(block: Block): void {
    this.#onDestroy(block);
    block.buffer.destroy();
  }
}
