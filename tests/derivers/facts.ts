/** What the tests of this folder know of a model: small, and all sizes different. */

import type { AutoencoderFacts } from "../../derivers/choose_autoencoder.ts";
import type { SequenceFacts } from "../../derivers/facts.ts";

/** 3 layers, 4 heads of 8, 128 neurons, 97 tokens of vocabulary; a sequence of 5 of 32. */
export const facts: SequenceFacts = {
  nLayers: 3,
  nHeads: 4,
  dModel: 32,
  dHead: 8,
  dMlp: 128,
  dVocab: 97,
  nCtx: 32,
  nTokens: 5,
  autoencoders: [],
};

/** An autoencoder on the neurons, in layer 1 only. */
export const onNeurons: AutoencoderFacts = {
  name: "ae_mlp",
  dst: "mlp_post_act",
  layers: [1],
  nLatents: 60,
  nInputs: 128,
};

/** An autoencoder on what the MLP writes. */
export const onMlpWrite: AutoencoderFacts = {
  name: "ae_mlp_write",
  dst: "resid_delta_mlp",
  layers: [0, 1, 2],
  nLatents: 50,
  nInputs: 32,
};

/** An autoencoder on what attention writes. */
export const onAttention: AutoencoderFacts = {
  name: "ae_attn",
  dst: "resid_delta_attn",
  layers: [0, 1, 2],
  nLatents: 40,
  nInputs: 32,
};
