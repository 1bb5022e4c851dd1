/**
 * The uniforms of launches, one after another in one buffer.
 *
 * @module
 */

import type { Pipeline } from "./pipelines.ts";

const capacity = 1 << 18;

/** Uniforms of the launches recorded since the last submission. */
export class Uniforms {
  /** What bind groups bind, at the offset of a launch. */
  readonly buffer: GPUBuffer;
  readonly #device: GPUDevice;
  readonly #alignment: number;
  readonly #bytes = new ArrayBuffer(capacity);
  readonly #u32 = new Uint32Array(this.#bytes);
  readonly #f32 = new Float32Array(this.#bytes);
  #end = 0;

  constructor(device: GPUDevice, { alignment }: { alignment: number }) {
    this.#device = device;
    this.#alignment = alignment;
    this.buffer = device.createBuffer({
      label: "uniforms",
      size: capacity,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
  }

  /** Whether there is room for one more launch. */
  hasRoomFor(pipeline: Pipeline): boolean {
    return this.#end + bytesOf(pipeline) <= capacity;
  }

  /** Adds those of a launch; gives their offset in bytes. */
  add(pipeline: Pipeline, values: Readonly<Record<string, number>>): number {
    const { uniformNames, uniformKinds } = pipeline;
    const offset = this.#end;
    for (let i = 0, at = offset / 4; i < uniformNames.length; i++, at++) {
      const value = values[uniformNames[i]!]!;
      if (uniformKinds[i] === "f32") this.#f32[at] = value;
      else this.#u32[at] = value;
    }
    this.#end = Math.ceil((offset + bytesOf(pipeline)) / this.#alignment) * this.#alignment;
    return offset;
  }

  /** Writes them into the buffer, right before the commands that read them are submitted. */
  write(): void {
    this.#device.queue.writeBuffer(this.buffer, 0, this.#bytes, 0, this.#end);
    this.#end = 0;
  }
}

function bytesOf({ uniformNames }: Pipeline): number {
  return Math.max(4 * uniformNames.length, 16);
}
