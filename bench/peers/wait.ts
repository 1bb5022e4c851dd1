/**
 * Waits for a device of any library as quickly as for ours: awaiting costs 11 ms in Deno.
 *
 * @module
 */

import { Reader } from "../../engine/gpu/read_back.ts";

const readers = new WeakMap<GPUDevice, Reader>();

/** Waits until everything submitted has run. */
export async function waitFor(device: GPUDevice): Promise<void> {
  let reader = readers.get(device);
  if (reader === undefined) {
    reader = new Reader(device);
    reader.probe();
    readers.set(device, reader);
  }
  if (reader.blocks) reader.wait();
  else await device.queue.onSubmittedWorkDone();
}
