/**
 * Stores as files, safetensors or JSON, and back. What is read back has its values on
 * the host: everything a store can do, it does without a GPU.
 *
 * @module
 */

import { z } from "zod";
import { RequestError, SafetensorsError } from "../engine/errors.ts";
import { type ByteSource, memorySource } from "../engine/model/byte_source.ts";
import { openSafetensors, readTensor } from "../engine/model/safetensors.ts";
import { type TensorData, writeSafetensors } from "../engine/model/safetensors_write.ts";
import { sizeOf } from "../engine/tape/tensor.ts";
import { describeIssue } from "./describe_issue.ts";
import { type HostTensor, ScalarStore, type ScalarTensor } from "./scalar_store.ts";
import { type ScalarName, scalarNames } from "./table.ts";

/** A store of which the values are on the host. */
export type HostStore = ScalarStore<HostTensor>;

const passTypes = ["forward", "backward"] as const;

/** What {@linkcode storesToSafetensors} puts in front of the names of a store's tensors. */
function prefixOf(sequence: number): string {
  return `b${sequence}`;
}

/**
 * A store's tensors by name: `PREFIX/{dst}/{forward|backward}/{layer|none}`, in the order of
 * the store.
 *
 * @param options `prefix`: `b0` if absent.
 */
export async function storeTensors(
  store: ScalarStore<ScalarTensor>,
  { prefix = prefixOf(0) }: { prefix?: string } = {},
): Promise<[name: string, tensor: TensorData][]> {
  const values = await store.read();
  return store.entries.map(({ dst, passType, layerIndex, tensor }) => [
    `${prefix}/${dst}/${passType}/${layerIndex ?? "none"}`,
    { shape: tensor.shape, data: values.get(tensor)! },
  ]);
}

/**
 * Stores, one for each sequence, as a safetensors file: `b{i}/{dst}/{pass}/{layer|none}`. The
 * order of the tensors within the stores is kept in the metadata.
 *
 * @param more Tensors to be written beside those of the stores.
 */
export async function storesToSafetensors(
  stores: readonly ScalarStore<ScalarTensor>[],
  more: Iterable<readonly [string, TensorData]> = [],
): Promise<Uint8Array<ArrayBuffer>> {
  const tensors = (await Promise.all(
    stores.map((store, i) => storeTensors(store, { prefix: prefixOf(i) })),
  )).flat();
  const order = JSON.stringify(tensors.map(([name]) => name));
  return writeSafetensors([...tensors, ...more], { scalars: order });
}

/** `b{i}/{dst}/{pass}/{layer|none}`. */
const namePattern = /^b(\d+)\/([a-z_]+)\/(forward|backward)\/(\d+|none)$/;

interface ParsedName {
  readonly sequence: number;
  readonly dst: ScalarName;
  readonly passType: (typeof passTypes)[number];
  readonly layerIndex: number | null;
}

/** `undefined` for the name of something that is not a scalar. */
function parseName(name: string): ParsedName | undefined {
  const [, sequence, dst, pass, layer] = namePattern.exec(name) ?? [];
  const known = scalarNames.find((each) => each === dst);
  const passType = passTypes.find((each) => each === pass);
  if (known === undefined || passType === undefined) return undefined;
  const layerIndex = layer === "none" ? null : Number(layer);
  return { sequence: Number(sequence), dst: known, passType, layerIndex };
}

/**
 * Reads the stores of a safetensors file, by sequence. Tensors that are no scalars are
 * passed over. Without metadata of ours, scalars are in the order of the table.
 *
 * @throws {SafetensorsError} if the file is malformed.
 */
