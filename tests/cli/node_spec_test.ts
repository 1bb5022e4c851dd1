import assert from "node:assert/strict";
import { parseAblation, parseNodeSpec, parseTrace } from "../../cli/node_spec.ts";

Deno.test("parseNodeSpec() reads every part of a node", async (t) => {
  const cases: [string, ReturnType<typeof parseNodeSpec>][] = [
    ["mlp_neuron:0.17", { nodeType: "mlp_neuron", layer: 0, index: 17 }],
    ["mlp_neuron:0.17@5", { nodeType: "mlp_neuron", layer: 0, index: 17, token: 5 }],
    ["mlp_neuron:11.3071@-1=-1.5e-2", {
      nodeType: "mlp_neuron",
      layer: 11,
      index: 3071,
      token: -1,
      value: -0.015,
    }],
    ["attention_head:1.3@7,2:QK", {
      nodeType: "attention_head",
      layer: 1,
      index: 3,
      token: 7,
      key: 2,
      through: "QK",
    }],
    ["attention_head:1.3@7,-2:V", {
      nodeType: "attention_head",
      layer: 1,
      index: 3,
      token: 7,
      key: -2,
      through: "V",
    }],
    ["autoencoder_latent:2.0=3", {
      nodeType: "autoencoder_latent",
      layer: 2,
      index: 0,
      value: 3,
    }],
  ];
  for (const [text, wanted] of cases) {
    await t.step(text, () => assert.deepEqual(parseNodeSpec(text), wanted));
  }
});

Deno.test("parseNodeSpec() says what is wrong with a node", async (t) => {
  const cases: [string, RegExp][] = [
    ["", /TYPE:LAYER\.INDEX/],
    ["attention_head", /TYPE:LAYER\.INDEX/],
    ["attention_head:1", /TYPE:LAYER\.INDEX/],
    ["attention_head:1.3@", /TYPE:LAYER\.INDEX/],
    ["attention_head:-1.3", /TYPE:LAYER\.INDEX/],
    ["attention_head:1.3@7:X", /TYPE:LAYER\.INDEX/],
    ["attention_haed:1.3", /"attention_haed": did you mean "attention_head"/],
    ["layer:1.3", /Cannot find node type "layer"/],
    ["mlp_neuron:0.1@5,2", /Only an attention_head/],
    ["mlp_neuron:0.1@5:Q", /Only an attention_head/],
    ["mlp_neuron:0.1=much", /current value is "much"/],
    ["mlp_neuron:0.1= ", /must be a number/],
    ["mlp_neuron:0.1=Infinity", /must be a number/],
  ];
  for (const [text, message] of cases) {
    await t.step(text, () => assert.throws(() => parseNodeSpec(text), { message }));
  }
});

Deno.test("parseAblation() overwrites a head's row of the pattern, or a node's activation", async (t) => {
  const at = (
    activationLocationType: string,
    layerIndex: number,
    tensorIndices: (number | "All")[],
    value = 0,
  ) => ({
    index: { activationLocationType, passType: "forward", layerIndex, tensorIndices },
    value,
  });
  const cases: [string, ReturnType<typeof at>][] = [
    ["attention_head:1.3", at("attn.qk_probs", 1, ["All", "All", 3])],
    ["attention_head:1.3@7", at("attn.qk_probs", 1, [7, "All", 3])],
    ["attention_head:1.3@7,2=1", at("attn.qk_probs", 1, [7, 2, 3], 1)],
    ["mlp_neuron:0.17", at("mlp.post_act", 0, ["All", 17])],
    ["mlp_neuron:0.17@5=2.5", at("mlp.post_act", 0, [5, 17], 2.5)],
    ["mlp_autoencoder_latent:1.4@0", at("online_mlp_autoencoder_latent", 1, [0, 4])],
    ["attention_autoencoder_latent:1.4", at("online_attention_autoencoder_latent", 1, ["All", 4])],
    ["autoencoder_latent:1.4", at("online_autoencoder_latent", 1, ["All", 4])],
  ];
  for (const [text, wanted] of cases) {
    await t.step(text, () => assert.deepEqual(parseAblation(text), wanted));
  }
  await t.step("a trace is refused", () => {
    assert.throws(() => parseAblation("attention_head:1.3@7,2:QK"), { message: /leave it out/ });
  });
});

Deno.test("parseTrace() traces one node at one place", () => {
  assert.deepEqual(parseTrace("mlp_neuron:1.17@5"), {
    nodeIndex: {
      nodeType: "mlp_neuron",
      layerIndex: 1,
      tensorIndices: [5, 17],
      passType: "forward",
    },
    preOrPostAct: "pre",
    detachLayerNormScale: true,
    attentionTraceType: null,
    downstreamTraceConfig: null,
  });
  const head = parseTrace("attention_head:1.3@7,2:K");
  assert.deepEqual(head.nodeIndex.tensorIndices, [7, 2, 3]);
  assert.equal(head.attentionTraceType, "K");
  assert.equal(parseTrace("attention_head:1.3@7,2").attentionTraceType, "QK");
  assert.throws(() => parseTrace("mlp_neuron:1.17"), { message: /needs the token/ });
  assert.throws(() => parseTrace("attention_head:1.3@7"), { message: /needs both tokens/ });
  assert.throws(() => parseTrace("mlp_neuron:1.17@5=1"), { message: /no "=1"/ });
});
