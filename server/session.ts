/**
 * What the debugger's requests are answered with: a model, and the autoencoders
 * spliced into every run of it.
 *
 * @module
 */

import { type AutoencoderFacts, checkAutoencoders } from "../derivers/choose_autoencoder.ts";
import { autoencoderInputs } from "../derivers/nodes.ts";
import type { Model } from "../engine/model/model.ts";
import type { ModelInfoResponse } from "./responses.ts";

/** An autoencoder in use. */
export interface SessionAutoencoder {
  readonly name: string;
  /** `null` for all that it has. */
  readonly layers: number[] | null;
}

/** A model and its autoencoders. */
export interface Session {
  readonly model: Model;
  readonly autoencoders: readonly SessionAutoencoder[];
  /** What is to be known of them without a run. */
  readonly facts: readonly AutoencoderFacts[];
}

/**
 * Loads autoencoders to answer requests with.
 *
 * @param autoencoders Folders under `autoencoders/` of the model, or paths.
 * @throws {RequestError} `no_such_autoencoder`, or `two_autoencoders_of_one_node_type`
 * naming both.
 */
export async function openSession(
  model: Model,
  autoencoders: readonly (string | SessionAutoencoder)[] = [],
): Promise<Session> {
  const wanted = autoencoders.map((each) =>
    typeof each === "string" ? { name: each, layers: null } : each
  );
  const facts: AutoencoderFacts[] = [];
  for (const { name, layers: wantedLayers } of wanted) {
    const { site, layers, nLatents, nInputs } = await model.autoencoder(name, wantedLayers);
    facts.push({ name, dst: site, layers: [...layers.keys()], nLatents, nInputs });
  }
  checkAutoencoders(facts);
  return { model, autoencoders: wanted, facts };
}

/** What is loaded: the answer of `/model_info`. */
export function modelInfo({ model, facts }: Session): ModelInfoResponse {
  const at = (place: "attn" | "mlp") =>
    facts.find(({ dst }) => autoencoderInputs[dst].place === place)?.name ?? null;
  const mlp = at("mlp");
  const attention = at("attn");
  return {
    modelName: model.name,
    hasMlpAutoencoder: mlp !== null,
    mlpAutoencoderName: mlp,
    hasAttentionAutoencoder: attention !== null,
    attentionAutoencoderName: attention,
    nLayers: model.config.nLayers,
  };
}
