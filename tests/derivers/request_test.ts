import { deepStrictEqual, throws } from "node:assert/strict";
import { parseDeriveRequest, resolveConfig } from "../../derivers/request.ts";
import { nearest } from "../../engine/tape/nearest.ts";

const node = {
  nodeType: "mlp_neuron",
  layerIndex: 1,
  tensorIndices: [4, 50],
  passType: "forward",
};
const trace = { nodeIndex: node, preOrPostAct: "post", detachLayerNormScale: true };

/** A request of one sequence with those fields besides tokens and an empty list of scalars. */
function requestWith(sequence: Record<string, unknown>) {
  return { sequences: [{ tokens: [1, 2], dsts: [], ...sequence }] };
}

/** Checks that the request is refused with just that problem. */
function refuses(request: unknown, problem: string) {
  throws(() => parseDeriveRequest(request, "r.json"), {
    name: "RequestError",
    code: "malformed_request",
    message: `Cannot read request "r.json": ${problem}`,
  });
}

Deno.test("parseDeriveRequest() fills in what may be left out", () => {
  const request = {
    sequences: [{ prompt: "a b", dsts: ["logits", { dst: "mlp_post_act" }] }],
  };
  deepStrictEqual(parseDeriveRequest(request, "r.json"), {
    autoencoders: [],
    topK: 10,
    sequences: [{
      prompt: "a b",
      lossFnConfig: null,
      traceConfig: null,
      ablationSpecs: [],
      dsts: [{ dst: "logits" }, { dst: "mlp_post_act" }],
      saveActivations: [],
    }],
  });
});

Deno.test("parseDeriveRequest() names the nearest of an unknown name", () => {
  refuses(
    requestWith({ dsts: ["logits", { dst: "mlp_write_nrm", config: null }] }),
    '"sequences[0].dsts[1].dst" is "mlp_write_nrm", it must be one of "logits", ' +
      '"resid_post_embedding", "mlp_pre_act" (+103 more), did you mean "mlp_write_norm"?',
  );
  refuses(
    requestWith({
      saveActivations: [{ activationLocationType: "attn.qk_prob", passType: "forward" }],
    }),
    '"sequences[0].saveActivations[0].activationLocationType" is "attn.qk_prob", it must be ' +
      'one of "resid.post_emb", "attn_ln.scale", "resid.post_mlp_ln" (+23 more), ' +
      'did you mean "attn.qk_probs"?',
  );
});

Deno.test("parseDeriveRequest() lists the choices where they are few", () => {
  refuses(
    requestWith({ lossFnConfig: { name: "logits_diff" } }),
    '"sequences[0].lossFnConfig.name" is "logits_diff", it must be ' +
      '"logit_diff" or "logit_minus_mean" or "probs" or "zero"',
  );
});

Deno.test("parseDeriveRequest() refuses unknown, missing and mistyped fields, all at once", () => {
  refuses(
    { sequences: [{ tokens: [1, -2, "3"], ablationSpec: [] }], topk: 3 },
    '"sequences[0].tokens[1]" is -2, it must be at least 0; ' +
      '"sequences[0].tokens[2]" is "3", it must be a number; ' +
      '"sequences[0].dsts" is missing, it must be a list; ' +
      'unknown field "sequences[0].ablationSpec"; unknown field "topk"',
  );
  refuses([], "the whole of it is [], it must be an object");
  refuses({ sequences: [] }, '"sequences" is [], it must be at least one sequence');
});

Deno.test("parseDeriveRequest() wants either tokens or a prompt", () => {
  const problem = '"sequences[0]" must have either "tokens" or "prompt", and not both';
  refuses(requestWith({ prompt: "a" }), problem);
  refuses({ sequences: [{ dsts: [] }] }, problem);
});

Deno.test('parseDeriveRequest() takes "All" in ablations, and null only in nodes', () => {
  const index = {
    activationLocationType: "mlp.post_act",
    passType: "backward",
    tensorIndices: ["All", -1],
    layerIndex: null,
  };
  const withIndex = (tensorIndices: unknown) =>
    requestWith({ ablationSpecs: [{ index: { ...index, tensorIndices }, value: 0 }] });
  parseDeriveRequest(withIndex(["All", -1]), "r.json");
  refuses(
    withIndex([null, 1.5]),
    '"sequences[0].ablationSpecs[0].index.tensorIndices[0]" is null, ' +
      'it must be an integer or "All"; ' +
      '"sequences[0].ablationSpecs[0].index.tensorIndices[1]" is 1.5, ' +
      'it must be an integer or "All"',
  );
  const latent = { ...node, nodeType: "mlp_autoencoder_latent", tensorIndices: [null, 3] };
  parseDeriveRequest(requestWith({ traceConfig: { ...trace, nodeIndex: latent } }), "r.json");
});

Deno.test("parseDeriveRequest() reads traces within traces", () => {
  const downstreamTraceConfig = { ...trace, preOrPostAct: "after" };
  refuses(
    requestWith({ traceConfig: { ...trace, attentionTraceType: "V", downstreamTraceConfig } }),
    '"sequences[0].traceConfig.downstreamTraceConfig.preOrPostAct" is "after", ' +
      'it must be "pre" or "post"',
  );
});

Deno.test("resolveConfig() derives gradients by default only without a configuration", () => {
  const needs = { needsBackwardPass: true };
  const needsNot = { needsBackwardPass: false };
  deepStrictEqual(resolveConfig(null, needs).deriveGradients, false);
  deepStrictEqual(resolveConfig(null, needsNot).deriveGradients, true);
  deepStrictEqual(resolveConfig(undefined, needsNot).deriveGradients, false);
  const hasGradient = { ...needsNot, hasGradient: true };
  deepStrictEqual(resolveConfig(undefined, hasGradient).deriveGradients, true);
  deepStrictEqual(resolveConfig({}, hasGradient).deriveGradients, false);
  deepStrictEqual(resolveConfig({ layerIndices: [1] }, needsNot), {
    deriveGradients: false,
    layerIndices: [1],
    traceConfig: null,
    nodeIndexForAttribution: null,
    detachLayerNormScaleForAttribution: false,
    activationIndexForFakeGrad: null,
  });
});

Deno.test("nearest() counts edits", () => {
  deepStrictEqual(nearest("attn", ["mlp", "attn_ln", "atn"]), "atn");
  deepStrictEqual(nearest("x", []), undefined);
});
