import assert from "node:assert/strict";

import type { AutoencoderFacts } from "../../derivers/choose_autoencoder.ts";
import {
  isDefinedFor,
  postprocessorNames,
  postprocessorNeeds,
} from "../../derivers/postprocess.ts";
import type { NodeIndex } from "../../derivers/request.ts";
import { facts, onAttention, onMlpWrite, onNeurons } from "./facts.ts";

Deno.test("postprocessorNeeds() asks for what the autoencoders that are there need", () => {
  const keys = (
    autoencoders: AutoencoderFacts[],
    names?: Parameters<typeof postprocessorNeeds>[1],
  ) =>
    postprocessorNeeds({ ...facts, nLayers: 2, autoencoders }, names)
      .map(({ location, layer }) => `${location} ${layer ?? "none"}`);
  assert.deepEqual(keys([], ["residualReads"]), ["resid.post_attn 0", "resid.post_attn 1"]);
  assert.deepEqual(keys([], ["tokenPairAttributions"]), []);
  assert.deepEqual(keys([onNeurons], ["tokenWrites"]), [
    "resid.post_emb none",
    "mlp.post_act 0",
    "attn.qk_probs 0",
    "attn.v 0",
    "mlp.post_act 1",
    "online_mlp_autoencoder_latent 1",
    "attn.qk_probs 1",
    "attn.v 1",
  ]);
  assert.deepEqual(keys([onAttention], ["tokenReads"]), [
    "resid.post_attn 0",
    "resid.post_emb none",
    "resid.post_attn 1",
    "resid.post_mlp 0",
  ]);
  assert.deepEqual(keys([onAttention, onMlpWrite], ["tokenPairAttributions"]), [
    "attn.qk_probs 0",
    "attn.v 0",
    "resid.delta_attn 0",
    "attn.qk_probs 1",
    "attn.v 1",
    "resid.delta_attn 1",
  ]);
});

Deno.test("isDefinedFor() tells which nodes can be processed", () => {
  const definedOf = (nodeType: NodeIndex["nodeType"], autoencoders: AutoencoderFacts[] = []) =>
    postprocessorNames.filter((name) =>
      isDefinedFor(name, { nodeType, layerIndex: 0 }, { autoencoders })
    );
  const four = ["residualWrites", "tokenWrites", "residualReads", "tokenReads"];
  assert.deepEqual(definedOf("mlp_neuron"), four);
  assert.deepEqual(definedOf("attention_head"), ["residualWrites", "tokenWrites"]);
  assert.deepEqual(definedOf("layer"), []);
  assert.deepEqual(definedOf("attention_autoencoder_latent"), [...postprocessorNames]);
  assert.deepEqual(definedOf("autoencoder_latent", [onAttention]), [...postprocessorNames]);
  assert.deepEqual(definedOf("autoencoder_latent", [onNeurons]), four);
  assert.ok(
    isDefinedFor("tokenWrites", { nodeType: "layer", layerIndex: null }, { autoencoders: [] }),
  );
});
