import { deepStrictEqual, throws } from "node:assert/strict";
import {
  autoencoderForEdge,
  checkActivationTrace,
  checkFakeGrad,
  checkLatentTrace,
  checkNodeForAttribution,
} from "../../derivers/check_nodes.ts";
import {
  checkBackward,
  checkLayers,
  checkNotRepeated,
  checkObjective,
  checkOnlyLayer,
  requireField,
} from "../../derivers/check_request.ts";
import { type DstConfig, resolveConfig, type TraceConfig } from "../../derivers/request.ts";
import { facts, onAttention, onMlpWrite, onNeurons } from "./facts.ts";

const configOf = (config: DstConfig) => resolveConfig(config, { needsBackwardPass: false });
const empty = configOf({});
const both = { ...facts, autoencoders: [onMlpWrite, onAttention] };
const head = {
  nodeType: "attention_head",
  layerIndex: 1,
  tensorIndices: [2, 1, 3],
  passType: "forward",
} as const;
const headTrace: TraceConfig = {
  nodeIndex: { ...head, tensorIndices: [2, 1, 3] },
  preOrPostAct: "post",
  detachLayerNormScale: true,
  attentionTraceType: "QK",
};
const latentTrace = (tensorIndices: (number | "All" | null)[]): TraceConfig => ({
  nodeIndex: {
    nodeType: "attention_autoencoder_latent",
    layerIndex: 1,
    tensorIndices,
    passType: "forward",
  },
  preOrPostAct: "post",
  detachLayerNormScale: true,
});

Deno.test("checkNotRepeated() names the scalar asked for twice", () => {
  checkNotRepeated("logits", ["mlp_post_act"]);
  throws(() => checkNotRepeated("logits", ["mlp_post_act", "logits"]), {
    name: "RequestError",
    code: "scalar_repeated",
    message: 'Cannot derive "logits" twice for one sequence: ask for it once',
  });
});

Deno.test("checkObjective() names the scalar that needs gradients without an objective", () => {
  checkObjective("mlp_act_times_grad", { needsGradients: true, hasObjective: true });
  checkObjective("mlp_post_act", { needsGradients: false, hasObjective: false });
  throws(
    () => checkObjective("mlp_act_times_grad", { needsGradients: true, hasObjective: false }),
    {
      code: "gradients_without_objective",
      message: 'Cannot compute "mlp_act_times_grad" as it needs a backward pass: ' +
        "the sequence must have a lossFnConfig or a traceConfig",
    },
  );
});

Deno.test("checkBackward() names the scalar without a backward value", () => {
  checkBackward("mlp_write_norm", { deriveGradients: false, hasBackwardValue: false });
  throws(
    () => checkBackward("mlp_write_norm", { deriveGradients: true, hasBackwardValue: false }),
    {
      code: "backward_not_defined",
      message: 'Cannot derive "mlp_write_norm" with deriveGradients: it has no backward value',
    },
  );
});

Deno.test("requireField() names the scalar and the missing field", () => {
  const codes = {
    traceConfig: "trace_config_missing",
    nodeIndexForAttribution: "node_index_missing",
    activationIndexForFakeGrad: "fake_grad_index_missing",
    layerIndices: "layer_indices_missing",
  } as const;
  for (const field of Object.keys(codes) as (keyof typeof codes)[]) {
    throws(() => requireField("single_node_write", empty, field), {
      code: codes[field],
      message: `Cannot derive "single_node_write" without ${field}: current value is null`,
    });
  }
  deepStrictEqual(requireField("attn_write", configOf({ layerIndices: [1] }), "layerIndices"), [1]);
});

Deno.test("checkLayers() names a layer that the model has not", () => {
  deepStrictEqual(checkLayers("mlp_post_act", null, facts), [0, 1, 2]);
  deepStrictEqual(checkLayers("mlp_post_act", [2, 0, 2], facts), [0, 2]);
  throws(() => checkLayers("mlp_post_act", [0, 3], facts), {
    code: "no_such_layer",
    message: 'Cannot derive "mlp_post_act" in layer 3: layers must be from 0 to 2',
  });
  throws(() => checkLayers("mlp_post_act", [-1], facts), { code: "no_such_layer" });
});

Deno.test("checkOnlyLayer() wants just that layer", () => {
  const of = (layerIndices: number[] | null) => configOf({ layerIndices });
  deepStrictEqual(checkOnlyLayer("attn_write_to_latent", of([1]), { nLayers: 3, layer: 1 }), 1);
  deepStrictEqual(checkOnlyLayer("x", of(null), { nLayers: 3, layer: 1, nullMeans: 1 }), 1);
  throws(() => checkOnlyLayer("attn_write_to_latent", of([0, 1]), { nLayers: 3, layer: 1 }), {
    code: "wrong_layer_indices",
    message: 'Cannot derive "attn_write_to_latent" with layerIndices [0,1]: it must be [1]',
  });
  throws(() => checkOnlyLayer("attn_write_to_latent", of(null), { nLayers: 3 }), {
    code: "layer_indices_missing",
  });
});

Deno.test("checkActivationTrace() wants a trace that is not V", () => {
  const dst = "mlp_write_to_final_activation_residual_grad";
  const { node } = checkActivationTrace(dst, configOf({ traceConfig: headTrace }), facts);
  deepStrictEqual(node.residual.location, "resid.post_mlp");
  throws(() => checkActivationTrace(dst, empty, facts), { code: "trace_config_missing" });
  const traceConfig = { ...headTrace, attentionTraceType: "V" as const };
  throws(() => checkActivationTrace(dst, configOf({ traceConfig }), facts), {
    code: "invalid_trace",
    message: `Cannot derive "${dst}" with config.traceConfig.attentionTraceType "V": ` +
      'it must be "Q", "K" or "QK" for an attention head',
  });
});

