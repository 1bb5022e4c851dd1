import { deepStrictEqual, throws } from "node:assert/strict";
import { checkTrace } from "../../derivers/check_trace.ts";
import type { NodeIndex, TraceConfig } from "../../derivers/request.ts";
import { facts, onAttention, onMlpWrite, onNeurons } from "./facts.ts";

const neuron: NodeIndex = {
  nodeType: "mlp_neuron",
  layerIndex: 1,
  tensorIndices: [4, 50],
  passType: "forward",
};
const head: NodeIndex = { ...neuron, nodeType: "attention_head", tensorIndices: [2, 1, 3] };

function traceOf(nodeIndex: NodeIndex, rest: Partial<TraceConfig> = {}): TraceConfig {
  return { nodeIndex, preOrPostAct: "post", detachLayerNormScale: true, ...rest };
}

/** Checks that a trace is refused with that code and message. */
function refuses(
  trace: TraceConfig,
  error: { code: string; message: string | RegExp },
  options = { lossPresent: true },
) {
  throws(() => checkTrace(trace, facts, options), { name: "RequestError", ...error });
}

Deno.test("checkTrace() spells out the node, with negative indices counted from the end", () => {
  const trace = traceOf({ ...neuron, tensorIndices: [-1, -128] });
  deepStrictEqual(checkTrace(trace, facts, { lossPresent: false }), {
    node: {
      nodeType: "mlp_neuron",
      layer: 1,
      place: "mlp",
      autoencoder: null,
      residual: {
        location: "resid.post_attn",
        layerIndex: 1,
        position: { layer: 1, place: "residPostAttn" },
      },
      indices: [4, 0],
    },
    preOrPostAct: "post",
    detachLayerNormScale: true,
    attentionTraceType: null,
    downstream: null,
  });
});

Deno.test("checkTrace() takes the place of a latent from its autoencoder", () => {
  const latent = traceOf({ ...neuron, nodeType: "autoencoder_latent", tensorIndices: [4, 39] });
  const { node } = checkTrace(latent, { ...facts, autoencoders: [onAttention] }, {
    lossPresent: false,
  });
  deepStrictEqual([node.place, node.autoencoder], ["attn", onAttention]);
  throws(
    () =>
      checkTrace(latent, { ...facts, autoencoders: [onMlpWrite, onAttention] }, {
        lossPresent: false,
      }),
    { code: "generic_name_with_two_autoencoders", message: /"autoencoder_latent"/ },
  );
  refuses(latent, { code: "no_such_autoencoder", message: /"autoencoder_latent"/ });
});

Deno.test("checkTrace() wants attentionTraceType for heads only", () => {
  refuses(traceOf(head, { attentionTraceType: null }), {
    code: "invalid_trace",
    message: 'Cannot trace a node of type "attention_head" without ' +
      'traceConfig.attentionTraceType: current value is null, it must be "Q", "K", "QK" or "V"',
  });
  refuses(traceOf(neuron, { attentionTraceType: "Q" }), {
    code: "invalid_trace",
    message: 'Cannot trace a node of type "mlp_neuron" with traceConfig.attentionTraceType: ' +
      'current value is "Q", it must be null for all but attention heads',
  });
});

Deno.test("checkTrace() wants something that a V trace goes to", () => {
  const trace = traceOf(head, { attentionTraceType: "V" });
  checkTrace(trace, facts, { lossPresent: true });
  refuses(trace, {
    code: "invalid_trace",
    message: 'Cannot trace with traceConfig.attentionTraceType "V" towards nothing: ' +
      "it needs a lossFnConfig or a downstreamTraceConfig",
  }, { lossPresent: false });
  const downstreamTraceConfig = traceOf({ ...neuron, layerIndex: 2 });
  const { downstream } = checkTrace({ ...trace, downstreamTraceConfig }, facts, {
    lossPresent: false,
  });
  deepStrictEqual(downstream?.node.layer, 2);
});

Deno.test("checkTrace() wants a downstream node with V only, and not itself V", () => {
  const downstreamTraceConfig = traceOf(neuron);
  refuses(traceOf(head, { attentionTraceType: "K", downstreamTraceConfig }), {
    code: "invalid_trace",
    message: "Cannot trace towards traceConfig.downstreamTraceConfig unless " +
      'attentionTraceType is "V": current value is "K"',
  });
  const alsoV = traceOf(head, { attentionTraceType: "V" });
  refuses(traceOf(head, { attentionTraceType: "V", downstreamTraceConfig: alsoV }), {
    code: "invalid_trace",
    message: "Cannot trace towards a node with traceConfig.downstreamTraceConfig" +
      '.attentionTraceType "V": it must be "Q", "K" or "QK" for an attention head',
  });
});

Deno.test("checkTrace() wants integers for all indices, one per dimension, in range", () => {
  refuses(traceOf({ ...neuron, tensorIndices: [null, 50] }), {
    code: "invalid_trace",
    message: "Cannot use traceConfig.nodeIndex.tensorIndices [null,50]: " +
      "all of them must be integers",
  });
  refuses(traceOf({ ...neuron, tensorIndices: [4] }), {
    code: "wrong_number_of_indices",
    message: 'Cannot use tensorIndices [4] for "mlp_neuron": ' +
      "it has 2 dimensions, sequence_tokens, mlp_acts",
  });
  refuses(traceOf({ ...neuron, tensorIndices: [5, 50] }), {
    code: "index_out_of_range",
    message: 'Cannot use index 5 for "sequence_tokens" of "mlp_neuron": ' +
      "the size is 5, so indices must be from -5 to 4",
  });
});

Deno.test("checkTrace() wants a forward node of a kind that can be traced, in a layer", () => {
  refuses(traceOf({ ...neuron, layerIndex: 3 }), {
    code: "no_such_layer",
    message: "Cannot use traceConfig.nodeIndex.layerIndex 3: layers must be from 0 to 2",
  });
  refuses(traceOf({ ...neuron, layerIndex: null }), { code: "no_such_layer", message: /null/ });
  refuses(traceOf({ ...neuron, passType: "backward" }), {
    code: "invalid_trace",
    message: 'Cannot use traceConfig.nodeIndex.passType "backward": it must be "forward"',
  });
  refuses(traceOf({ ...neuron, nodeType: "layer" }), { code: "invalid_trace", message: /"layer"/ });
  const latent = traceOf({ ...neuron, nodeType: "mlp_autoencoder_latent", layerIndex: 2 });
  throws(
    () => checkTrace(latent, { ...facts, autoencoders: [onNeurons] }, { lossPresent: false }),
    { code: "no_such_autoencoder", message: /in layer 2/ },
  );
});
