import assert from "node:assert/strict";
import { parseModelConfig } from "../../../engine/model/config.ts";
import { folderOf, readJson } from "../../../engine/model/source.ts";

const gpt2 = {
  model_type: "gpt2",
  n_layer: 12,
  n_head: 12,
  n_embd: 768,
  n_positions: 1024,
  vocab_size: 50257,
  layer_norm_epsilon: 1e-5,
  activation_function: "gelu_new",
  resid_pdrop: 0.1, // One of the many fields that do not matter here.
};

Deno.test("parseModelConfig() reads the config of GPT-2", () => {
  assert.deepEqual(parseModelConfig(gpt2, "config.json"), {
    nLayers: 12,
    nHeads: 12,
    dModel: 768,
    dHead: 64,
    dMlp: 3072,
    dVocab: 50257,
    nCtx: 1024,
    layerNormEpsilon: 1e-5,
    tiedUnembedding: true,
  });
});

Deno.test("parseModelConfig() reads a golden model's config", async () => {
  const folder = folderOf(new URL("../../golden/models/odd/", import.meta.url));
  const config = parseModelConfig(await readJson((await folder.open("config.json"))!), "odd");
  assert.deepEqual(config, {
    nLayers: 2,
    nHeads: 5,
    dModel: 40,
    dHead: 8,
    dMlp: 100,
    dVocab: 61,
    nCtx: 24,
    layerNormEpsilon: 1e-5,
    tiedUnembedding: false,
  });
});

Deno.test("parseModelConfig() takes what other exporters write", () => {
  const config = parseModelConfig({
    ...gpt2,
    _name_or_path: "openai-community/gpt2",
    n_inner: 100,
    n_positions: undefined,
    n_ctx: 77,
    activation_function: "gelu_pytorch_tanh",
    tie_word_embeddings: false,
    scale_attn_weights: true,
    scale_attn_by_inverse_layer_idx: false,
  }, "config.json");
  assert.equal(config.name, "openai-community/gpt2");
  assert.equal(config.dMlp, 100);
  assert.equal(config.nCtx, 77);
  assert.equal(config.tiedUnembedding, false);
  assert.equal(parseModelConfig({ ...gpt2, n_inner: null }, "config.json").dMlp, 3072);
  assert.equal(parseModelConfig({ ...gpt2, n_ctx: 7 }, "config.json").nCtx, 1024);
});

Deno.test("parseModelConfig() refuses what it cannot run, naming the file, the field and the value", async (t) => {
  const wrong: [string, unknown][] = [
    ["model_type", "llama"],
    ["model_type", undefined],
    ["n_layer", undefined],
    ["n_layer", 0],
    ["n_head", 1.5],
    ["n_head", "12"],
    ["n_embd", 770],
    ["n_embd", null],
    ["n_inner", -1],
    ["n_positions", undefined],
    ["n_positions", 0],
    ["vocab_size", undefined],
    ["layer_norm_epsilon", 0],
    ["layer_norm_epsilon", null],
    ["activation_function", "gelu"],
    ["activation_function", "relu"],
    ["tie_word_embeddings", "yes"],
    ["scale_attn_weights", false],
    ["scale_attn_by_inverse_layer_idx", true],
    ["add_cross_attention", true],
  ];
  for (const [field, value] of wrong) {
    await t.step(`${field} = ${JSON.stringify(value)}`, () => {
      assert.throws(
        () => parseModelConfig({ ...gpt2, [field]: value }, "m/config.json"),
        (error) => {
          assert.ok(error instanceof TypeError);
          const shown = JSON.stringify(value) ?? "missing";
          assert.ok(error.message.startsWith('Cannot read model config "m/config.json": '));
          assert.ok(error.message.includes(`field "${field}"`), error.message);
          assert.ok(error.message.endsWith(`current value is ${shown}`), error.message);
          return true;
        },
      );
    });
  }
});

Deno.test("parseModelConfig() names all wrong fields at once", () => {
  assert.throws(
    () => parseModelConfig({ ...gpt2, n_layer: -1, vocab_size: "many" }, "config.json"),
    /"n_layer".*"vocab_size"/,
  );
});

Deno.test("parseModelConfig() refuses JSON that is no object", () => {
  for (const json of [null, 5, "gpt2", []]) {
    assert.throws(() => parseModelConfig(json, "config.json"), {
      name: "TypeError",
      message: /^Cannot read model config "config\.json": /,
    });
  }
});
