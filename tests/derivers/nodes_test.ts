import { deepStrictEqual, throws } from "node:assert/strict";
import {
  autoencoderForLocation,
  autoencoderForNodeType,
  canonicalLocation,
  checkAutoencoders,
} from "../../derivers/choose_autoencoder.ts";
import { layersOfLocation, shapeOf, shapeOfLocation } from "../../derivers/facts.ts";
import { nodeTypeOfDim, precedes, residualBefore } from "../../derivers/nodes.ts";
import { facts, onAttention, onMlpWrite, onNeurons } from "./facts.ts";

Deno.test("nodeTypeOfDim() knows the last dimension of everything", () => {
  deepStrictEqual(nodeTypeOfDim("mlp_acts"), "mlp_neuron");
  deepStrictEqual(nodeTypeOfDim("attn_heads"), "attention_head");
  deepStrictEqual(nodeTypeOfDim("query_and_key_channels"), "qk_channel");
  deepStrictEqual(nodeTypeOfDim("value_channels"), "v_channel");
  deepStrictEqual(nodeTypeOfDim("singleton"), "layer");
  deepStrictEqual(nodeTypeOfDim("residual_stream_channels"), "residual_stream_channel");
  deepStrictEqual(nodeTypeOfDim("vocab_size"), "vocab_token");
  deepStrictEqual(nodeTypeOfDim("autoencoder_latents"), "autoencoder_latent");
  throws(() => nodeTypeOfDim("sequence_tokens"), TypeError);
});

Deno.test("precedes() is strict, by layer and then by place", () => {
  const direction = { layer: 1, place: "residPostAttn" } as const;
  deepStrictEqual(precedes({ layer: null }, { layer: 0, place: "endOfPrevLayer" }), true);
  deepStrictEqual(precedes({ layer: 0, place: "residPostMlp" }, direction), true);
  deepStrictEqual(precedes({ layer: 1, place: "attn" }, direction), true);
  deepStrictEqual(precedes({ layer: 1, place: "residPostAttn" }, direction), false);
  deepStrictEqual(precedes({ layer: 1, place: "mlp" }, direction), false);
  deepStrictEqual(precedes({ layer: 2, place: "attn" }, direction), false);
});

Deno.test("residualBefore() is the embedding for attention in layer 0", () => {
  deepStrictEqual(residualBefore("attn", 0), {
    location: "resid.post_emb",
    layerIndex: null,
    position: { layer: 0, place: "endOfPrevLayer" },
  });
  deepStrictEqual(residualBefore("attn", 2), {
    location: "resid.post_mlp",
    layerIndex: 1,
    position: { layer: 2, place: "endOfPrevLayer" },
  });
  deepStrictEqual(residualBefore("mlp", 0), {
    location: "resid.post_attn",
    layerIndex: 0,
    position: { layer: 0, place: "residPostAttn" },
  });
});

Deno.test("autoencoderForNodeType() finds the one that is meant", () => {
  const both = [onNeurons, onAttention];
  deepStrictEqual(autoencoderForNodeType("mlp_neuron", []), null);
  deepStrictEqual(autoencoderForNodeType("autoencoder_latent", [onAttention]), onAttention);
  deepStrictEqual(autoencoderForNodeType("mlp_autoencoder_latent", both), onNeurons);
  deepStrictEqual(autoencoderForNodeType("attention_autoencoder_latent", both), onAttention);
});

Deno.test("autoencoderForNodeType() refuses a generic name with two autoencoders", () => {
  throws(() => autoencoderForNodeType("autoencoder_latent", [onMlpWrite, onAttention]), {
    name: "RequestError",
    code: "generic_name_with_two_autoencoders",
    message: 'Cannot use "autoencoder_latent" with two autoencoders, as it does not say which: ' +
      'current ones are "ae_mlp_write" on "resid_delta_mlp" and "ae_attn" on ' +
      '"resid_delta_attn", use a name or node type with "mlp_" or "attention_"',
  });
});

Deno.test("autoencoderForNodeType() names the layer in which there is none", () => {
  const options = { asked: "mlp_autoencoder_latent", layers: [0, 1, 2] };
  throws(() => autoencoderForNodeType("mlp_autoencoder_latent", [onNeurons], options), {
    code: "no_such_autoencoder",
    message: 'Cannot use "mlp_autoencoder_latent" in layer 0, 2: ' +
      'autoencoder "ae_mlp" runs only in 1',
  });
});

Deno.test("autoencoderForLocation() refuses an autoencoder on another input", () => {
  throws(() => autoencoderForLocation("online_residual_mlp_autoencoder_error", [onNeurons]), {
    code: "no_such_autoencoder",
    message: 'Cannot use "online_residual_mlp_autoencoder_error" without an autoencoder on ' +
      '"resid_delta_mlp": current ones are "ae_mlp" on "mlp_post_act"',
  });
  deepStrictEqual(autoencoderForLocation("online_mlp_autoencoder_error", [onNeurons]), onNeurons);
});

Deno.test("canonicalLocation() says where the generic latents are", () => {
  deepStrictEqual(
    canonicalLocation("online_autoencoder_latent", [onAttention]),
    "online_attention_autoencoder_latent",
  );
  deepStrictEqual(canonicalLocation("mlp.post_act", []), "mlp.post_act");
});

Deno.test("checkAutoencoders() names two autoencoders of one node type", () => {
  checkAutoencoders([onNeurons, onAttention]);
  throws(() => checkAutoencoders([onNeurons, onMlpWrite]), {
    code: "two_autoencoders_of_one_node_type",
    message: 'Cannot load autoencoders "ae_mlp" and "ae_mlp_write" together: ' +
      'both have latents of node type "mlp_autoencoder_latent"',
  });
});

Deno.test("shapeOfLocation() and layersOfLocation() follow the model and autoencoder", () => {
  const withNeurons = { ...facts, autoencoders: [onNeurons] };
  deepStrictEqual(shapeOfLocation("attn.qk_probs", facts), [5, 5, 4]);
  deepStrictEqual(shapeOfLocation("attn.v_out", facts), [5, 4, 8]);
  deepStrictEqual(shapeOfLocation("resid.ln_f.scale", facts), [5, 1]);
  deepStrictEqual(shapeOfLocation("logits", facts), [5, 97]);
  deepStrictEqual(shapeOfLocation("online_autoencoder_latent", withNeurons), [5, 60]);
  deepStrictEqual(shapeOf(["sequence_token_pairs", "attn_heads"], facts), [15, 4]);
  deepStrictEqual(layersOfLocation("mlp.post_act", facts), [0, 1, 2]);
  deepStrictEqual(layersOfLocation("resid.post_emb", facts), null);
  deepStrictEqual(layersOfLocation("online_mlp_autoencoder_error", withNeurons), [1]);
});
