/**
 * Random requests for the golden models: any objective, autoencoders in some of the
 * layers, ablations anywhere, all seeded. Everything in them makes sense.
 *
 * @module
 */

import type {
  AblationSpec,
  DstRequest,
  LossFnConfig,
  TraceConfig,
} from "../../derivers/request.ts";
import { scalarNames } from "../../derivers/table.ts";
import { type LocationName, locationNames, locations } from "../../engine/tape/locations.ts";
import {
  readRefAutoencoder,
  readRefModel,
  type RefAutoencoder,
  type RefModel,
} from "../reference/model_weights.ts";
import type { Random } from "../support/random.ts";

/** A golden model, with its sizes and its float64 weights. */
export interface RandomModel {
  readonly name: "tiny" | "odd";
  readonly ref: RefModel;
  readonly dMlp: number;
}

/** One sequence of a request. */
export interface RandomSequence {
  readonly tokens: number[];
  readonly lossFnConfig: LossFnConfig | null;
  readonly traceConfig: TraceConfig | null;
  readonly ablationSpecs: AblationSpec[];
  readonly saveActivations: {
    activationLocationType: LocationName;
    passType: "forward" | "backward";
  }[];
}

/** Loads the sizes and the weights of a golden model. */
export function randomModel(name: "tiny" | "odd"): RandomModel {
  const ref = readRefModel(name);
  return { name, ref, dMlp: ref.weights("h.0.mlp.c_fc.bias").data.length };
}

const mlpSites = ["ae_mlp_post_act", "ae_mlp_post_act_topk", "ae_resid_delta_mlp"];
const attentionSites = ["ae_resid_delta_attn", "ae_resid_delta_attn_topk"];

function oneOf<T>(random: Random, values: readonly T[]): T {
  return values[random.integer(values.length)]!;
}

const chance = (random: Random, probability: number) => random.uniform() < probability;

/** None, one or two autoencoders, each in all or some of the layers. */
export function randomAutoencoders(random: Random, model: RandomModel): RefAutoencoder[] {
  const names = [
    ...chance(random, 0.5) ? [oneOf(random, mlpSites)] : [],
    ...chance(random, 0.5) ? [oneOf(random, attentionSites)] : [],
  ];
  return names.map((name) => {
    const all = Array.from({ length: model.ref.nLayers }, (_, layer) => layer);
    const layers = all.filter(() => chance(random, 0.6));
    return readRefAutoencoder(model.name, { name, layers: layers.length === 0 ? null : layers });
  });
}

/** A loss with one to three targets, which may be the same. */
export function randomLoss(random: Random, { ref }: RandomModel): LossFnConfig {
  const tokens = () =>
    Array.from({ length: 1 + random.integer(3) }, () => `<${random.integer(ref.dVocab)}>`);
  const name = oneOf(random, ["logit_diff", "logit_minus_mean", "probs"] as const);
  const distractors = name === "logit_diff" && chance(random, 0.5);
  return { name, targetTokens: tokens(), ...(distractors && { distractorTokens: tokens() }) };
}

interface Facts {
  readonly model: RandomModel;
  readonly autoencoders: readonly RefAutoencoder[];
  readonly nTokens: number;
}

