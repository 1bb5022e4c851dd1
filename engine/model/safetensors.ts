/**
 * Reading safetensors files: the header at once, tensors by range, in chunks,
 * so that the host never holds more of a file than one chunk.
 *
 * @module
 */

import { ShapeError } from "../errors.ts";
import type { ByteSource } from "./byte_source.ts";
import {
  type Dtype,
  dtypeBits,
  elementsOf,
  lengthBytes,
  malformed,
  parseSafetensorsHeader,
  type TensorInfo,
} from "./safetensors_header.ts";

export type { Dtype, TensorInfo } from "./safetensors_header.ts";

/** An open safetensors file. It holds no resource, so it needs no closing. */
export interface SafetensorsFile {
  /** The file as shown in error messages. */
  readonly path: string;
  /** The text entries of `__metadata__`; empty if there are none. */
  readonly metadata: Record<string, string>;
  /** The tensors, in the order of the header. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Where the bytes come from. */
  readonly source: ByteSource;
}

/** The limit of the reference implementation, against hostile lengths. */
const maxHeaderBytes = 100_000_000;

/**
 * How the elements of a file, at the end of the memory of the values that they become, are
 * turned into those in place: from the first, so that none is written over before it is read.
 */
const converters: Partial<Record<Dtype, (values: Float32Array<ArrayBuffer>) => void>> = {
  // Files are little-endian, and so is every host of WebGPU.
  F32: () => {},
  F16: ({ buffer, byteOffset, length }) => {
    const values = new Float32Array(buffer, byteOffset, length);
    const halves = new Float16Array(buffer, byteOffset + 2 * length, length);
    for (let i = 0; i < length; i++) values[i] = halves[i]!;
  },
  // BF16 is the upper half of a float32.
  BF16: ({ buffer, byteOffset, length }) => {
    const bits = new Uint32Array(buffer, byteOffset, length);
    const halves = new Uint16Array(buffer, byteOffset + 2 * length, length);
    for (let i = 0; i < length; i++) bits[i] = halves[i]! << 16;
  },
};

/** Whether tensors of a dtype can be read as float32. */
export function isReadable(dtype: Dtype): boolean {
  return converters[dtype] !== undefined;
}

/**
 * Reads and checks the header of a safetensors file. Every dtype of the format
 * is accepted here, as checkpoints may carry masks beside their weights.
 *
 * @throws {SafetensorsError} if the file is malformed, naming the tensor and
 * the byte at fault.
 */
export async function openSafetensors(
  source: ByteSource,
): Promise<SafetensorsFile> {
  const { name: path, size } = source;
  if (size < lengthBytes) {
    throw malformed(
      `the file must begin with the ${lengthBytes} bytes of its header ` +
        `length, but it ends at byte ${size}`,
      { path, byteOffset: size },
    );
  }
  const start = await source.read(0, lengthBytes);
  // As a BigInt: a hostile length does not fit a number.
  const length = new DataView(start.buffer, start.byteOffset)
    .getBigUint64(0, true);
  if (length > maxHeaderBytes) {
    throw malformed(
      `the header length at byte 0 must be at most ${maxHeaderBytes}, ` +
        `current length is ${length}`,
      { path, byteOffset: 0 },
    );
  }
  const end = lengthBytes + Number(length);
  if (end > size) {
    throw malformed(
      `the header must end at byte ${end}, but the file ends at byte ${size}`,
      { path, byteOffset: size },
    );
  }
  const bytes = await source.read(lengthBytes, Number(length));
  return { path, source, ...parseSafetensorsHeader(bytes, { path, size }) };
}

/**
 * A whole tensor as float32. F16 and BF16 are converted exactly.
 *
 * @throws {TypeError} if there is no such tensor.
 * @throws {ShapeError} if its dtype is not F32, F16 or BF16.
 */
export async function readTensor(
  file: SafetensorsFile,
  name: string,
): Promise<Float32Array<ArrayBuffer>> {
  const tensor = readableTensor(file, name);
  const values = new Float32Array(elementsOf(tensor.shape));
  await readValues(file.source, tensor, { first: 0, values });
  return values;
}

/**
 * A tensor as float32, in pieces. F16 and BF16 are converted exactly. A tensor
 * without elements gives no chunks.
 *
 * @param options.chunkBytes Most bytes of float32 in a chunk; a chunk has at
 * least one element.
 * @param options.into Memory for the chunks, each in the place of the one before, at least
 * `chunkBytes` long; each has memory of its own if absent.
 * @throws {TypeError} if there is no such tensor.
 * @throws {ShapeError} if its dtype is not F32, F16 or BF16.
 */
export async function* readTensorChunks(
  file: SafetensorsFile,
  name: string,
  { into, chunkBytes = into?.byteLength ?? 16 * 2 ** 20 }: {
    chunkBytes?: number;
    into?: Float32Array<ArrayBuffer>;
  } = {},
): AsyncGenerator<Float32Array<ArrayBuffer>> {
  if (!(chunkBytes > 0)) {
    throw new RangeError(
      `Cannot read tensor "${name}" in chunks: chunkBytes must be positive, ` +
        `current chunkBytes is ${chunkBytes}`,
    );
  }
  const tensor = readableTensor(file, name);
  const elements = elementsOf(tensor.shape);
  const perChunk = Math.max(1, Math.floor(chunkBytes / 4));
  for (let first = 0; first < elements; first += perChunk) {
    const count = Math.min(perChunk, elements - first);
    const values = into?.subarray(0, count) ?? new Float32Array(count);
    await readValues(file.source, tensor, { first, values });
    yield values;
  }
}

/** Fills `values` with the elements of a tensor from the `first`. */
async function readValues(
  source: ByteSource,
  { dtype, byteOffset, convert }: ReturnType<typeof readableTensor>,
  { first, values }: { first: number; values: Float32Array<ArrayBuffer> },
): Promise<void> {
  if (values.length === 0) return;
  const elementBytes = dtypeBits[dtype] / 8;
  const length = values.length * elementBytes;
  const start = values.byteOffset + values.byteLength - length;
  const into = new Uint8Array(values.buffer, start, length);
  const bytes = await source.read(byteOffset + first * elementBytes, length, { into });
  if (bytes !== into) into.set(bytes);
  convert(values);
}

function readableTensor(file: SafetensorsFile, name: string) {
  const info = file.tensors.get(name);
  if (info === undefined) {
    throw new TypeError(
      `Cannot read tensor "${name}" of "${file.path}": it is not among the ` +
        `${file.tensors.size} tensors of the file`,
    );
  }
  const convert = converters[info.dtype];
  if (convert === undefined) {
    throw new ShapeError(
      `Cannot read tensor "${name}" of "${file.path}" as numbers: its dtype ` +
        `must be ${Object.keys(converters).join(" or ")}, current dtype is ${info.dtype}`,
    );
  }
  return { ...info, convert };
}
