/**
 * Safetensors files byte by byte, for tests that need wrong ones.
 *
 * @module
 */

import { openSafetensors, type SafetensorsFile } from "../../../engine/model/safetensors.ts";
import { memoryFolder } from "../../../engine/model/source.ts";

/** A file with the given header and data. Nothing is checked. */
export function craft(
  header: string | Uint8Array | Record<string, unknown>,
  { data = new Uint8Array(), headerLength }: { data?: Uint8Array; headerLength?: bigint } = {},
): Uint8Array<ArrayBuffer> {
  const json = header instanceof Uint8Array
    ? header
    : new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + data.length);
  new DataView(file.buffer).setBigUint64(0, headerLength ?? BigInt(json.length), true);
  file.set(json, 8);
  file.set(data, 8 + json.length);
  return file;
}

/** An entry of a header. */
export function entry(dtype: string, shape: number[], begin: number, end: number) {
  return { dtype, shape, data_offsets: [begin, end] };
}

/** Opens bytes as the file `test.safetensors`. */
export async function openBytes(bytes: Uint8Array): Promise<SafetensorsFile> {
  const source = await memoryFolder({ "test.safetensors": bytes }).open("test.safetensors");
  return await openSafetensors(source!);
}
