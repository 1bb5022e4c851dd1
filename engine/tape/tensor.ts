/**
 * Tensors: row-major float32 arrays on the GPU, and the arenas that own them.
 *
 * @module
 */

import { ShapeError } from "../errors.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Block, Texture } from "../gpu/pool.ts";
import type { DimName } from "./locations.ts";

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, length) => size * length, 1);
}

/** A float32 array on the GPU. */
export class Tensor implements Disposable {
  /** Length of each dimension. */
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly size: number;
  /** What the tensor is, for errors and people. */
  readonly label: string;
  /** Names of the dimensions, where they have names. */
  readonly dims: readonly DimName[] | undefined;
  /** The memory. */
  readonly block: Block;
  readonly #arena: Arena;

  /** Tensors come from an {@linkcode Arena}. */
  constructor(arena: Arena, options: {
    shape: readonly number[];
    block: Block;
    label: string;
    dims?: readonly DimName[] | undefined;
  }) {
    this.#arena = arena;
    this.shape = options.shape;
    this.size = sizeOf(options.shape);
    this.block = options.block;
    this.label = options.label;
    this.dims = options.dims;
  }

  /** Length of the last dimension; 1 for a single number. */
  get width(): number {
    return this.shape.at(-1) ?? 1;
  }

  /** Number of rows: elements over {@linkcode width}. */
  get rows(): number {
    return this.width === 0 ? 0 : this.size / this.width;
  }

  /** The values, row-major. Waits for the GPU. */
  async read(): Promise<Float32Array<ArrayBuffer>> {
    const [values] = await readTensors([this]);
    return values!;
  }

  /** Another tensor over the same memory. It lives no longer than this one. */
  view(options: {
    shape?: readonly number[];
    label?: string;
    dims?: readonly DimName[] | undefined;
  } = {}): Tensor {
    const { shape = this.shape, label = this.label, dims = this.dims } = options;
    if (sizeOf(shape) !== this.size) {
      throw new ShapeError(
        `Cannot view "${this.label}" as [${shape}] as the number of elements must stay the same: ` +
          `current shape is [${this.shape}]`,
      );
    }
    return this.#arena.adopt(
      new Tensor(this.#arena, { shape, block: this.block, label, dims }),
    );
  }

  /** The GPU the tensor is on. */
  get gpu(): Recorder {
    return this.#arena.gpu;
  }

  /** The arena that owns the memory. */
  get arena(): Arena {
    return this.#arena;
  }

  /** Gives the memory back. */
  [Symbol.dispose](): void {
    this.#arena.free(this);
  }
}

/** Reads several tensors in one transfer. */
export async function readTensors(
  tensors: readonly Tensor[],
): Promise<Float32Array<ArrayBuffer>[]> {
  if (tensors.length === 0) return [];
  const content = await tensors[0]!.gpu.read(
    tensors.map(({ block, size }) => ({ block, bytes: 4 * size })),
  );
  return content.map((bytes) => new Float32Array(bytes));
}

/**
 * Owns tensors: what is still there when the arena is disposed of goes back to
 * the pool. Memory is counted by block, so views keep a block alive.
 */
export class Arena implements Disposable {
  /** Where the memory is. */
  readonly gpu: Recorder;
  readonly #uses = new Map<Block, number>();
  readonly #retained = new Set<Block>();
  readonly #tensors = new Set<Tensor>();
  readonly #textures = new Set<Texture>();
  readonly #made = new Map<string, Tensor | Texture>();
  readonly #rehearsed = new WeakMap<Recorder, Arena>();
  #recent: Tensor[] = [];

  /** Whether its tensors, once written, never change: weights of a loaded model. */
  readonly constant: boolean;

  /** An arena on a GPU. */
  constructor(gpu: Recorder, { constant = false }: { constant?: boolean } = {}) {
    this.gpu = gpu;
    this.constant = constant;
  }

  /** A texture that goes with the arena, unless it is freed before. */
  texture(width: number, height: number): Texture {
    const texture = this.gpu.acquireTexture(width, height);
    this.#textures.add(texture);
    return texture;
  }