/** A node of any kind that exists; not a V trace. */
export function randomTrace(random: Random, facts: Facts): TraceConfig {
  const { model: { ref, dMlp }, autoencoders, nTokens } = facts;
  const token = () => chance(random, 0.2) ? -1 : random.integer(nTokens);
  const kinds = ["attention_head", "mlp_neuron", ...autoencoders.map(({ name }) => name)];
  const kind = oneOf(random, kinds);
  const config = {
    preOrPostAct: oneOf(random, ["pre", "post"] as const),
    detachLayerNormScale: chance(random, 0.5),
  };
  const passType = "forward" as const;
  const autoencoder = autoencoders.find(({ name }) => name === kind);
  if (autoencoder !== undefined) {
    const layerIndex = oneOf(random, [...autoencoder.layers.keys()]);
    const nLatents = autoencoder.layers.get(layerIndex)!("latent_bias").data.length;
    const own = autoencoder.dst === "resid_delta_attn"
      ? "attention_autoencoder_latent" as const
      : "mlp_autoencoder_latent" as const;
    const nodeType = autoencoders.length === 1 && chance(random, 0.5)
      ? "autoencoder_latent" as const
      : own;
    const tensorIndices = [token(), random.integer(nLatents)];
    return { ...config, nodeIndex: { nodeType, layerIndex, tensorIndices, passType } };
  }
  const layerIndex = random.integer(ref.nLayers);
  if (kind === "mlp_neuron") {
    const tensorIndices = [token(), random.integer(dMlp)];
    return { ...config, nodeIndex: { nodeType: kind, layerIndex, tensorIndices, passType } };
  }
  const q = random.integer(nTokens);
  const tensorIndices = [q, random.integer(q + 1), random.integer(ref.nHeads)];
  return {
    ...config,
    nodeIndex: { nodeType: "attention_head", layerIndex, tensorIndices, passType },
    attentionTraceType: oneOf(random, ["Q", "K", "QK"] as const),
  };
}

/** The value of a head, towards a node downstream, or towards the loss (`null`). */
export function randomValueTrace(
  random: Random,
  facts: Facts & { towards: TraceConfig | null },
): TraceConfig {
  const { model: { ref }, nTokens, towards } = facts;
  const q = nTokens - 1 - (chance(random, 0.5) ? 0 : random.integer(nTokens));
  return {
    nodeIndex: {
      nodeType: "attention_head",
      layerIndex: random.integer(towards?.nodeIndex.layerIndex || ref.nLayers),
      tensorIndices: [q, chance(random, 0.3) ? q : random.integer(q + 1), oneOf(random, [0, -1])],
      passType: "forward",
    },
    preOrPostAct: "post",
    detachLayerNormScale: chance(random, 0.5),
    attentionTraceType: "V",
    ...(towards && { downstreamTraceConfig: towards }),
  };
}

/** Every location that exists in a run. */
export function existingLocations(autoencoders: readonly RefAutoencoder[]): LocationName[] {
  const there = new Set<string>(autoencoders.length === 1 ? ["online_autoencoder_latent"] : []);
  for (const { dst } of autoencoders) {
    const kind = dst === "resid_delta_attn" ? "attention" : "mlp";
    const residual = dst === "mlp_post_act" ? "" : "residual_";
    there.add(`online_${kind}_autoencoder_latent`);
    there.add(`online_${residual}${kind}_autoencoder_error`);
  }
  return locationNames.filter((name) => !name.includes("autoencoder") || there.has(name));
}

/** An ablation of anything, at single entries or whole slices. */
export function randomAblation(random: Random, facts: Facts): AblationSpec {
  const { model: { ref, dMlp }, autoencoders, nTokens } = facts;
  const location = oneOf(random, existingLocations(autoencoders));
  const { dims, perLayer } = locations[location];
  const online = autoencoders.find(({ dst }) =>
    !location.includes("autoencoder") || autoencoders.length === 1 ||
    (dst === "resid_delta_attn") === location.includes("attention")
  );
  const layers = location.includes("autoencoder")
    ? [...online!.layers.keys()]
    : Array.from({ length: ref.nLayers }, (_, layer) => layer);
  const sizes: Record<(typeof dims)[number], number> = {
    sequence_tokens: nTokens,
    attended_to_sequence_tokens: nTokens,
    attn_heads: ref.nHeads,
    query_and_key_channels: ref.dModel / ref.nHeads,
    value_channels: ref.dModel / ref.nHeads,
    residual_stream_channels: ref.dModel,
    mlp_acts: dMlp,
    vocab_size: ref.dVocab,
    autoencoder_latents: online?.layers.get(layers[0]!)?.("latent_bias").data.length ?? 0,
    singleton: 1,
  };
  const width = dims.at(-1)!;
  // A row of equal residuals has a layer norm scale near 0, and everything after it no accuracy.
  const rowsMatter = width === "residual_stream_channels";
  const tensorIndices = dims.map((dim) => {
    const size = sizes[dim];
    if (chance(random, 0.3) && !(rowsMatter && dim === width)) return "All" as const;
    return chance(random, 0.3) ? -1 - random.integer(size) : random.integer(size);
  });
  const scale = location.endsWith(".scale");
  return {
    index: {
      activationLocationType: location,
      passType: chance(random, 0.3) ? "backward" : "forward",
      tensorIndices,
      layerIndex: perLayer && chance(random, 0.7) ? oneOf(random, layers) : null,
    },
    value: scale ? random.uniform(0.5, 2) : oneOf(random, [0, random.uniform(-1, 1)]),
  };
}

