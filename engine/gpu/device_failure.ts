/**
 * What the driver reports some time after the call that was wrong.
 *
 * @module
 */

import { GpuError } from "../errors.ts";

/** The first failure of a device, and the checks still under way. */
export class DeviceFailure {
  readonly #checks = new Set<Promise<void>>();
  #first: Error | undefined;
  #disposed = false;

  constructor(device: GPUDevice) {
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.#first ??= new GpuError(
        event.error instanceof GPUOutOfMemoryError ? "out-of-memory" : "validation",
        `Cannot run the recorded commands: ${event.error.message}`,
      );
    });
    device.lost.then((info) => {
      if (this.#disposed) return;
      this.#first ??= new GpuError(
        "device-lost",
        `Cannot use the GPU any more as the device was lost: ${info.message || info.reason}`,
      );
    });
  }

  /** Whether nothing has failed so far. */
  get isAbsent(): boolean {
    return this.#first === undefined;
  }

  /** Whether the device has been disposed of. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** From now on, using the device is the failure. */
  dispose(): void {
    this.#disposed = true;
  }

  /** Keeps the error that a scope finds, if it finds one. */
  watch(error: Promise<GPUError | null>, about: (text: string) => Error): void {
    const check = error.then((found) => {
      if (found !== null) this.#first ??= about(found.message);
      this.#checks.delete(check);
    });
    this.#checks.add(check);
  }

  /** Throws the failure, if there is one. */
  check(): void {
    if (this.#first !== undefined) throw this.#first;
    if (this.#disposed) {
      throw new GpuError("device-lost", "Cannot use the GPU as it has been disposed of");
    }
  }

  /** The same once the checks under way have ended. */
  async checkAll(): Promise<void> {
    await Promise.all(this.#checks);
    this.check();
  }
}