  /** Gives a texture back. */
  freeTexture(texture: Texture): void {
    if (this.#textures.delete(texture)) this.gpu.releaseTexture(texture);
  }

  /**
   * What is computed from the arena's tensors alone: made at the first call, in the arena
   * that `make` is told, and kept as long as they are. In a rehearsal, what was not made
   * before is made in it, and goes with it.
   */
  once<T extends Tensor | Texture>(gpu: Recorder, key: string, make: (arena: Arena) => T): T {
    let found = this.#made.get(key) as T | undefined;
    if (found !== undefined) return found;
    if (gpu !== this.gpu) {
      let stand = this.#rehearsed.get(gpu);
      if (stand === undefined) {
        this.#rehearsed.set(gpu, stand = new Arena(gpu, { constant: this.constant }));
      }
      return stand.once(gpu, key, make);
    }
    found = make(this);
    this.#made.set(key, found);
    return found;
  }

  /** A new tensor, its content undefined until a kernel has written it. */
  tensor(
    shape: readonly number[],
    label: string,
    dims?: readonly DimName[] | undefined,
  ): Tensor {
    const block = this.gpu.acquire(4 * sizeOf(shape), label, { exact: this.constant });
    return this.adopt(new Tensor(this, { shape, block, label, dims }));
  }

  /** A new tensor with values from the host. */
  upload(
    data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>,
    shape: readonly number[],
    label: string,
  ): Tensor {
    const tensor = this.tensor(shape, label);
    if (data.length !== tensor.size) {
      throw new ShapeError(
        `Cannot upload "${label}" as [${shape}] needs ${tensor.size} values: got ${data.length}`,
      );
    }
    if (data.length > 0) this.gpu.upload(tensor.block, data);
    return tensor;
  }

  /** Takes a tensor over its block in. */
  adopt(tensor: Tensor): Tensor {
    this.#uses.set(tensor.block, (this.#uses.get(tensor.block) ?? 0) + 1);
    this.#tensors.add(tensor);
    this.#recent.push(tensor);
    return tensor;
  }

  /** Keeps a tensor's memory until the arena goes, whatever {@linkcode tidy} and `free` say. */
  retain(tensor: Tensor): void {
    this.#retained.add(tensor.block);
  }

  /** Gives a tensor's memory back, unless it is retained or another view needs it. */
  free(tensor: Tensor): void {
    if (this.#retained.has(tensor.block) || !this.#tensors.delete(tensor)) return;
    this.#drop(tensor.block);
  }

  /** Hands a tensor's memory over to another arena; a tensor of another arena stays there. */
  handOver(tensor: Tensor, to: Arena): Tensor {
    const { shape, block, label, dims } = tensor;
    if (!this.#uses.delete(block)) return tensor;
    this.#retained.delete(block);
    for (const other of this.#tensors) if (other.block === block) this.#tensors.delete(other);
    return to.adopt(new Tensor(to, { shape, block, label, dims }));
  }

  /**
   * Runs `work` and frees the tensors it made, except what it returns and what
   * was retained meanwhile.
   */
  tidy<T extends Tensor | undefined | readonly (Tensor | undefined)[]>(work: () => T): T {
    const outer = this.#recent;
    const made: Tensor[] = this.#recent = [];
    try {
      const result = work();
      const kept = new Set<Tensor | undefined>(
        result === undefined || result instanceof Tensor ? [result] : result,
      );
      for (const tensor of made) {
        if (kept.has(tensor)) outer.push(tensor);
        else this.free(tensor);
      }
      return result;
    } catch (error) {
      for (const tensor of made) this.free(tensor);
      throw error;
    } finally {
      this.#recent = outer;
    }
  }

  /** Gives everything back. */
  [Symbol.dispose](): void {
    for (const block of this.#uses.keys()) this.gpu.release(block);
    for (const texture of this.#textures) this.gpu.releaseTexture(texture);
    this.#textures.clear();
    this.#made.clear();
    this.#uses.clear();
    this.#tensors.clear();
    this.#retained.clear();
    this.#recent = [];
  }

  #drop(block: Block): void {
    const uses = this.#uses.get(block)! - 1;
    if (uses > 0) {
      this.#uses.set(block, uses);
    } else {
      this.#uses.delete(block);
      this.gpu.release(block);
    }
  }
}