Deno.test("checkLatentTrace() wants one latent at all tokens", () => {
  const dst = "attn_write_to_latent";
  const options = { facts: both, inputs: ["resid_delta_attn"] } as const;
  for (const token of [null, "All"] as const) {
    const config = configOf({ traceConfig: latentTrace([token, -1]) });
    const { latent, layer, autoencoder } = checkLatentTrace(dst, config, options);
    deepStrictEqual({ latent, layer, autoencoder }, {
      latent: 39,
      layer: 1,
      autoencoder: onAttention,
    });
  }
  throws(() => checkLatentTrace(dst, configOf({ traceConfig: latentTrace([2, 3]) }), options), {
    code: "invalid_trace",
    message: 'Cannot derive "attn_write_to_latent" from config.traceConfig.nodeIndex' +
      '.tensorIndices [2,3]: they must be null or "All", and an integer',
  });
  throws(() => checkLatentTrace(dst, configOf({ traceConfig: headTrace }), options), {
    code: "invalid_trace",
    message: 'Cannot derive "attn_write_to_latent" from config.traceConfig.nodeIndex' +
      '.nodeType "attention_head": it must be a type of latent',
  });
});

Deno.test("checkLatentTrace() names the scalar if the autoencoder is on another input", () => {
  const dst = "autoencoder_latent_grad_wrt_mlp_post_act_input";
  const config = configOf({ traceConfig: latentTrace([null, 3]) });
  throws(() => checkLatentTrace(dst, config, { facts: both, inputs: ["mlp_post_act"] }), {
    code: "no_such_autoencoder",
    message: `Cannot derive "${dst}" with autoencoder "ae_attn" on "resid_delta_attn": ` +
      'it must be on "mlp_post_act"',
  });
  throws(() => checkLatentTrace(dst, config, { facts, inputs: ["mlp_post_act"] }), {
    code: "no_such_autoencoder",
    message: `Cannot use "${dst}" without an autoencoder on "resid_delta_attn": none is loaded`,
  });
});

Deno.test("checkNodeForAttribution() wants qKOrV of downstream heads only", () => {
  const of = (qKOrV?: "attn.q") =>
    configOf({
      nodeIndexForAttribution: { ...head, tensorIndices: [2, 1, -1], ...(qKOrV && { qKOrV }) },
    });
  const dst = "mlp_out_edge_attribution";
  const downstream = { facts, side: "downstream" } as const;
  const node = checkNodeForAttribution(dst, of("attn.q"), downstream);
  deepStrictEqual([node.indices, node.qKOrV], [[2, 1, 3], "attn.q"]);
  throws(() => checkNodeForAttribution(dst, of(), downstream), {
    code: "invalid_trace",
    message: 'Cannot derive "mlp_out_edge_attribution" for downstream node type ' +
      '"attention_head" with nodeIndexForAttribution.qKOrV null: ' +
      'it must be "attn.q", "attn.k" or "attn.v"',
  });
  const upstream = { facts, side: "upstream" } as const;
  throws(() => checkNodeForAttribution("single_node_write", of("attn.q"), upstream), {
    code: "invalid_trace",
    message: 'Cannot derive "single_node_write" for upstream node type "attention_head" with ' +
      'nodeIndexForAttribution.qKOrV "attn.q": it must be null',
  });
  throws(() => checkNodeForAttribution(dst, empty, downstream), { code: "node_index_missing" });
});

Deno.test("autoencoderForEdge() takes that of a latent node, else the only one", () => {
  const dst = "online_autoencoder_in_edge_attribution";
  const two = { autoencoders: both.autoencoders, layers: [0, 1, 2] };
  deepStrictEqual(autoencoderForEdge(dst, "mlp_autoencoder_latent", two), onMlpWrite);
  throws(() => autoencoderForEdge(dst, "attention_head", two), {
    code: "generic_name_with_two_autoencoders",
    message: /online_autoencoder_in_edge_attribution/,
  });
  throws(() => autoencoderForEdge(dst, "attention_head", { autoencoders: [], layers: [] }), {
    code: "no_such_autoencoder",
    message: /online_autoencoder_in_edge_attribution/,
  });
  const one = { autoencoders: [onNeurons], layers: [1, 2] };
  throws(() => autoencoderForEdge(dst, "mlp_neuron", one), {
    code: "no_such_autoencoder",
    message: `Cannot use "${dst}" in layer 2: autoencoder "ae_mlp" runs only in 1`,
  });
});

Deno.test("checkFakeGrad() reads a unit of the MLP and no token", () => {
  const dst = "vocab_token_write_to_input_direction";
  const of = (activationLocationType: "mlp.post_act" | "online_autoencoder_latent" | "attn.v") =>
    configOf({
      activationIndexForFakeGrad: {
        activationLocationType,
        layerIndex: 1,
        tensorIndices: ["All", -1],
        passType: "backward",
      },
    });
  deepStrictEqual(checkFakeGrad(dst, of("mlp.post_act"), both), {
    layer: 1,
    index: 127,
    autoencoder: null,
  });
  const one = { ...facts, autoencoders: [onNeurons] };
  deepStrictEqual(checkFakeGrad(dst, of("online_autoencoder_latent"), one), {
    layer: 1,
    index: 59,
    autoencoder: onNeurons,
  });
  throws(() => checkFakeGrad(dst, empty, facts), { code: "fake_grad_index_missing" });
  throws(() => checkFakeGrad(dst, of("attn.v"), facts), { code: "invalid_trace" });
  const attention = { ...facts, autoencoders: [onAttention] };
  throws(() => checkFakeGrad(dst, of("online_autoencoder_latent"), attention), {
    code: "no_such_autoencoder",
    message: /online_autoencoder_latent/,
  });
});
