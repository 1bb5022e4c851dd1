/**
 * A rehearsal of commands: whatever records runs as it would on the GPU, takes the
 * same memory by count, and does nothing. So what a run will take is known before
 * anything is allocated, from the code that runs it and no copy of that.
 *
 * @module
 */

import type { AdapterFacts } from "./adapter.ts";
import { CommandCounter, type CommandCounts } from "./command_counter.ts";
import { MemoryMeter } from "./memory_meter.ts";
import {
  type AcquireOptions,
  type Block,
  blockBytes,
  type MemoryUse,
  type Texture,
  textureBytes,
} from "./pool.ts";
import type { Recorder } from "./recorder.ts";

/** Counts memory on an adapter, and records nothing. */
export class Rehearsal implements Recorder {
  readonly facts: AdapterFacts;
  readonly #memory = new MemoryMeter();
  readonly #commands = new CommandCounter();
  #lastId = 0; // and down from there, as blocks of the GPU count up

  /** A rehearsal for the adapter of these facts. */
  constructor(facts: AdapterFacts) {
    this.facts = facts;
  }

  acquire(bytes: number, label: string, options?: AcquireOptions): Block {
    const size = blockBytes({ bytes, label }, this.facts, options);
    this.#memory.take(size);
    return new RehearsedBlock(--this.#lastId, { bytes: size, requested: bytes, label });
  }

  release(block: Block): void {
    this.#memory.give(block.bytes);
  }

  acquireTexture(width: number, height: number): Texture {
    const texture = new RehearsedTexture(--this.#lastId, width, height);
    this.#memory.take(texture.bytes);
    return texture;
  }

  releaseTexture(texture: Texture): void {
    this.#memory.give(texture.bytes);
  }

  memory(): MemoryUse {
    return { live: this.#memory.live, pooled: 0, peak: this.#memory.peak };
  }

  counts(): CommandCounts {
    return this.#commands.counts();
  }

  get layer(): number | null {
    return this.#commands.layer;
  }

  inLayer<T>(layer: number | null, work: () => T): T {
    return this.#commands.inLayer(layer, work);
  }

  upload(): void {}

  dispatch(): void {
    this.#commands.dispatched();
  }

  flush(): void {}

  read(): never {
    throw absent("values");
  }
}

class RehearsedBlock implements Block {
  readonly bytes: number;
  readonly requested: number;
  readonly label: string;
  readonly generation = 1;
  readonly lastUse = -1;

  constructor(
    readonly id: number,
    { bytes, requested, label }: Pick<Block, "bytes" | "requested" | "label">,
  ) {
    this.bytes = bytes;
    this.requested = requested;
    this.label = label;
  }

  get buffer(): never {
    throw absent("buffers");
  }
}

class RehearsedTexture implements Texture {
  readonly bytes: number;

  constructor(readonly id: number, readonly width: number, readonly height: number) {
    this.bytes = textureBytes(width, height);
  }

  get texture(): never {
    throw absent("textures");
  }

  get view(): never {
    throw absent("textures");
  }
}

function absent(what: string): Error {
  return new Error(`Internal error: a rehearsal has no ${what}`);
}
