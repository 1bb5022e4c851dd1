import { deepStrictEqual, throws } from "node:assert/strict";
import { checkAblation, checkLoss, tokensOfLoss } from "../../derivers/check_sequence.ts";
import { checkTokens } from "../../engine/model/check_tokens.ts";
import type { AblationSpec, LossFnConfig } from "../../derivers/request.ts";
import { facts, onAttention, onMlpWrite, onNeurons } from "./facts.ts";

function ablation(index: Partial<AblationSpec["index"]>): AblationSpec {
  return {
    index: {
      activationLocationType: "mlp.post_act",
      passType: "forward",
      tensorIndices: [0, 0],
      layerIndex: null,
      ...index,
    },
    value: 2,
  };
}

Deno.test("checkTokens() names the limit", () => {
  checkTokens(new Array(32).fill(1), facts);
  throws(() => checkTokens([], facts), {
    name: "RequestError",
    code: "prompt_empty",
    message: "Cannot run a prompt of 0 tokens: it must have from 1 to n_positions = 32",
  });
  throws(() => checkTokens(new Array(33).fill(1), facts), {
    code: "prompt_too_long",
    message: "Cannot run a prompt of 33 tokens: it must have from 1 to n_positions = 32",
  });
  throws(() => checkTokens([1, 97], facts), {
    code: "token_out_of_range",
    message: "Cannot run a prompt with token 97: tokens must be from 0 to 96",
  });
});

Deno.test("checkLoss() wants targets, except for the zero loss", () => {
  checkLoss({ name: "zero" });
  checkLoss({ name: "logit_diff", targetTokens: ["a"], distractorTokens: [] });
  throws(() => checkLoss({ name: "logit_diff" }), {
    code: "target_tokens_missing",
    message: 'Cannot compute loss "logit_diff" without targetTokens: ' +
      "current value is null, at least one is needed",
  });
  throws(() => checkLoss({ name: "probs", targetTokens: [] }), { code: "target_tokens_missing" });
});

Deno.test("checkLoss() allows distractors only for the logit difference", () => {
  checkLoss({ name: "probs", targetTokens: ["a"], distractorTokens: null });
  for (const name of ["probs", "logit_minus_mean"] as const) {
    throws(() => checkLoss({ name, targetTokens: ["a"], distractorTokens: [] }), {
      code: "distractor_tokens_not_allowed",
      message: `Cannot compute loss "${name}" with distractorTokens: ` +
        "current value is [], it must be null or left out",
    });
  }
});

Deno.test("tokensOfLoss() wants each string to be one token", () => {
  const encode = (text: string) => [...text].map((letter) => letter.charCodeAt(0) - 97);
  const options = { encode, dVocab: 20 };
  deepStrictEqual(
    tokensOfLoss(
      { name: "logit_diff", targetTokens: ["b", "b"], distractorTokens: ["c"] },
      options,
    ),
    { targets: [1, 1], distractors: [2] },
  );
  deepStrictEqual(tokensOfLoss({ name: "zero", targetTokens: ["bc"] }, options), {
    targets: [],
    distractors: [],
  });
  throws(() => tokensOfLoss({ name: "logit_diff", targetTokens: ["b", "cd"] }, options), {
    code: "not_one_token",
    message: 'Cannot use "cd" in targetTokens: it is tokens [2, 3], ' +
      "it must be one token from 0 to 19",
  });
  const beyond: LossFnConfig = {
    name: "logit_diff",
    targetTokens: ["b"],
    distractorTokens: ["z"],
  };
  throws(() => tokensOfLoss(beyond, options), {
    code: "not_one_token",
    message: /"z" in distractorTokens/,
  });
});

Deno.test("checkAblation() without a layer applies to all in which the location exists", () => {
  deepStrictEqual(checkAblation(ablation({ tensorIndices: [-1, "All"] }), facts), {
    location: "mlp.post_act",
    passType: "forward",
    layers: [0, 1, 2],
    region: { start: [4, 0], count: [1, 128] },
    value: 2,
  });
  const latent = ablation({ activationLocationType: "online_autoencoder_latent" });
  const resolved = checkAblation(latent, { ...facts, autoencoders: [onNeurons] });
  deepStrictEqual([resolved.location, resolved.layers], ["online_mlp_autoencoder_latent", [1]]);
  const scale = ablation({ activationLocationType: "resid.ln_f.scale", passType: "backward" });
  deepStrictEqual(checkAblation(scale, facts).layers, null);
});

Deno.test("checkAblation() names the location of latents that are not there", () => {
  const latent = ablation({ activationLocationType: "online_autoencoder_latent" });
  throws(() => checkAblation(latent, facts), {
    code: "no_such_autoencoder",
    message: /"online_autoencoder_latent"/,
  });
  throws(() => checkAblation(latent, { ...facts, autoencoders: [onMlpWrite, onAttention] }), {
    code: "generic_name_with_two_autoencoders",
    message: /"online_autoencoder_latent"/,
  });
  const inLayer0 = ablation({ activationLocationType: "online_autoencoder_latent", layerIndex: 0 });
  throws(() => checkAblation(inLayer0, { ...facts, autoencoders: [onNeurons] }), {
    code: "no_such_autoencoder",
    message: 'Cannot use "online_autoencoder_latent" in layer 0: ' +
      'autoencoder "ae_mlp" runs only in 1',
  });
});

Deno.test("checkAblation() names the layer that is not there", () => {
  throws(() => checkAblation(ablation({ layerIndex: 3 }), facts), {
    code: "no_such_layer",
    message: 'Cannot ablate "mlp.post_act" in layer 3: layers must be from 0 to 2',
  });
  throws(
    () => checkAblation(ablation({ activationLocationType: "logits", layerIndex: 1 }), facts),
    {
      code: "no_such_layer",
      message: 'Cannot ablate "logits" in layer 1: it has no layers, so layerIndex must be null',
    },
  );
});

Deno.test("checkAblation() wants one index per dimension, in range", () => {
  throws(() => checkAblation(ablation({ tensorIndices: [0] }), facts), {
    code: "wrong_number_of_indices",
    message: /"mlp.post_act"/,
  });
  throws(() => checkAblation(ablation({ tensorIndices: [0, 128] }), facts), {
    code: "index_out_of_range",
    message: /index 128/,
  });
});
