/**
 * What the checks of a request must know of the model, the autoencoders and the
 * sequence: sizes only, so that they need no GPU.
 *
 * @module
 */

import type { ModelConfig } from "../engine/model/config.ts";
import { type DimName, type LocationName, locations } from "../engine/tape/locations.ts";
import { type AutoencoderFacts, autoencoderForLocation } from "./choose_autoencoder.ts";
import type { ScalarDimName } from "./nodes.ts";

/** Sizes of the model. */
export type ModelFacts = Pick<
  ModelConfig,
  "nLayers" | "nHeads" | "dModel" | "dHead" | "dMlp" | "dVocab" | "nCtx"
>;

/** Sizes of the model and of one sequence. */
export interface SequenceFacts extends ModelFacts {
  /** Tokens of the sequence, `T`. */
  readonly nTokens: number;
  /** At most one on the MLP and one on attention. */
  readonly autoencoders: readonly AutoencoderFacts[];
}

/**
 * The size of each dimension, in order.
 *
 * @param options `nLatents`: needed where `autoencoder_latents` is among them.
 */
export function shapeOf(
  dims: readonly ScalarDimName[],
  facts: SequenceFacts,
  { nLatents }: { nLatents?: number | undefined } = {},
): number[] {
  return dims.map((dim) => {
    if (dim === "sequence_token_pairs") return facts.nTokens * (facts.nTokens + 1) / 2;
    if (dim !== "autoencoder_latents") return sizeOfDim(dim, facts);
    if (nLatents === undefined) throw new TypeError("Internal error: number of latents not given");
    return nLatents;
  });
}

function sizeOfDim(dim: Exclude<DimName, "autoencoder_latents">, facts: SequenceFacts): number {
  switch (dim) {
    case "sequence_tokens":
    case "attended_to_sequence_tokens":
      return facts.nTokens;
    case "attn_heads":
      return facts.nHeads;
    case "query_and_key_channels":
    case "value_channels":
      return facts.dHead;
    case "residual_stream_channels":
      return facts.dModel;
    case "mlp_acts":
      return facts.dMlp;
    case "vocab_size":
      return facts.dVocab;
    case "singleton":
      return 1;
  }
}

/**
 * The shape of one sequence's activation, without the batch.
 *
 * @throws {RequestError} if the location needs an autoencoder that is not there.
 */
export function shapeOfLocation(location: LocationName, facts: SequenceFacts): number[] {
  const autoencoder = autoencoderForLocation(location, facts.autoencoders);
  return shapeOf(locations[location].dims, facts, { nLatents: autoencoder?.nLatents });
}

/**
 * The layers in which a location exists, `null` for one without layers.
 *
 * @throws {RequestError} if the location needs an autoencoder that is not there.
 */
export function layersOfLocation(
  location: LocationName,
  facts: Pick<SequenceFacts, "nLayers" | "autoencoders">,
): number[] | null {
  if (!locations[location].perLayer) return null;
  const autoencoder = autoencoderForLocation(location, facts.autoencoders);
  return autoencoder === null
    ? Array.from({ length: facts.nLayers }, (_, layer) => layer)
    : [...autoencoder.layers];
}
