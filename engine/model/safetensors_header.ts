/**
 * The header of a safetensors file: 8 bytes with its length, then JSON that
 * says for each tensor its dtype, its shape and where its bytes are. The data
 * fill the rest of the file, without gaps.
 *
 * Everything is checked, as these files come from strangers. Source:
 * https://github.com/huggingface/safetensors#format
 *
 * @module
 */

import { z } from "zod";
import { SafetensorsError } from "../errors.ts";
import { messageOf } from "./byte_source.ts";

/** Bits of one element, for every dtype of the format. */
export const dtypeBits = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** Name of an element type in a safetensors file. */
export type Dtype = keyof typeof dtypeBits;

/** What the header says about one tensor. */
export interface TensorInfo {
  /** Element type. */
  readonly dtype: Dtype;
  /** Dimensions, row-major; none for a single number. */
  readonly shape: readonly number[];
  /** First byte of the data, from the start of the file. */
  readonly byteOffset: number;
  /** Bytes of the data. */
  readonly byteLength: number;
}

/** The checked header of a safetensors file. */
export interface SafetensorsHeader {
  /** The text entries of `__metadata__`; empty if there are none. */
  readonly metadata: Record<string, string>;
  /** The tensors, in the order of the header. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

/** The first 8 bytes of a file: the length of its header. */
export const lengthBytes = 8;

const tensorSchema = z.object({
  dtype: z.enum(Object.keys(dtypeBits) as [Dtype, ...Dtype[]]),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()])
    .refine(([begin, end]) => begin <= end, "must not run backwards"),
});
const metadataSchema = z.record(z.string(), z.string());

/**
 * Reads and checks a header.
 *
 * @param bytes The header alone, without its length.
 * @param file The file, for its size and for error messages.
 * @throws {SafetensorsError} naming the tensor and the byte at fault.
 */
export function parseSafetensorsHeader(
  bytes: Uint8Array,
  file: { path: string; size: number },
): SafetensorsHeader {
  const { path } = file;
  const text = decodeText(bytes, path);
  const entries = parseEntries(text, path);
  const keys = scanKeys(text, path);
  const dataStart = lengthBytes + bytes.length;

  let metadata: Record<string, string> = {};
  const tensors = new Map<string, TensorInfo>();
  for (const [name, value] of Object.entries(entries)) {
    // Found only when an error needs it: it goes through the whole header.
    const keyByte = () => byteAt(text, keys.get(name)!);
    if (name === "__metadata__") {
      const parsed = metadataSchema.safeParse(value);
      if (!parsed.success) {
        const byteOffset = keyByte();
        const problem = `"__metadata__" at byte ${byteOffset} must map text ` +
          `to text: ${describe(parsed.error)}`;
        throw malformed(problem, { path, byteOffset });
      }
      metadata = parsed.data;
      continue;
    }
    const parsed = tensorSchema.safeParse(value);
    if (!parsed.success) {
      const byteOffset = keyByte();
      throw malformed(
        `the entry of tensor "${name}" at byte ${byteOffset} is wrong: ` +
          describe(parsed.error),
        { path, tensor: name, byteOffset },
      );
    }
    const { dtype, shape, data_offsets: [begin, end] } = parsed.data;
    tensors.set(name, {
      dtype,
      shape,
      byteOffset: dataStart + begin,
      byteLength: end - begin,
    });
  }
  checkSizes(tensors, path);
  checkPlaces(tensors, { path, size: file.size, dataStart });
  return { metadata, tensors };
}

/** The error for a malformed file. */
export function malformed(
  problem: string,
  at: ConstructorParameters<typeof SafetensorsError>[1],
): SafetensorsError {
  return new SafetensorsError(`Cannot open "${at.path}": ${problem}`, at);
}

/** Number of elements of a shape; `Infinity` if it cannot be a real one. */
export function elementsOf(shape: readonly number[]): number {
  if (shape.includes(0)) return 0;
  const elements = shape.reduce((product, dim) => product * dim, 1);
  return Number.isSafeInteger(elements) ? elements : Infinity;
}

function decodeText(bytes: Uint8Array, path: string): string {
  const isValid = (length: number) => {
    try {
      // As a stream, a character that is cut off at the end is no fault.
      new TextDecoder("utf-8", { fatal: true })
        .decode(bytes.subarray(0, length), { stream: true });
      return true;
    } catch {
      return false;
    }
  };
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(bytes);
  } catch (cause) {
    // Bisection: `valid` bytes are UTF-8, `invalid` bytes are not.
    let [valid, invalid] = [0, bytes.length + 1];
    while (invalid - valid > 1) {
      const middle = (valid + invalid) >> 1;
      if (isValid(middle)) valid = middle;
      else invalid = middle;
    }
    const byteOffset = lengthBytes + Math.min(valid, bytes.length - 1);
    throw malformed(`the header is not UTF-8 at byte ${byteOffset}`, {
      path,
      byteOffset,
      cause,
    });
  }
}

