/**
 * The weights of a golden model and of its autoencoders in float64, under the names
 * that the files give them.
 *
 * @module
 */

import { readGoldenJson, readGoldenTensors } from "../support/golden.ts";
import { type Ref, ref } from "./ref.ts";

/** Tensors by name. */
export type RefWeights = (name: string) => Ref;

/** An autoencoder: its configuration and the weights of each layer. */
export interface RefAutoencoder {
  readonly name: string;
  readonly dst: "mlp_post_act" | "resid_delta_mlp" | "resid_delta_attn";
  readonly activation: "ReLU" | "TopK" | "Identity";
  readonly k: number;
  readonly layers: ReadonlyMap<number, RefWeights>;
}

/** A GPT-2 model. */
export interface RefModel {
  readonly nLayers: number;
  readonly nHeads: number;
  readonly dModel: number;
  readonly dVocab: number;
  readonly nCtx: number;
  readonly eps: number;
  readonly weights: RefWeights;
}

interface Config {
  readonly n_layer: number;
  readonly n_head: number;
  readonly n_embd: number;
  readonly vocab_size: number;
  readonly n_positions: number;
  readonly layer_norm_epsilon: number;
}

function readWeights(path: string): RefWeights {
  const tensors = readGoldenTensors(path);
  const found = new Map<string, Ref>();
  return (name) => {
    let tensor = found.get(name);
    if (tensor === undefined) {
      const { shape, data } = tensors.get(name)!;
      tensor = ref(shape, data);
      found.set(name, tensor);
    }
    return tensor;
  };
}

/** Reads a golden model: `tiny` or `odd`. */
export function readRefModel(name: string): RefModel {
  const config = readGoldenJson(`models/${name}/config.json`) as Config;
  return {
    nLayers: config.n_layer,
    nHeads: config.n_head,
    dModel: config.n_embd,
    dVocab: config.vocab_size,
    nCtx: config.n_positions,
    eps: config.layer_norm_epsilon,
    weights: readWeights(`models/${name}/model.safetensors`),
  };
}

/** Reads an autoencoder of a golden model, in some or (`null`) all of its layers. */
export function readRefAutoencoder(
  model: string,
  { name, layers = null }: { name: string; layers?: readonly number[] | null },
): RefAutoencoder {
  const folder = `models/${model}/autoencoders/${name}`;
  const config = readGoldenJson(`${folder}/config.json`) as
    & Pick<RefAutoencoder, "dst" | "activation">
    & { k?: number; layers: number[] };
  return {
    name,
    dst: config.dst,
    activation: config.activation,
    k: config.k ?? 0,
    layers: new Map(
      (layers ?? config.layers).map((
        layer,
      ) => [layer, readWeights(`${folder}/${layer}.safetensors`)]),
    ),
  };
}
