/**
 * Sparse autoencoders: loading, encoding and decoding, and splicing one into the
 * forward pass.
 *
 * encode(x) = act((x − pre_bias) W_encᵀ + latent_bias), decode(z) = z W_decᵀ + pre_bias.
 *
 * @module
 */

import { z } from "zod";
import { add, relu, sub } from "../tape/ops/elementwise.ts";
import { linear } from "../tape/ops/linear.ts";
import { reshape } from "../tape/ops/slice.ts";
import { topK } from "../tape/ops/top_k.ts";
import type { LocationName } from "../tape/locations.ts";
import type { Context } from "../tape/op.ts";
import type { Slots } from "../tape/slots.ts";
import type { Arena, Tensor } from "../tape/tensor.ts";
import type { ModelConfig } from "./config.ts";
import { openSafetensors } from "./safetensors.ts";
import { readJson, type SourceFolder } from "./source.ts";
import { chunkMemory, uploadTensor } from "./weights.ts";
import { RequestError, SafetensorsError } from "../errors.ts";

/** What an autoencoder can read, and the slots it brings. */
export const autoencoderSites = {
  mlp_post_act: {
    location: "mlp.post_act",
    latent: "online_mlp_autoencoder_latent",
    error: "online_mlp_autoencoder_error",
    width: "dMlp",
  },
  resid_delta_mlp: {
    location: "resid.delta_mlp",
    latent: "online_mlp_autoencoder_latent",
    error: "online_residual_mlp_autoencoder_error",
    width: "dModel",
  },
  resid_delta_attn: {
    location: "resid.delta_attn",
    latent: "online_attention_autoencoder_latent",
    error: "online_residual_attention_autoencoder_error",
    width: "dModel",
  },
} as const satisfies Record<string, {
  location: LocationName;
  latent: LocationName;
  error: LocationName;
  width: "dMlp" | "dModel";
}>;

/** Name of what an autoencoder reads, as `dst` of its configuration says it. */
export type AutoencoderSite = keyof typeof autoencoderSites;

/** Weights of an autoencoder in one layer. */
export interface AutoencoderWeights {
  /** [n_in]. */
  readonly preBias: Tensor;
  /** [M, n_in]. */
  readonly wEnc: Tensor;
  /** [M]. */
  readonly latentBias: Tensor;
  /** [n_in, M]. */
  readonly wDec: Tensor;
}

/** The function from pre-activations to latents. */
export type LatentActivation =
  | { readonly name: "ReLU" | "Identity" }
  | { readonly name: "TopK"; readonly k: number };

/** A sparse autoencoder. */
export interface Autoencoder {
  /** As its configuration says. */
  readonly name: string;
  /** What it reads, as its configuration says it. */
  readonly site: AutoencoderSite;
  /** The activation it reads. */
  readonly input: LocationName;
  /** M. */
  readonly nLatents: number;
  /** Width of what it reads. */
  readonly nInputs: number;
  /** From pre-activations to latents. */
  readonly activation: LatentActivation;
  /** Its weights, in the layers it has. */
  readonly layers: ReadonlyMap<number, AutoencoderWeights>;
}

const configSchema = z.looseObject({
  name: z.string(),
  dst: z.enum(Object.keys(autoencoderSites) as AutoencoderSite[]),
  n_latents: z.int().positive(),
  n_inputs: z.int().positive(),
  activation: z.enum(["ReLU", "TopK", "Identity"]),
  k: z.int().positive().nullish(),
  postact_fn: z.literal("ReLU").nullish(),
  layers: z.array(z.int().min(0)),
}).refine(({ activation, k }) => activation !== "TopK" || k != null, {
  path: ["k"],
  error: 'must be given with the activation "TopK"',
});

/**
 * Loads an autoencoder from a folder with `config.json` and one
 * `LAYER.safetensors` for each layer.
 *
 * @param options `layers`: only these; `null` for all that it has.
 * @throws {TypeError} if its configuration is wrong or does not fit the model.
 * @throws {RangeError} if it has no such layer.
 * @throws {SafetensorsError} if a weight is missing or misshapen.
 */
export async function loadAutoencoder(
  arena: Arena,
  folder: SourceFolder,
  { config, layers = null }: { config: ModelConfig; layers?: readonly number[] | null },
): Promise<Autoencoder> {
  const source = await folder.open("config.json");
  if (source === undefined) {
    throw new TypeError(`Cannot load autoencoder "${folder.name}": it must have "config.json"`);
  }
  const parsed = configSchema.safeParse(await readJson(source));
  if (!parsed.success) {
    throw new TypeError(
      `Cannot load autoencoder "${folder.name}": ${z.prettifyError(parsed.error)}`,
    );
  }
  const { name, dst, n_latents: nLatents, n_inputs: nInputs, activation, k } = parsed.data;
  const site = autoencoderSites[dst];
  if (nInputs !== config[site.width]) {
    throw new TypeError(
      `Cannot load autoencoder "${name}" as its n_inputs must be ${config[site.width]}, the ` +
        `width of "${dst}" in this model: current n_inputs is ${nInputs}`,
    );
  }
  const missing = (layers ?? parsed.data.layers).filter((layer) =>
    !parsed.data.layers.includes(layer) || layer >= config.nLayers
  );
  if (missing.length > 0) {
    throw new RangeError(
      `Cannot load autoencoder "${name}" in layer ${missing.join(", ")}: it has layers ` +
        `${parsed.data.layers.join(", ")} and the model has ${config.nLayers}`,
    );
  }
  const loaded = new Map<number, AutoencoderWeights>();
  for (const layer of (layers ?? parsed.data.layers).toSorted((a, b) => a - b)) {
    loaded.set(layer, await loadLayer(arena, folder, { layer, nLatents, nInputs }));
  }
  return {
    name,
    site: dst,
    input: site.location,
    nLatents,
    nInputs,
    activation: activation === "TopK" ? { name: "TopK", k: k! } : { name: activation },
    layers: loaded,
  };
}

