/**
 * Which autoencoder a node type, an activation location or a scalar means.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import { autoencoderSites } from "../engine/model/autoencoder.ts";
import type { LocationName } from "../engine/tape/locations.ts";
import { type AutoencoderInput, autoencoderInputs, type NodeType, nodeTypes } from "./nodes.ts";

/** What is to be known of a loaded autoencoder. */
export interface AutoencoderFacts {
  /** Name of its folder. */
  readonly name: string;
  /** The activation that it reads. */
  readonly dst: AutoencoderInput;
  /** The layers in which it runs, ascending. */
  readonly layers: readonly number[];
  /** Latents of one layer. */
  readonly nLatents: number;
  /** Channels of the activation that it reads. */
  readonly nInputs: number;
}

/**
 * Which autoencoder is meant: `only` is the single one, whatever it reads; `mlp`
 * and `attention` the one of that place; an input the one that reads just that.
 */
export type AutoencoderChoice = "only" | "mlp" | "attention" | AutoencoderInput;

const inputsOf: Readonly<Record<AutoencoderChoice, readonly AutoencoderInput[]>> = {
  only: ["mlp_post_act", "resid_delta_mlp", "resid_delta_attn"],
  mlp: ["mlp_post_act", "resid_delta_mlp"],
  attention: ["resid_delta_attn"],
  mlp_post_act: ["mlp_post_act"],
  resid_delta_mlp: ["resid_delta_mlp"],
  resid_delta_attn: ["resid_delta_attn"],
};

/** Locations that exist only with an autoencoder. */
const choiceOfLocation: Readonly<Partial<Record<LocationName, AutoencoderChoice>>> = {
  online_autoencoder_latent: "only",
  online_mlp_autoencoder_latent: "mlp",
  online_attention_autoencoder_latent: "attention",
  online_mlp_autoencoder_error: "mlp_post_act",
  online_residual_mlp_autoencoder_error: "resid_delta_mlp",
  online_residual_attention_autoencoder_error: "resid_delta_attn",
};

/**
 * The autoencoder that is meant.
 *
 * @param options `asked`: the scalar, location or node type for which it is
 * wanted, as the user wrote it. `layers`: layers in which it must run.
 * @throws {RequestError} `no_such_autoencoder` if none fits or it does not run in
 * one of the layers; `generic_name_with_two_autoencoders` if it is not known which.
 */
export function chooseAutoencoder(
  choice: AutoencoderChoice,
  autoencoders: readonly AutoencoderFacts[],
  { asked, layers = [] }: { asked: string; layers?: readonly number[] },
): AutoencoderFacts {
  if (choice === "only" && autoencoders.length > 1) {
    throw new RequestError(
      "generic_name_with_two_autoencoders",
      `Cannot use "${asked}" with two autoencoders, as it does not say which: ` +
        `current ones are ${
          list(autoencoders)
        }, use a name or node type with "mlp_" or "attention_"`,
    );
  }
  const autoencoder = autoencoders.find(({ dst }) => inputsOf[choice].includes(dst));
  if (autoencoder === undefined) {
    const wanted = inputsOf[choice].map((input) => `"${input}"`).join(" or ");
    throw new RequestError(
      "no_such_autoencoder",
      `Cannot use "${asked}" without an autoencoder on ${wanted}: ` +
        (autoencoders.length === 0 ? "none is loaded" : `current ones are ${list(autoencoders)}`),
    );
  }
  const missing = layers.filter((layer) => !autoencoder.layers.includes(layer));
  if (missing.length > 0) {
    throw new RequestError(
      "no_such_autoencoder",
      `Cannot use "${asked}" in layer ${missing.join(", ")}: ` +
        `autoencoder "${autoencoder.name}" runs only in ${autoencoder.layers.join(", ")}`,
    );
  }
  return autoencoder;
}

/**
 * The autoencoder to which latents of a node type belong.
 *
 * @param options `asked` and `layers` as for {@linkcode chooseAutoencoder}; `asked`
 * is the node type unless given.
 * @returns `null` if nodes of that type are no latents.
 * @throws {RequestError} as {@linkcode chooseAutoencoder}.
 */
export function autoencoderForNodeType(
  nodeType: NodeType,
  autoencoders: readonly AutoencoderFacts[],
  { asked = nodeType, layers = [] }: { asked?: string; layers?: readonly number[] } = {},
): AutoencoderFacts | null {
  const choice = nodeTypes[nodeType].autoencoder;
  return choice === null ? null : chooseAutoencoder(choice, autoencoders, { asked, layers });
}

/**
 * The autoencoder without which a location does not exist.
 *
 * @param options `asked` and `layers` as for {@linkcode chooseAutoencoder}; `asked`
 * is the location unless given.
 * @returns `null` if the location exists anyway.
 * @throws {RequestError} as {@linkcode chooseAutoencoder}.
 */
export function autoencoderForLocation(
  location: LocationName,
  autoencoders: readonly AutoencoderFacts[],
  { asked = location, layers = [] }: { asked?: string; layers?: readonly number[] } = {},
): AutoencoderFacts | null {
  const choice = choiceOfLocation[location];
  return choice === undefined ? null : chooseAutoencoder(choice, autoencoders, { asked, layers });
}

/**
 * The location's name of its own: that of the latents' place for
 * `online_autoencoder_latent`, which is a second name of theirs.
 *
 * @throws {RequestError} as {@linkcode chooseAutoencoder}.
 */
export function canonicalLocation(
  location: LocationName,
  autoencoders: readonly AutoencoderFacts[],
): Exclude<LocationName, "online_autoencoder_latent"> {
  if (location !== "online_autoencoder_latent") return location;
  const { dst } = chooseAutoencoder("only", autoencoders, { asked: location });
  return autoencoderSites[dst].latent;
}

/**
 * Checks that no two autoencoders have latents of the same node type.
 *
 * @throws {RequestError} `two_autoencoders_of_one_node_type` naming both.
 */
export function checkAutoencoders(
  autoencoders: readonly Pick<AutoencoderFacts, "name" | "dst">[],
): void {
  const byNodeType = new Map<NodeType, string>();
  for (const { name, dst } of autoencoders) {
    const { nodeType } = autoencoderInputs[dst];
    const other = byNodeType.get(nodeType);
    if (other !== undefined) {
      throw new RequestError(
        "two_autoencoders_of_one_node_type",
        `Cannot load autoencoders "${other}" and "${name}" together: ` +
          `both have latents of node type "${nodeType}"`,
      );
    }
    byNodeType.set(nodeType, name);
  }
}

function list(autoencoders: readonly AutoencoderFacts[]): string {
  return autoencoders.map(({ name, dst }) => `"${name}" on "${dst}"`).join(" and ");
}
