/**
 * Compiled kernels and their bind groups, each made once.
 *
 * @module
 */

import { GpuError, KernelError } from "../errors.ts";
import type { Access, Kernel } from "./kernel.ts";
import type { Block, Texture } from "./pool.ts";

/** Part of a block: what one binding sees of a tensor larger than the binding limit. */
export interface Range {
  /** The whole. */
  readonly block: Block;
  /** Where the part begins. */
  readonly byteOffset: number;
  /** How long it is. */
  readonly bytes: number;
}

/** What can be bound. */
export type Bound = Block | Range | Texture;

/** The block or texture that is bound, whole or in part. */
export function memoryOf(bound: Bound): Block | Texture {
  return "block" in bound ? bound.block : bound;
}

/** A compiled kernel. */
export interface Pipeline {
  readonly id: number;
  readonly kernel: Kernel;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly bindingNames: readonly string[];
  readonly bindingNumbers: readonly number[];
  readonly uniformNames: readonly string[];
  readonly uniformKinds: readonly ("u32" | "f32")[];
}

const layoutOf = {
  read: { buffer: { type: "read-only-storage" } },
  readWrite: { buffer: { type: "storage" } },
  readTexture: { storageTexture: { access: "read-only", format: "rgba32float" } },
  writeTexture: { storageTexture: { access: "write-only", format: "rgba32float" } },
} as const satisfies Record<Access, Omit<GPUBindGroupLayoutEntry, "binding" | "visibility">>;

// Runs of ever other lengths combine blocks in ever other ways: some ten runs' worth.
const bindGroupsAtMost = 8192;

/** Makes pipelines and bind groups, and remembers them. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #uniforms: GPUBuffer;
  readonly #maxBindingBytes: number;
  readonly #watch: (error: Promise<GPUError | null>, about: (text: string) => Error) => void;
  readonly #modules = new Map<Kernel["wgsl"], GPUShaderModule>();
  readonly #pipelines = new Map<Kernel, Pipeline>();
  readonly #bindGroups = new Map<string, GPUBindGroup>();
  readonly #keysByBlock = new Map<number, string[]>();

  constructor(device: GPUDevice, options: {
    uniforms: GPUBuffer;
    maxBindingBytes: number;
    watch: (error: Promise<GPUError | null>, about: (text: string) => Error) => void;
  }) {
    this.#device = device;
    this.#uniforms = options.uniforms;
    this.#maxBindingBytes = options.maxBindingBytes;
    this.#watch = options.watch;
  }

  /** The kernel's pipeline; compiled at the first call. */
  pipelineOf(kernel: Kernel): Pipeline {
    let found = this.#pipelines.get(kernel);
    if (found === undefined) this.#pipelines.set(kernel, found = this.#compile(kernel));
    return found;
  }

  /** The bind group of a pipeline over these buffers, in binding order. */
  bindGroupOf(pipeline: Pipeline, bound: readonly Bound[]): GPUBindGroup {
    let key = String(pipeline.id);
    for (const each of bound) {
      this.#checkSize(each, pipeline);
      key += "block" in each ? `,${each.block.id}:${each.byteOffset}:${each.bytes}` : `,${each.id}`;
    }
    let group = this.#bindGroups.get(key);
    if (group === undefined) {
      group = this.#device.createBindGroup({
        label: pipeline.kernel.label,
        layout: pipeline.layout,
        entries: [
          {
            binding: 0,
            resource: {
              buffer: this.#uniforms,
              size: Math.max(4 * pipeline.uniformNames.length, 16),
            },
          },
          ...bound.map((each, i) => ({
            binding: pipeline.bindingNumbers[i]!,
            resource: this.#resource(each),
          })),
        ],
      });
      if (this.#bindGroups.size >= bindGroupsAtMost) {
        this.#bindGroups.clear();
        this.#keysByBlock.clear();
      }
      this.#bindGroups.set(key, group);
      for (const each of bound) {
        const { id } = memoryOf(each);
        const keys = this.#keysByBlock.get(id);
        if (keys === undefined) this.#keysByBlock.set(id, [key]);
        else keys.push(key);
      }
    }
    return group;
  }

  /** Forgets the bind groups of what is about to be destroyed. */
  forget({ id }: Block | Texture): void {
    for (const key of this.#keysByBlock.get(id) ?? []) this.#bindGroups.delete(key);
    this.#keysByBlock.delete(id);
  }

  #resource(bound: Bound): GPUBufferBinding | GPUTextureView {
    if ("view" in bound) return bound.view;
    if ("block" in bound) {
      return { buffer: bound.block.buffer, offset: bound.byteOffset, size: bound.bytes };
    }
    return { buffer: bound.buffer, size: Math.min(bound.bytes, this.#maxBindingBytes) };
  }

  /** Checked at every use: a recycled block may hold more than when it was first bound. */
  #checkSize(bound: Bound, { kernel }: Pipeline): void {
    if ("view" in bound) return;
    const { label, bytes } = "block" in bound
      ? { label: bound.block.label, bytes: bound.bytes }
      : { label: bound.label, bytes: bound.requested };
    if (bytes <= this.#maxBindingBytes) return;
    throw new GpuError(
      "limit",
      `Cannot bind "${label}" (${bytes} bytes) to kernel "${kernel.label}" as one ` +
        `binding spans at most ${this.#maxBindingBytes} bytes: use a shorter prompt or fewer sequences`,
    );
  }

  /** The kernels of a family, and their variants, share one module: a parse takes 1 to 5 ms. */
  #moduleOf({ wgsl }: Kernel): GPUShaderModule {
    let found = this.#modules.get(wgsl);
    if (found === undefined) {
      found = this.#device.createShaderModule({ code: wgsl.join("\n") });
      this.#modules.set(wgsl, found);
    }
    return found;
  }

  #compile(kernel: Kernel): Pipeline {
    const device = this.#device;
    const label = kernel.label;
    device.pushErrorScope("validation");
    const layout = device.createBindGroupLayout({
      label,
      entries: [
        { binding: 0, buffer: { type: "uniform", hasDynamicOffset: true } as const },
        ...Object.values(kernel.bindings).map(({ at, access }) => ({
          binding: at,
          ...layoutOf[access],
        })),
      ].map((entry) => ({ ...entry, visibility: GPUShaderStage.COMPUTE })),
    });
    const pipeline = device.createComputePipeline({
      label,
      layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
      compute: {
        module: this.#moduleOf(kernel),
        entryPoint: kernel.entry,
        constants: kernel.overrides ?? {},
      },
    });
    this.#watch(
      device.popErrorScope(),
      (text) => new KernelError(label, `Cannot compile kernel "${label}": ${text}`),
    );
    return {
      id: this.#pipelines.size,
      kernel,
      pipeline,
      layout,
      bindingNames: Object.keys(kernel.bindings),
      bindingNumbers: Object.values(kernel.bindings).map(({ at }) => at),
      uniformNames: Object.keys(kernel.uniforms),
      uniformKinds: Object.values(kernel.uniforms),
    };
  }
}
