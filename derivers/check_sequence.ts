/**
 * Whether the tokens, the loss and the ablations of a sequence make sense.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import { isToken } from "../engine/model/check_tokens.ts";
import { type LocationName, locations, type PassType } from "../engine/tape/locations.ts";
import { autoencoderForLocation, canonicalLocation } from "./choose_autoencoder.ts";
import { layersOfLocation, type SequenceFacts, shapeOfLocation } from "./facts.ts";
import { type Region, regionOf } from "./regions.ts";
import type { AblationSpec, LossFnConfig } from "./request.ts";

/**
 * Checks that a loss has the tokens that it needs and no others.
 *
 * @throws {RequestError} `target_tokens_missing` or `distractor_tokens_not_allowed`.
 */
export function checkLoss({ name, targetTokens, distractorTokens }: LossFnConfig): void {
  if (name === "zero") return;
  if (targetTokens == null || targetTokens.length === 0) {
    throw new RequestError(
      "target_tokens_missing",
      `Cannot compute loss "${name}" without targetTokens: ` +
        `current value is ${JSON.stringify(targetTokens ?? null)}, at least one is needed`,
    );
  }
  if (name !== "logit_diff" && distractorTokens != null) {
    throw new RequestError(
      "distractor_tokens_not_allowed",
      `Cannot compute loss "${name}" with distractorTokens: ` +
        `current value is ${JSON.stringify(distractorTokens)}, it must be null or left out`,
    );
  }
}

/** The tokens of a loss; repeated ones count repeatedly. */
export interface LossTokens {
  /** Those that the loss is for. */
  readonly targets: readonly number[];
  /** Those that it is against. */
  readonly distractors: readonly number[];
}

/**
 * The tokens of a loss, after {@linkcode checkLoss}.
 *
 * @param options `encode`: the tokenizer's; `dVocab`: tokens that the model knows.
 * @throws {RequestError} as {@linkcode checkLoss}, or `not_one_token` naming the
 * string and the tokens it is made of.
 */
export function tokensOfLoss(
  config: LossFnConfig,
  { encode, dVocab }: { encode: (text: string) => readonly number[]; dVocab: number },
): LossTokens {
  checkLoss(config);
  if (config.name === "zero") return { targets: [], distractors: [] };
  const encodeOne = (field: string) => (text: string) => {
    const tokens = encode(text);
    const [token] = tokens;
    if (tokens.length === 1 && token !== undefined && isToken(token, dVocab)) return token;
    throw new RequestError(
      "not_one_token",
      `Cannot use "${text}" in ${field}: it is tokens [${tokens.join(", ")}], ` +
        `it must be one token from 0 to ${dVocab - 1}`,
    );
  };
  return {
    targets: (config.targetTokens ?? []).map(encodeOne("targetTokens")),
    distractors: (config.distractorTokens ?? []).map(encodeOne("distractorTokens")),
  };
}

/** An ablation of one sequence, with everything about where spelt out. */
export interface ResolvedAblation {
  /** Latents under the name of their place, never `online_autoencoder_latent`. */
  readonly location: Exclude<LocationName, "online_autoencoder_latent">;
  /** Whether the activation or its gradient is overwritten. */
  readonly passType: PassType;
  /** The layers it applies to, `null` for a location without layers. */
  readonly layers: readonly number[] | null;
  /** The block it overwrites, of the sequence's own activation. */
  readonly region: Region;
  /** What is written there. */
  readonly value: number;
}

/**
 * Checks an ablation and says what it overwrites. Without a layer it applies to
 * every layer in which the location exists.
 *
 * @throws {RequestError} `no_such_autoencoder` or `generic_name_with_two_autoencoders`
 * naming the location, `no_such_layer` naming the layer, `wrong_number_of_indices`
 * naming the location, or `index_out_of_range` naming the index.
 */
export function checkAblation(
  { index, value }: AblationSpec,
  facts: SequenceFacts,
): ResolvedAblation {
  const { activationLocationType: name, layerIndex, passType, tensorIndices } = index;
  const layers = checkLayerOfLocation(name, layerIndex, facts);
  const { dims } = locations[name];
  return {
    location: canonicalLocation(name, facts.autoencoders),
    passType,
    layers,
    region: regionOf(tensorIndices, shapeOfLocation(name, facts), { name, dims }),
    value,
  };
}

function checkLayerOfLocation(
  name: LocationName,
  layer: number | null,
  facts: SequenceFacts,
): number[] | null {
  const layers = layersOfLocation(name, facts);
  if (layer === null) return layers;
  if (layers === null) {
    throw new RequestError(
      "no_such_layer",
      `Cannot ablate "${name}" in layer ${layer}: it has no layers, so layerIndex must be null`,
    );
  }
  if (layer < 0 || layer >= facts.nLayers) {
    throw new RequestError(
      "no_such_layer",
      `Cannot ablate "${name}" in layer ${layer}: layers must be from 0 to ${facts.nLayers - 1}`,
    );
  }
  autoencoderForLocation(name, facts.autoencoders, { layers: [layer] });
  return [layer];
}