function parseEntries(text: string, path: string): Record<string, unknown> {
  if (!text.startsWith("{")) {
    throw malformed(
      `the header must begin with "{" at byte ${lengthBytes}, current begin ` +
        `is ${JSON.stringify(text.slice(0, 1))}`,
      { path, byteOffset: lengthBytes },
    );
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw malformed(
      `the header at byte ${lengthBytes} is not JSON: ${messageOf(cause)}`,
      { path, byteOffset: lengthBytes, cause },
    );
  }
}

/**
 * Where each top-level key begins in the header. Refuses keys that occur twice
 * in one object, of which JSON.parse() silently keeps the last.
 *
 * @param text JSON that has been parsed without an error.
 */
function scanKeys(text: string, path: string): Map<string, number> {
  // One entry for each open object (its keys) or array (undefined).
  const open: (Map<string, number> | undefined)[] = [];
  let topLevel = new Map<string, number>();
  let tensor: string | undefined;
  const token = /[{}[\]]|("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?/g;
  for (const match of text.matchAll(token)) {
    const [part, quoted, colon] = match;
    if (part === "{") open.push(new Map());
    else if (part === "[") open.push(undefined);
    else if (part === "]") open.pop();
    else if (part === "}") topLevel = open.pop() ?? topLevel;
    else if (quoted !== undefined && colon !== undefined) {
      const keys = open.at(-1)!;
      const key = JSON.parse(quoted) as string;
      if (open.length === 1) tensor = key;
      if (keys.has(key)) {
        const byteOffset = byteAt(text, match.index);
        const problem = open.length === 1
          ? `"${key}" occurs twice, again at byte ${byteOffset}`
          : `"${key}" occurs twice in the entry of "${tensor}", again at ` +
            `byte ${byteOffset}`;
        throw malformed(problem, { path, byteOffset, tensor: tensor! });
      }
      keys.set(key, match.index);
    }
  }
  return topLevel;
}

/** Byte in the file of a character of the header. */
function byteAt(text: string, index: number): number {
  return lengthBytes + new TextEncoder().encode(text.slice(0, index)).length;
}

function checkSizes(
  tensors: ReadonlyMap<string, TensorInfo>,
  path: string,
): void {
  for (const [tensor, info] of tensors) {
    const { dtype, shape, byteOffset, byteLength } = info;
    const bytes = elementsOf(shape) * dtypeBits[dtype] / 8;
    if (bytes === byteLength) continue;
    throw malformed(
      `tensor "${tensor}" at byte ${byteOffset} has ${byteLength} bytes, but ` +
        `its shape [${shape.join(", ")}] of ${dtype} needs ${bytes}`,
      { path, tensor, byteOffset },
    );
  }
}

function checkPlaces(
  tensors: ReadonlyMap<string, TensorInfo>,
  file: { path: string; size: number; dataStart: number },
): void {
  const { path, size, dataStart } = file;
  // Empty tensors go before what begins at the same byte.
  const inOrder = [...tensors].sort(([, a], [, b]) =>
    a.byteOffset - b.byteOffset || a.byteLength - b.byteLength
  );
  let end = dataStart;
  let before = "the header";
  for (const [tensor, { byteOffset, byteLength }] of inOrder) {
    const at = { path, tensor, byteOffset };
    const begins = `tensor "${tensor}" begins at byte ${byteOffset}, but ` +
      `${before} ends at byte ${end}`;
    if (byteOffset > end) throw malformed(`${begins}: there is a gap`, at);
    if (byteOffset < end) throw malformed(`${begins}: they overlap`, at);
    end += byteLength;
    before = `tensor "${tensor}"`;
    if (end > size) {
      throw malformed(
        `${before} ends at byte ${end}, but the file is cut off at byte ${size}`,
        at,
      );
    }
  }
  if (end < size) {
    throw malformed(
      `${before} ends at byte ${end}, but the file goes on to byte ${size}`,
      { path, byteOffset: end },
    );
  }
}

function describe(error: z.ZodError): string {
  return error.issues
    .map(({ path, message }) => [...path.map(String), message].join(": "))
    .join("; ");
}
