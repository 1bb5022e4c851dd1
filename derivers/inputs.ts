/**
 * What rules compute from: activations, gradients, directions in the residual
 * stream. Each input knows which slots it needs before anything runs, so that the
 * plan keeps those and nothing else.
 *
 * @module
 */

import { autoencoderSites } from "../engine/model/autoencoder.ts";
import type { LocationName, PassType } from "../engine/tape/locations.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import {
  type AutoencoderChoice,
  type AutoencoderFacts,
  chooseAutoencoder,
} from "./choose_autoencoder.ts";
import { type Asked, layerOf, type Site, type SlotRef, slotRef, type Where } from "./site.ts";

/** One input of a rule. */
export interface Input {
  /** Shown in the documentation. */
  readonly label: string;
  /** Whether it needs a backward pass. */
  readonly usesGradient: boolean;
  /** The slots it is computed from; throws if it makes no sense for what was asked. */
  needs(where: Where): readonly SlotRef[];
  /** The value, of one sequence. */
  value(site: Site): Tensor;
}

function slotInput(
  label: string,
  pass: PassType,
  slotOf: (where: Where) => { location: LocationName; layer: number | null },
): Input {
  const ref = (where: Where) => {
    const { location, layer } = slotOf(where);
    return slotRef(location, layer, pass);
  };
  return {
    label: pass === "forward" ? label : `gradient of ${label}`,
    usesGradient: pass === "backward",
    needs: (where) => [ref(where)],
    value: (site) => site.run.activation(ref(site)),
  };
}

/** An activation of the scalar's own layer. */
export function fwd(location: LocationName): Input {
  return slotInput(location, "forward", ({ layer }) => ({ location, layer }));
}

/** The objective's gradient with respect to an activation of the scalar's own layer. */
export function bwd(location: LocationName): Input {
  return slotInput(location, "backward", ({ layer }) => ({ location, layer }));
}

/** The residual stream at the end of the layer before; the embedding before layer 0. */
export function previousResid(pass: PassType): Input {
  return slotInput("resid.post_mlp of the layer before", pass, (where) => {
    const layer = layerOf(where);
    return layer === 0
      ? { location: "resid.post_emb", layer: null }
      : { location: "resid.post_mlp", layer: layer - 1 };
  });
}

/** The autoencoder that a scalar means. */
export type AutoencoderOf = (asked: Asked) => AutoencoderFacts;

/** The autoencoder chosen by what the scalar's name says. */
export function autoencoderNamed(choice: AutoencoderChoice): AutoencoderOf {
  return ({ dst, facts }) => chooseAutoencoder(choice, facts.autoencoders, { asked: dst });
}

/** Latents, or the error, of an autoencoder spliced into the run. */
export function online(
  autoencoderOf: AutoencoderOf,
  { which, pass }: { which: "latent" | "error"; pass: PassType },
): Input {
  return slotInput(`online ${which}`, pass, (where) => ({
    location: autoencoderSites[autoencoderOf(where).dst][which],
    layer: where.layer,
  }));
}

/** What an autoencoder reads, in the scalar's own layer. */
export function autoencoderInput(autoencoderOf: AutoencoderOf): Input {
  return slotInput("the autoencoder's input", "forward", (where) => ({
    location: autoencoderSites[autoencoderOf(where).dst].location,
    layer: where.layer,
  }));
}