/**
 * The same autoencoder in fewer layers.
 *
 * @throws {RequestError} if it does not have one of them.
 */
export function restrictLayers(
  autoencoder: Autoencoder,
  layers: readonly number[] | null,
): Autoencoder {
  if (layers === null) return autoencoder;
  const missing = layers.filter((layer) => !autoencoder.layers.has(layer));
  if (missing.length > 0) {
    throw new RequestError(
      "no_such_autoencoder",
      `Cannot use autoencoder "${autoencoder.name}" in layer ${missing.join(", ")}: it has ` +
        `layers ${[...autoencoder.layers.keys()].join(", ")}`,
    );
  }
  const kept = [...autoencoder.layers].filter(([layer]) => layers.includes(layer));
  return { ...autoencoder, layers: new Map(kept) };
}

async function loadLayer(
  arena: Arena,
  folder: SourceFolder,
  { layer, nLatents, nInputs }: { layer: number; nLatents: number; nInputs: number },
): Promise<AutoencoderWeights> {
  const source = await folder.open(`${layer}.safetensors`);
  if (source === undefined) {
    throw new TypeError(
      `Cannot load autoencoder "${folder.name}": it must have "${layer}.safetensors"`,
    );
  }
  const file = await openSafetensors(source);
  const chunk = chunkMemory();
  const load = async (name: string, shape: readonly number[]) => {
    const info = file.tensors.get(name);
    if (info === undefined || info.shape.join() !== shape.join()) {
      throw new SafetensorsError(
        `Cannot load autoencoder from "${file.path}" as "${name}" must be [${shape.join(", ")}]: ` +
          (info === undefined ? "it is missing" : `current shape is [${info.shape.join(", ")}]`),
        { path: file.path, tensor: name },
      );
    }
    return await uploadTensor(arena, { file, info }, { name, chunk });
  };
  return {
    preBias: await load("pre_bias", [nInputs]),
    wEnc: await load("encoder.weight", [nLatents, nInputs]),
    latentBias: await load("latent_bias", [nLatents]),
    wDec: await load("decoder.weight", [nInputs, nLatents]),
  };
}

/** Pre-activations of the latents, or of some: [N, n_in] to [N, M]. */
export function latentPreActivation(
  cx: Context,
  x: Tensor,
  { preBias, wEnc, latentBias }: AutoencoderWeights,
  columns: { readonly start: number; readonly count: number } = { start: 0, count: wEnc.rows },
): Tensor {
  const centred = sub(cx, x, preBias, { broadcast: "perColumn" });
  return linear(cx, centred, { w: wEnc, bias: latentBias, transposed: true, columns });
}

/** Latents: [N, n_in] to [N, M]. */
export function encode(
  cx: Context,
  x: Tensor,
  { activation, weights }: { activation: LatentActivation; weights: AutoencoderWeights },
): Tensor {
  return activate(cx, latentPreActivation(cx, x, weights), activation);
}

/** The activation function of the latents. */
export function activate(cx: Context, pre: Tensor, activation: LatentActivation): Tensor {
  switch (activation.name) {
    case "ReLU":
      return relu(cx, pre);
    case "TopK":
      return topK(cx, pre, activation.k);
    case "Identity":
      return pre;
  }
}

/** The reconstruction: [N, M] to [N, n_in]. */
export function decode(cx: Context, z: Tensor, { wDec, preBias }: AutoencoderWeights): Tensor {
  return linear(cx, z, { w: wDec, bias: preBias, transposed: true });
}

/**
 * Puts an autoencoder where its input is: z = encode(x), the slot of the latents,
 * the slot of the error x − decode(z), and decode(latents) + error in the place of
 * x. Replacing latents leaves the error as it was.
 */
export function splice(
  cx: Context,
  x: Tensor,
  { autoencoder, weights, visit, layer, only }: {
    autoencoder: Autoencoder;
    weights: AutoencoderWeights;
    visit: Slots;
    layer: number;
    only: boolean;
  },
): Tensor {
  const { latent, error } = autoencoderSites[autoencoder.site];
  const z = encode(cx, x, { activation: autoencoder.activation, weights });
  const names: LocationName[] = only ? [latent, "online_autoencoder_latent"] : [latent];
  const latents = visit.visit(cx, reshape(cx, z, z.shape), { names, layer });
  const residue = sub(cx, x, decode(cx, z, weights));
  const kept = visit.visit(cx, residue, { names: [error], layer });
  return add(cx, decode(cx, latents, weights), kept);
}