/** A sequence with an objective of any kind, or none; every activation and gradient is kept. */
export function randomSequence(
  random: Random,
  { model, autoencoders, longest = 7 }: Pick<Facts, "model" | "autoencoders"> & {
    longest?: number;
  },
): RandomSequence {
  const nTokens = 1 + random.integer(longest);
  const facts = { model, autoencoders, nTokens };
  const few = chance(random, 0.3) ? 2 : model.ref.dVocab; // few of them repeat
  const tokens = Array.from({ length: nTokens }, () => random.integer(few));
  const kind = oneOf(random, ["none", "loss", "loss", "trace", "trace", "V", "V downstream"]);
  const lossFnConfig = kind === "loss" || kind === "V" || chance(random, 0.3)
    ? randomLoss(random, model)
    : null;
  let traceConfig: TraceConfig | null = null;
  if (kind === "trace") traceConfig = randomTrace(random, facts);
  if (kind === "V") traceConfig = randomValueTrace(random, { ...facts, towards: null });
  if (kind === "V downstream") {
    const towards = randomTrace(random, facts);
    traceConfig = randomValueTrace(random, { ...facts, towards });
  }
  const hasObjective = lossFnConfig !== null || traceConfig !== null;
  const ablationSpecs = Array.from(
    { length: random.integer(4) },
    () => randomAblation(random, facts),
  );
  const existing = existingLocations(autoencoders);
  const passes = hasObjective ? ["forward", "backward"] as const : ["forward"] as const;
  return {
    tokens,
    lossFnConfig,
    traceConfig,
    ablationSpecs,
    saveActivations: existing.flatMap((activationLocationType) =>
      passes.map((passType) => ({ activationLocationType, passType }))
    ),
  };
}

/** Some scalars, with a direction, an edge and layers; a few of them make no sense. */
export function randomScalars(random: Random, facts: Facts): DstRequest[] {
  const layers = Array.from({ length: facts.model.ref.nLayers }, (_, layer) => layer);
  return scalarNames.filter(() => chance(random, 0.3)).map((dst) => {
    const edge = dst.includes("edge") || dst.includes("single_");
    const latent = dst.includes("to_latent") || dst.includes("latent_grad");
    const { nodeIndex } = randomTrace(random, facts);
    const downstream = !dst.includes("in_edge") && !dst.startsWith("single_node");
    const isHead = nodeIndex.nodeType === "attention_head" && downstream;
    const qKOrV = oneOf(random, ["attn.q", "attn.k", "attn.v"] as const);
    const only = chance(random, 0.3) ? [oneOf(random, layers)] : null;
    const allTokens = { ...nodeIndex, tensorIndices: [null, nodeIndex.tensorIndices.at(-1)!] };
    return {
      dst,
      config: {
        ...(chance(random, 0.5) && { layerIndices: only }),
        ...(latent && {
          traceConfig: { ...randomTrace(random, facts), nodeIndex: allTokens },
          layerIndices: [nodeIndex.layerIndex!],
        }),
        ...(dst.includes("final_activation") && { traceConfig: randomTrace(random, facts) }),
        ...(edge && {
          nodeIndexForAttribution: { ...nodeIndex, ...(isHead && { qKOrV }) },
          detachLayerNormScaleForAttribution: chance(random, 0.5),
        }),
        ...(dst === "vocab_token_write_to_input_direction" && {
          activationIndexForFakeGrad: {
            activationLocationType: "mlp.post_act" as const,
            passType: "forward" as const,
            layerIndex: oneOf(random, layers),
            tensorIndices: ["All" as const, random.integer(facts.model.dMlp)],
          },
        }),
      },
    };
  });
}
