/**
 * ONNX Runtime Web with its WebGPU provider, on models of one product.
 *
 * @module
 */

import * as ort from "onnxruntime-web/webgpu";
import { waitFor } from "./wait.ts";
import type { Peer, Sizes } from "./peer.ts";

/** Opens it. */
export async function openOnnx(): Promise<Peer> {
  ort.env.wasm.numThreads = 1; // the others are for CPU kernels
  (await matmul({ m: 1, k: 1, n: 1 })).dispose(); // there is no device before the first session
  const device = await ort.env.webgpu.device as GPUDevice;
  return { name: `onnxruntime-web ${ort.env.versions.web}`, device, matmul };
}

async function matmul({ m, k, n }: Sizes) {
  const session = await ort.InferenceSession.create(productModel({ m, k, n }), {
    executionProviders: ["webgpu"],
    preferredOutputLocation: "gpu-buffer",
  });
  const device = await ort.env.webgpu.device as GPUDevice;
  const onGpu = (dims: number[]) => {
    const values = new Float32Array(dims[0]! * dims[1]!).fill(1);
    const gpuBuffer = device.createBuffer({
      size: values.byteLength,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
    });
    device.queue.writeBuffer(gpuBuffer, 0, values);
    return ort.Tensor.fromGpuBuffer(gpuBuffer, {
      dataType: "float32",
      dims,
      dispose: () => gpuBuffer.destroy(),
    });
  };
  const a = onGpu([m, k]);
  const b = onGpu([k, n]);
  return {
    run: async () => (await session.run({ a, b })).c!.dispose(),
    finish: () => waitFor(device),
    check: async () => Number((await (await session.run({ a, b })).c!.getData())[m * n - 1]),
    dispose() {
      a.dispose();
      b.dispose();
      session.release();
    },
  };
}

/** A model that multiplies, in the bytes of the ONNX format: field numbers are of onnx.proto. */
function productModel({ m, k, n }: Sizes): Uint8Array {
  const node = [...text(1, "a"), ...text(1, "b"), ...text(2, "c"), ...text(4, "MatMul")];
  const graph = [
    ...bytes(1, node),
    ...text(2, "product"),
    ...bytes(11, valueInfo("a", [m, k])),
    ...bytes(11, valueInfo("b", [k, n])),
    ...bytes(12, valueInfo("c", [m, n])),
  ];
  // ir_version 8, the graph, and operator set 17
  return new Uint8Array([...number(1, 8), ...bytes(7, graph), ...bytes(8, number(2, 17))]);
}

/** Name and type: a float tensor (element type 1) of that shape. */
function valueInfo(name: string, shape: readonly number[]): number[] {
  const dims = shape.flatMap((length) => bytes(1, number(1, length)));
  return [...text(1, name), ...bytes(2, bytes(1, [...number(1, 1), ...bytes(2, dims)]))];
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [value & 127 | 128, ...varint(Math.floor(value / 128))];
}

function number(field: number, value: number): number[] {
  return [...varint(field << 3), ...varint(value)];
}

function bytes(field: number, content: readonly number[]): number[] {
  return [...varint(field << 3 | 2), ...varint(content.length), ...content];
}

function text(field: number, content: string): number[] {
  return bytes(field, [...new TextEncoder().encode(content)]);
}
