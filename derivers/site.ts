/**
 * What a rule sees: one scalar of one sequence in one layer.
 *
 * @module
 */

import type { Autoencoder, AutoencoderWeights } from "../engine/model/autoencoder.ts";
import type { Model } from "../engine/model/model.ts";
import type { LayerWeights } from "../engine/model/transformer.ts";
import { type LocationName, locations, type PassType } from "../engine/tape/locations.ts";
import type { Context } from "../engine/tape/op.ts";
import type { Packing } from "../engine/tape/packing.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import type { AutoencoderFacts } from "./choose_autoencoder.ts";
import type { SequenceFacts } from "./facts.ts";
import type { ResolvedDstConfig } from "./request.ts";

/** A scalar, before anything runs. */
export interface Asked {
  /** The scalar's name. */
  readonly dst: string;
  /** With nothing left out. */
  readonly config: ResolvedDstConfig;
  /** Sizes of the model and of the sequence. */
  readonly facts: SequenceFacts;
}

/** A scalar in one layer, before anything runs. */
export interface Where extends Asked {
  /** `null` for a scalar without layers. */
  readonly layer: number | null;
}

/** One activation, or its gradient, in one layer. */
export interface SlotRef {
  /** Where. */
  readonly location: LocationName;
  /** `null` at a location without layers. */
  readonly layer: number | null;
  /** The activation or its gradient. */
  readonly pass: PassType;
}

/** A location's slot in a layer, without the layer if it has none. */
export function slotRef(location: LocationName, layer: number | null, pass: PassType): SlotRef {
  return { location, layer: locations[location].perLayer ? layer : null, pass };
}

/** The activations of one sequence of a run, and what was computed from them. */
export interface SequenceRun {
  /** The model that was run. */
  readonly model: Model;
  /** Sizes of the model and of the sequence. */
  readonly facts: SequenceFacts;
  /** For further ops, whose results the run owns. */
  readonly cx: Context;
  /** Of this sequence alone. */
  readonly packing: Packing;
  /** The one token at which the final residual has a gradient; `null` if there may be others. */
  readonly tokenOfLoss: number | null;
  /**
   * An activation or gradient in the location's own shape; zeros where the
   * objective does not depend on it.
   *
   * @throws {RequestError} if the run did not keep it.
   */
  activation(slot: SlotRef): Tensor;
  /** The loaded autoencoder of these facts. */
  autoencoder(facts: AutoencoderFacts): Autoencoder;
  /** Computes something once for the whole run. */
  once(key: string, make: () => Tensor): Tensor;
}

/** A scalar in one layer, of a run. */
export interface Site extends Where {
  /** What was kept. */
  readonly run: SequenceRun;
  /** For ops. */
  readonly cx: Context;
}

/** The weights of the site's layer. */
export function layerWeights({ run, layer }: Site): LayerWeights {
  return run.model.weights.layers[layer!]!;
}

/** The weights of an autoencoder in the site's layer. */
export function autoencoderWeights(
  { run, layer }: Site,
  facts: AutoencoderFacts,
): AutoencoderWeights {
  return run.autoencoder(facts).layers.get(layer!)!;
}

/** The site's layer; a layerless scalar has none. */
export function layerOf({ dst, layer }: Where): number {
  if (layer === null) throw new TypeError(`Internal error: "${dst}" has no layer`);
  return layer;
}
