/**
 * A model's weights on the GPU.
 *
 * @module
 */

import { Arena, type Tensor } from "../tape/tensor.ts";
import type { Checkpoint, CheckpointTensor } from "./checkpoint.ts";
import type { ModelConfig } from "./config.ts";
import { readTensorChunks } from "./safetensors.ts";
import { type GlobalWeightName, type LayerWeightName, resolveWeights } from "./weight_names.ts";

/** Weights, by our names: `engine/model/weight_names.ts` says what each is. */
export interface Weights {
  /** Those that there is one of. */
  readonly global: Readonly<Record<GlobalWeightName, Tensor>>;
  /** Those of each layer. */
  readonly layers: readonly Readonly<Record<LayerWeightName, Tensor>>[];
}

/**
 * Loads every weight of a checkpoint. The host holds one chunk of one tensor at
 * a time; a tied unembedding shares the memory of the embedding.
 *
 * @throws {SafetensorsError} naming all tensors that are missing, extra or misshapen.
 */
export async function loadWeights(
  arena: Arena,
  checkpoint: Checkpoint,
  config: ModelConfig,
): Promise<Weights> {
  const names = resolveWeights(checkpoint, config);
  const loaded = new Map<string, Tensor>();
  const chunk = chunkMemory();
  const load = async <Name extends string>(record: Readonly<Record<Name, string>>) => {
    const entries: [string, Tensor][] = [];
    for (const [ours, fileName] of Object.entries<string>(record)) {
      let tensor = loaded.get(fileName);
      if (tensor === undefined) {
        tensor = await uploadTensor(arena, checkpoint.tensors.get(fileName)!, {
          name: fileName,
          chunk,
        });
        loaded.set(fileName, tensor);
      }
      entries.push([ours, tensor]);
    }
    return Object.fromEntries(entries) as Record<Name, Tensor>;
  };
  const global = await load(names.global);
  const layers: Weights["layers"][number][] = [];
  for (const layer of names.layers) layers.push(await load(layer));
  return { global, layers };
}

/**
 * Memory for one chunk: the values of a tensor that are on the host at a time. New arrays
 * would be there until the next garbage collection, dozens of megabytes of them.
 */
export function chunkMemory(): Float32Array<ArrayBuffer> {
  return new Float32Array(2 ** 19);
}

/** Uploads one tensor of a file, chunk by chunk. */
export async function uploadTensor(
  arena: Arena,
  { file, info }: CheckpointTensor,
  { name, chunk }: { name: string; chunk: Float32Array<ArrayBuffer> },
): Promise<Tensor> {
  const tensor = arena.tensor(info.shape, name);
  let byteOffset = 0;
  for await (const values of readTensorChunks(file, name, { into: chunk })) {
    arena.gpu.upload(tensor.block, values, byteOffset);
    byteOffset += values.byteLength;
  }
  return tensor;
}
