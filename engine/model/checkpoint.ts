/**
 * A model's weights on disk: one safetensors file, or several with an index.
 *
 * @module
 */

import { z } from "zod";
import { SafetensorsError } from "../errors.ts";
import { openSafetensors, type SafetensorsFile, type TensorInfo } from "./safetensors.ts";
import { type ByteSource, readJson, type SourceFolder } from "./source.ts";

/** A tensor of a checkpoint and the file it is in. */
export interface CheckpointTensor {
  /** The file. */
  readonly file: SafetensorsFile;
  /** What the file's header says about the tensor. */
  readonly info: TensorInfo;
}

/** All tensors of a checkpoint, by name, whichever files they are in. */
export interface Checkpoint {
  /** The file, or the index of the files, as shown in error messages. */
  readonly path: string;
  /** The tensors, by name. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
}

const wholeName = "model.safetensors";
const indexName = "model.safetensors.index.json";

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/**
 * Opens `model.safetensors`, or else the shards that
 * `model.safetensors.index.json` names. Only headers are read.
 *
 * @throws {SafetensorsError} if a file is malformed, or if shards or tensors of
 * the index are missing; all of them are named.
 */
export async function openCheckpoint(folder: SourceFolder): Promise<Checkpoint> {
  const whole = await folder.open(wholeName);
  if (whole !== undefined) {
    const file = await openSafetensors(whole);
    return { path: file.path, tensors: tensorsOf(file) };
  }
  const index = await folder.open(indexName);
  if (index !== undefined) return await openShards(folder, index);
  throw new Error(
    `Cannot open checkpoint "${folder.name}": it must have "${wholeName}" or "${indexName}", ` +
      `currently it has neither`,
  );
}

async function openShards(folder: SourceFolder, index: ByteSource): Promise<Checkpoint> {
  const path = index.name;
  const parsed = indexSchema.safeParse(await readJson(index));
  if (!parsed.success) {
    throw new SafetensorsError(
      `Cannot open checkpoint "${path}": ${z.prettifyError(parsed.error)}`,
      { path, cause: parsed.error },
    );
  }
  const places = Object.entries(parsed.data.weight_map);
  const shards = new Map<string, ReadonlyMap<string, CheckpointTensor>>();
  const missingShards: string[] = [];
  for (const shard of new Set(places.map(([, shard]) => shard))) {
    const source = await openShard(folder, { path, shard });
    if (source === undefined) missingShards.push(shard);
    else shards.set(shard, tensorsOf(await openSafetensors(source)));
  }
  const tensors = new Map<string, CheckpointTensor>();
  const missingTensors: string[] = [];
  for (const [name, shard] of places) {
    const tensor = shards.get(shard)?.get(name);
    if (tensor !== undefined) tensors.set(name, tensor);
    // The tensors of a missing shard are missed already.
    else if (shards.has(shard)) missingTensors.push(`"${name}" in "${shard}"`);
  }
  const problems: string[] = [];
  if (missingShards.length > 0) {
    problems.push(`missing shards are ${missingShards.map((name) => `"${name}"`).join(", ")}`);
  }
  if (missingTensors.length > 0) {
    problems.push(`missing tensors are ${missingTensors.join(", ")}`);
  }
  if (problems.length > 0) {
    throw new SafetensorsError(`Cannot open checkpoint "${path}": ${problems.join("; ")}`, {
      path,
    });
  }
  return { path, tensors };
}

/** Opens a shard, whose name comes from the index and may be anything. */
async function openShard(
  folder: SourceFolder,
  { path, shard }: { path: string; shard: string },
): Promise<ByteSource | undefined> {
  try {
    return await folder.open(shard);
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new SafetensorsError(`Cannot open checkpoint "${path}": ${cause.message}`, {
      path,
      cause,
    });
  }
}

function tensorsOf(file: SafetensorsFile): Map<string, CheckpointTensor> {
  return new Map([...file.tensors].map(([name, info]) => [name, { file, info }]));
}
