/**
 * The weights of a model: our names, the names that Hugging Face's GPT-2
 * checkpoints give them, and their shapes.
 *
 * | ours | is |
 * |---|---|
 * | `wE`, `wPos` | embeddings of tokens and positions |
 * | `ln1`, `ln2`, `lnF` | layer norms before attention, before the MLP, before the unembedding |
 * | `attn.wQkv`, `attn.bQkv` | to queries, keys and values: columns q, k, v, each head-major |
 * | `attn.wO`, `attn.bO` | from the values of all heads, head-major, to the residual stream |
 * | `mlp.wIn`, `mlp.wOut` | to the neurons and from them |
 * | `wU` | unembedding, one row per token |
 *
 * Matrices are stored as [in, out], except the embeddings and the unembedding.
 *
 * @module
 */

import { SafetensorsError } from "../errors.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { ModelConfig } from "./config.ts";
import { isReadable } from "./safetensors.ts";

/** One weight: its name in a checkpoint and its shape. */
export interface WeightRow {
  /** Hugging Face's name; of a layer's weight the part after `h.0.`. */
  readonly fileName: string;
  /** Dimensions, row-major. */
  readonly shape: (config: ModelConfig) => readonly number[];
}

const dModel = (c: ModelConfig) => [c.dModel];

/** The weights that each layer has. */
export const layerWeights = {
  "ln1.gain": { fileName: "ln_1.weight", shape: dModel },
  "ln1.bias": { fileName: "ln_1.bias", shape: dModel },
  "attn.wQkv": { fileName: "attn.c_attn.weight", shape: (c) => [c.dModel, 3 * c.dModel] },
  "attn.bQkv": { fileName: "attn.c_attn.bias", shape: (c) => [3 * c.dModel] },
  "attn.wO": { fileName: "attn.c_proj.weight", shape: (c) => [c.dModel, c.dModel] },
  "attn.bO": { fileName: "attn.c_proj.bias", shape: dModel },
  "ln2.gain": { fileName: "ln_2.weight", shape: dModel },
  "ln2.bias": { fileName: "ln_2.bias", shape: dModel },
  "mlp.wIn": { fileName: "mlp.c_fc.weight", shape: (c) => [c.dModel, c.dMlp] },
  "mlp.bIn": { fileName: "mlp.c_fc.bias", shape: (c) => [c.dMlp] },
  "mlp.wOut": { fileName: "mlp.c_proj.weight", shape: (c) => [c.dMlp, c.dModel] },
  "mlp.bOut": { fileName: "mlp.c_proj.bias", shape: dModel },
} as const satisfies Record<string, WeightRow>;

/** The weights that a model has once. */
export const globalWeights = {
  wE: { fileName: "wte.weight", shape: (c) => [c.dVocab, c.dModel] },
  wPos: { fileName: "wpe.weight", shape: (c) => [c.nCtx, c.dModel] },
  "lnF.gain": { fileName: "ln_f.weight", shape: dModel },
  "lnF.bias": { fileName: "ln_f.bias", shape: dModel },
  wU: { fileName: "lm_head.weight", shape: (c) => [c.dVocab, c.dModel] },
} as const satisfies Record<string, WeightRow>;

/** Our name of a weight that each layer has. */
export type LayerWeightName = keyof typeof layerWeights;

/** Our name of a weight that a model has once. */
export type GlobalWeightName = keyof typeof globalWeights;

/** All names of weights that each layer has. */
export const layerWeightNames = Object.keys(layerWeights) as LayerWeightName[];

/** All names of weights that a model has once. */
export const globalWeightNames = Object.keys(globalWeights) as GlobalWeightName[];

/** Which tensor of the checkpoint each weight is. */
export interface WeightTensors {
  /** With a tied unembedding `wU` is the tensor of `wE`. */
  readonly global: Readonly<Record<GlobalWeightName, string>>;
  /** One entry per layer. */
  readonly layers: readonly Readonly<Record<LayerWeightName, string>>[];
}

/** What some exporters put before every name but that of `lm_head.weight`. */
const prefix = "transformer.";

/** Masks that old exporters save beside the weights: they follow from the sizes. */
const maskName = /^h\.\d+\.attn\.(bias|masked_bias)$/;

/** How many names of a kind an error shows. */
const maxShown = 8;

/**
 * Finds every weight in a checkpoint, with or without the prefix `transformer.`.
 *
 * Causal masks are ignored, and so is `lm_head.weight` if the unembedding is
 * tied.
 *
 * @throws {SafetensorsError} naming all tensors that are missing, extra, of the
 * wrong shape, or not of a dtype that can be read.
 */
export function resolveWeights(checkpoint: Checkpoint, config: ModelConfig): WeightTensors {
  const { path, tensors } = checkpoint;
  const used = [...tensors.keys()].some((name) => name.startsWith(prefix)) ? prefix : "";
  const extra = new Set(tensors.keys());
  const missing: string[] = [];
  const misshapen: string[] = [];
  const unreadable: string[] = [];

  const find = (name: string, { shape }: WeightRow): string => {
    const info = tensors.get(name)?.info;
    extra.delete(name);
    const wanted = shape(config);
    if (info === undefined) missing.push(`"${name}"`);
    else if (!isReadable(info.dtype)) unreadable.push(`"${name}" (${info.dtype})`);
    else if (info.shape.join() !== wanted.join()) {
      misshapen.push(
        `"${name}" (current [${info.shape.join(", ")}], wanted [${wanted.join(", ")}])`,
      );
    }
    return name;
  };
  const findGlobal = (name: GlobalWeightName): string => {
    if (name === "wU") {
      return config.tiedUnembedding
        ? used + globalWeights.wE.fileName
        : find(globalWeights.wU.fileName, globalWeights.wU);
    }
    return find(used + globalWeights[name].fileName, globalWeights[name]);
  };

  const global = record(globalWeightNames, findGlobal);
  const layers = Array.from(
    { length: config.nLayers },
    (_, layer) =>
      record(
        layerWeightNames,
        (name) => find(`${used}h.${layer}.${layerWeights[name].fileName}`, layerWeights[name]),
      ),
  );

  if (config.tiedUnembedding) extra.delete(globalWeights.wU.fileName);
  const unknown = [...extra].filter((name) => !maskName.test(name.slice(used.length)));
  const problems = [
    ...listed("missing", missing),
    ...listed("extra", unknown.map((name) => `"${name}"`)),
    ...listed("misshapen", misshapen),
    ...listed("not float", unreadable),
  ];
  if (problems.length > 0) {
    throw new SafetensorsError(`Cannot load weights from "${path}": ${problems.join("; ")}`, {
      path,
    });
  }
  return { global, layers };
}

function record<Name extends string>(
  names: readonly Name[],
  valueOf: (name: Name) => string,
): Record<Name, string> {
  return Object.fromEntries(names.map((name) => [name, valueOf(name)])) as Record<Name, string>;
}

function listed(kind: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const more = names.length > maxShown ? ` (+${names.length - maxShown} more)` : "";
  return [`${kind} tensors are ${names.slice(0, maxShown).join(", ")}${more}`];
}
