/**
 * Models of published shapes with random weights, made on the GPU.
 *
 * @module
 */

import type { OpenGpuOptions } from "../../engine/gpu/adapter.ts";
import { type Gpu, openGpu } from "../../engine/gpu/gpu.ts";
import { kernelFamily } from "../../engine/gpu/kernel.ts";
import { type ModelConfig, parseModelConfig } from "../../engine/model/config.ts";
import { createModel, type Model } from "../../engine/model/model.ts";
import { memoryFolder } from "../../engine/model/source.ts";
import {
  globalWeightNames,
  globalWeights,
  layerWeightNames,
  layerWeights,
} from "../../engine/model/weight_names.ts";
import { Arena, type Tensor } from "../../engine/tape/tensor.ts";
import random from "./random.wgsl" with { type: "text" };

const randomKernel = kernelFamily({
  name: "random",
  wgsl: [random],
  bindings: { out: "readWrite" },
  uniforms: { n: "u32", seed: "u32", mean: "f32", deviation: "f32" },
})("random", ["out"]);

/** Normal random numbers. */
export function randomTensor(
  arena: Arena,
  shape: readonly number[],
  { seed = 1, mean = 0, deviation = 1 }: { seed?: number; mean?: number; deviation?: number } = {},
): Tensor {
  const { gpu } = arena;
  const out = arena.tensor(shape, "random");
  const most = 2 ** 24; // elements of one launch: within every binding limit
  for (let first = 0; first < out.size; first += most) {
    const n = Math.min(most, out.size - first);
    gpu.dispatch(randomKernel, {
      bind: { out: { block: out.block, byteOffset: 4 * first, bytes: 4 * n } },
      uniforms: { n, seed: seed + first, mean, deviation },
      workgroups: [Math.min(Math.ceil(n / 64), gpu.facts.class === "cpu" ? 64 : 16384)],
    });
  }
  return out;
}

/** Shapes of published models. */
export const shapes = {
  "gpt2": { n_layer: 12, n_head: 12, n_embd: 768 },
  "gpt2-medium": { n_layer: 24, n_head: 16, n_embd: 1024 },
  "gpt2-large": { n_layer: 36, n_head: 20, n_embd: 1280 },
} as const;

/** A GPT-2 family model of a published shape, or part of one, with random weights. */
export function randomModel(
  gpu: Gpu,
  shape: keyof typeof shapes,
  overrides: Record<string, number> = {},
): Model {
  const config = parseModelConfig({
    model_type: "gpt2",
    _name_or_path: `random ${shape}`,
    n_positions: 1024,
    vocab_size: 50257,
    ...shapes[shape],
    ...overrides,
  }, "config.json");
  const arena = new Arena(gpu, { constant: true });
  let seed = 1;
  const make = (name: string, size: readonly number[]) => {
    const gain = name.endsWith("gain");
    return randomTensor(arena, size, {
      seed: seed++,
      mean: gain ? 1 : 0,
      deviation: 0.02, // As GPT-2 is initialised
    });
  };
  const record = <Name extends string>(
    names: readonly Name[],
    table: Readonly<Record<Name, { shape: (config: ModelConfig) => readonly number[] }>>,
  ) =>
    Object.fromEntries(
      names.map((name) => [name, make(name, table[name].shape(config))]),
    ) as Record<Name, Tensor>;
  const global = record(globalWeightNames.filter((name) => name !== "wU"), globalWeights);
  const weights = {
    global: { ...global, wU: global.wE },
    layers: Array.from({ length: config.nLayers }, () => record(layerWeightNames, layerWeights)),
  };
  return createModel({
    gpu,
    arena,
    config,
    weights,
    tokenizer: {
      size: config.dVocab,
      encode: (text) => [...text.matchAll(/<(\d+)>/g)].map(([, id]) => Number(id)),
      decode: (ids) => ids.map((id) => `<${id}>`).join(""),
      token: (id) => `<${id}>`,
    },
    folder: memoryFolder({}),
  }, { ownsGpu: false });
}

/** `length` tokens, always the same. */
export function someTokens(length: number, dVocab = 50257): number[] {
  return Array.from({ length }, (_, i) => (i * 7919 + 13) % dVocab);
}

/** The GPU that the benches run on, its name on standard error once. */
export async function benchGpu(options: OpenGpuOptions = {}): Promise<Gpu> {
  const gpu = await openGpu(options);
  console.error(`adapter: ${gpu.facts.name} (${gpu.facts.class})`);
  return gpu;
}
