/**
 * Writing safetensors files.
 *
 * @module
 */

import { ShapeError } from "../errors.ts";
import { elementsOf, lengthBytes } from "./safetensors_header.ts";

/** A tensor to be written. */
export interface TensorData {
  /** Dimensions, row-major; none for a single number. */
  readonly shape: readonly number[];
  /** As many values as the shape has elements. */
  readonly data: Float32Array;
}

/**
 * A safetensors file of float32 tensors. Keys are sorted, and the header is
 * padded so that the data begin at a multiple of 8: equal tensors give equal
 * files.
 *
 * @param tensors From name to tensor.
 * @param metadata Text to be kept in the header.
 * @throws {TypeError} if a name occurs twice, or is `__metadata__`.
 * @throws {ShapeError} if a shape does not fit its data.
 */
export function writeSafetensors(
  tensors: Iterable<readonly [string, TensorData]>,
  metadata?: Record<string, string>,
): Uint8Array<ArrayBuffer> {
  const sorted = [...tensors].sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
  // Joined by hand, as an object would put keys like "0" first.
  const entries: string[] = [];
  if (metadata !== undefined) {
    entries.push(`"__metadata__":${JSON.stringify(metadata)}`);
  }
  let dataBytes = 0;
  for (const [index, [name, { shape, data }]] of sorted.entries()) {
    if (name === "__metadata__" || name === sorted[index - 1]?.[0]) {
      throw new TypeError(
        `Cannot write tensor "${name}": its name must be unique and not ` +
          `"__metadata__"`,
      );
    }
    if (elementsOf(shape) !== data.length) {
      throw new ShapeError(
        `Cannot write tensor "${name}" of shape [${shape.join(", ")}]: the ` +
          `shape needs ${elementsOf(shape)} values, current data are ` +
          `${data.length}`,
      );
    }
    const end = dataBytes + data.byteLength;
    const entry = { dtype: "F32", shape, data_offsets: [dataBytes, end] };
    entries.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    dataBytes = end;
  }
  const json = new TextEncoder().encode(`{${entries.join(",")}}`);
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const dataStart = lengthBytes + headerBytes;
  const file = new Uint8Array(dataStart + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.set(json, lengthBytes);
  file.fill(0x20, lengthBytes + json.length, dataStart);
  const values = new Float32Array(file.buffer, dataStart);
  let done = 0;
  for (const [, { data }] of sorted) {
    values.set(data, done);
    done += data.length;
  }
  return file;
}