export async function storesFromSafetensors(
  source: ByteSource | Uint8Array,
): Promise<HostStore[]> {
  const bytes = source instanceof Uint8Array ? memorySource("scalars", source) : source;
  const file = await openSafetensors(bytes);
  const order = orderOf(file);
  const stores: HostStore[] = [];
  for (const name of order) {
    const { sequence, ...entry } = parseName(name)!;
    while (stores.length <= sequence) stores.push(new ScalarStore<HostTensor>());
    const { shape } = file.tensors.get(name)!;
    const values = await readTensor(file, name);
    stores[sequence]!.add({ ...entry, tensor: { shape, size: values.length, values } });
  }
  return stores;
}

function orderOf(file: Awaited<ReturnType<typeof openSafetensors>>): string[] {
  const names = [...file.tensors.keys()].filter((name) => parseName(name) !== undefined);
  const written = file.metadata["scalars"];
  if (written !== undefined) {
    const order = z.array(z.string()).safeParse(tryJson(written));
    const complete = order.success && order.data.toSorted().join() === names.toSorted().join();
    if (complete) return order.data;
    throw new SafetensorsError(
      `Cannot read scalars from "${file.path}": its metadata "scalars" must list the ` +
        `${names.length} scalars that are in it`,
      { path: file.path },
    );
  }
  const place = (name: string) => {
    const { sequence, dst, passType, layerIndex } = parseName(name)!;
    return [sequence, scalarNames.indexOf(dst), passTypes.indexOf(passType), layerIndex ?? -1];
  };
  const places = new Map(names.map((name) => [name, place(name)]));
  return names.sort((a, b) => {
    const [placeA, placeB] = [places.get(a)!, places.get(b)!];
    const first = placeA.findIndex((part, i) => part !== placeB[i]);
    return first < 0 ? 0 : placeA[first]! - placeB[first]!;
  });
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Numbers that JSON does not have. */
const nonFinite = { inf: Infinity, "-inf": -Infinity, nan: NaN } as const;

const numberSchema = z.union([z.number(), z.enum(["inf", "-inf", "nan"])]);

/** A store as JSON. */
export const storeJsonSchema = z.strictObject({
  scalars: z.array(
    z.strictObject({
      dst: z.enum(scalarNames),
      passType: z.enum(passTypes),
      layerIndex: z.int().nullable(),
      shape: z.array(z.int().min(0)),
      values: z.array(numberSchema),
    }).refine(({ shape, values }) => sizeOf(shape) === values.length, {
      path: ["values"],
      error: "as many as the shape has elements",
    }),
  ),
});

/** See {@linkcode storeJsonSchema}. */
export type StoreJson = (typeof storeJsonSchema)["_output"];

/** A store as JSON; infinities and NaN are the strings "inf", "-inf" and "nan", and -0 is 0. */
export async function storeToJson(store: ScalarStore<ScalarTensor>): Promise<StoreJson> {
  const values = await store.read();
  return {
    scalars: store.entries.map(({ dst, passType, layerIndex, tensor }) => ({
      dst,
      passType,
      layerIndex,
      shape: [...tensor.shape],
      values: Array.from(values.get(tensor)!, toJson),
    })),
  };
}

function toJson(value: number): z.infer<typeof numberSchema> {
  if (Number.isFinite(value)) return value;
  return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

/**
 * Reads a store from JSON.
 *
 * @param name What is read, as shown in errors.
 * @throws {RequestError} `malformed_store` naming everything that is wrong.
 */
export function storeFromJson(json: unknown, name = "store"): HostStore {
  const parsed = storeJsonSchema.safeParse(json, { reportInput: true });
  if (!parsed.success) {
    throw new RequestError(
      "malformed_store",
      `Cannot read "${name}": ${parsed.error.issues.map(describeIssue).join("; ")}`,
      { cause: parsed.error },
    );
  }
  const store = new ScalarStore<HostTensor>();
  for (const { shape, values: written, ...entry } of parsed.data.scalars) {
    const values = Float32Array.from(
      written,
      (value) => typeof value === "number" ? value : nonFinite[value],
    );
    store.add({ ...entry, tensor: { shape, size: values.length, values } });
  }
  return store;
}
