/**
 * Brings the content of buffers back to the host.
 *
 * @module
 */

import type { Block } from "./pool.ts";

/**
 * Copies the first `bytes` of each block to the host through one staging buffer,
 * in one wait.
 */
export async function readBack(
  device: GPUDevice,
  wanted: readonly { block: Block; bytes: number }[],
): Promise<ArrayBuffer[]> {
  const offsets: number[] = [];
  let size = 0;
  for (const { bytes } of wanted) {
    offsets.push(size);
    size += Math.ceil(bytes / 8) * 8;
  }
  const staging = device.createBuffer({
    label: "read-back",
    size: Math.max(size, 8),
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  const encoder = device.createCommandEncoder();
  wanted.forEach(({ block, bytes }, i) => {
    const padded = Math.ceil(bytes / 4) * 4;
    if (padded > 0) encoder.copyBufferToBuffer(block.buffer, 0, staging, offsets[i]!, padded);
  });
  device.queue.submit([encoder.finish()]);
  try {
    await staging.mapAsync(GPUMapMode.READ);
    const mapped = staging.getMappedRange();
    return wanted.map(({ bytes }, i) => mapped.slice(offsets[i]!, offsets[i]! + bytes));
  } finally {
    staging.destroy();
  }
}
