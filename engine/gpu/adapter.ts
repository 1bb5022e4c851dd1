/**
 * Finds an adapter and opens a device on it with the limits the kernels need.
 *
 * @module
 */

import { GpuError } from "../errors.ts";

/** Which adapter to open, and limits to stay under. */
export interface OpenGpuOptions {
  /**
   * `"high-performance"` (the default), `"low-power"`, or `"cpu"` for the
   * software rasteriser.
   */
  readonly adapter?: "high-performance" | "low-power" | "cpu";
  /**
   * The largest part of a buffer that one binding may span, in bytes: lower than
   * the adapter's own limit to see how larger tensors are bound in pieces.
   */
  readonly maxBindingBytes?: number;
  /** Time every kernel: see {@linkcode Gpu.timings}. Slow, as each dispatch is waited for. */
  readonly timings?: boolean;
  /** The most bytes that tensors may take together; a run that needs more is refused. */
  readonly maxMemoryBytes?: number;
}

/** What is known of the adapter in use. */
export interface AdapterFacts {
  /** As the driver calls itself, such as `llvmpipe (LLVM 15.0.6, 256 bits)`. */
  readonly name: string;
  /** Whether kernels run on a GPU or are emulated on the CPU. */
  readonly class: "cpu" | "gpu";
  /** Most bytes of a buffer that one binding spans. */
  readonly maxBindingBytes: number;
  /** Most bytes of a buffer. */
  readonly maxBufferBytes: number;
  /** Most workgroups in one dimension of a dispatch. */
  readonly maxWorkgroups: number;
  /** Most texels along one side of a texture. */
  readonly maxTextureSide: number;
  /** What offsets into a uniform buffer are multiples of, in bytes. */
  readonly uniformAlignment: number;
}

/** The limits that the kernels ask for, each at the adapter's best. */
const limitNames = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupsPerDimension",
  "minUniformBufferOffsetAlignment",
  "maxTextureDimension2D",
] as const;

const rasterisers = /llvmpipe|lavapipe|softpipe|swiftshader|basic render/i;

/** Opens a device on the adapter that `options` asks for. */
export async function openDevice(
  options: OpenGpuOptions,
): Promise<{ device: GPUDevice; facts: AdapterFacts }> {
  const { adapter: wanted = "high-performance" } = options;
  const adapter = await globalThis.navigator?.gpu?.requestAdapter(
    wanted === "cpu" ? { forceFallbackAdapter: true } : { powerPreference: wanted },
  );
  if (!adapter) {
    throw new GpuError(
      "no-adapter",
      `Cannot open a GPU as there is no WebGPU adapter (asked for "${wanted}"): install a Vulkan, ` +
        "Metal or DirectX 12 driver; on Linux without a GPU, " +
        '"apt-get install mesa-vulkan-drivers" brings the CPU rasteriser llvmpipe',
    );
  }
  const requiredLimits = Object.fromEntries(
    limitNames.map((name) => [name, adapter.limits[name]]),
  );
  const device = await adapter.requestDevice({ label: "hooktape", requiredLimits });
  const { limits } = device;
  const name = adapter.info.description || adapter.info.device || adapter.info.vendor;
  return {
    device,
    facts: {
      name,
      class: rasterisers.test(name) || wanted === "cpu" ? "cpu" : "gpu",
      maxBindingBytes: Math.min(
        limits.maxStorageBufferBindingSize,
        options.maxBindingBytes ?? Infinity,
      ),
      maxBufferBytes: limits.maxBufferSize,
      maxWorkgroups: limits.maxComputeWorkgroupsPerDimension,
      maxTextureSide: limits.maxTextureDimension2D,
      uniformAlignment: limits.minUniformBufferOffsetAlignment,
    },
  };
}
