/**
 * The table of derived scalars. A row says everything there is to say about one:
 * dimensions, how it is computed and, in words, the formula. Whether it needs a
 * backward pass, its node type, the types, the schemas and the documentation
 * follow from the row.
 *
 * t, q: position; k: position attended to; h: head; c: channel of a head; n: neuron;
 * i: latent; o: channel of the residual stream. A: attention pattern, v: values,
 * o: weighted sum of values, a: neurons after their nonlinearity, z: latents of an
 * autoencoder spliced into the run, w: write vectors. ⟦P⟧X: X where the node comes
 * before the direction, zeros otherwise. tri(X): rows (q, k) with k ≤ q.
 *
 * @module
 */

import { type DimName, type LocationName, locations } from "../engine/tape/locations.ts";
import type { AutoencoderChoice } from "./choose_autoencoder.ts";
import { finalActivation, finalResidual, subnodeAttribution } from "./directions.ts";
import {
  edgeActivation,
  edgeAttribution,
  edgeAutoencoder,
  layerOfNode,
  singleNodeWrite,
  singleNodeWriteAlong,
  toKeys,
  toLatents,
  toNeurons,
  toQueries,
  valueEdgeAttribution,
} from "./edge_rules.ts";
import { autoencoderNamed, bwd, fwd, online, previousResid } from "./inputs.ts";
import {
  headToEachLatent,
  headToLatent,
  headToLatentOfToken,
  latentGradientRule,
  pairToEachLatent,
} from "./latent_rules.ts";
import { type NodeType, nodeTypeOfDim, type ScalarDimName } from "./nodes.ts";
import type { Rule } from "./rule.ts";
import {
  copy,
  dot,
  headAlong,
  headAlongOfToken,
  headWrite,
  headWriteNorm,
  headWriteNormGradient,
  headWriteNormOfToken,
  headWriteSum,
  norm,
  offline,
  offlineWriteNorm,
  one,
  product,
  residualAlong,
  sumHeads,
  sumKeys,
  tri,
  weightedValue,
  write,
  writeAlong,
  writeNorm,
  writeSum,
} from "./rules.ts";
import { vocabularyToUnit } from "./vocabulary_rule.ts";
import { errorSite, latentSite, neuron } from "./write_sites.ts";

/** One row of {@linkcode scalarTable}. */
export interface ScalarRow {
  /** Dimensions, positions first. */
  readonly dims: readonly ScalarDimName[];
  /** Whether there is one such tensor in each layer. */
  readonly perLayer: boolean;
  /** What an entry belongs to. */
  readonly nodeType: NodeType;
  /** How it is computed, for people. */
  readonly formula: string;
  /** How it is computed. */
  readonly rule: Rule;
  /** How its gradient is computed, if it has one. */
  readonly backward?: Rule;
  /** The activation that it is, if it is nothing else. */
  readonly raw?: LocationName;
}

/** Short names of dimensions. */
const short = {
  t: "sequence_tokens",
  k: "attended_to_sequence_tokens",
  h: "attn_heads",
  c: "value_channels",
  d: "residual_stream_channels",
  F: "mlp_acts",
  V: "vocab_size",
  M: "autoencoder_latents",
  one: "singleton",
  pairs: "sequence_token_pairs",
} as const satisfies Record<string, ScalarDimName>;

type Short = keyof typeof short;

/** A scalar with one tensor in each layer. */
function each(
  dims: readonly Short[],
  rule: Rule,
  { formula, backward, nodeType }: { formula: string; backward?: Rule; nodeType?: NodeType },
): ScalarRow {
  const names = dims.map((dim) => short[dim]);
  return {
    dims: names,
    perLayer: true,
    nodeType: nodeType ?? nodeTypeOfDim(names.at(-1)!),
    formula,
    rule,
    ...(backward && { backward }),
  };
}

/** A scalar with one tensor for the whole run. */
function once(
  dims: readonly Short[],
  rule: Rule,
  options: { formula: string; backward?: Rule },
): ScalarRow {
  return { ...each(dims, rule, options), perLayer: false };
}

/** A saved activation. */
function raw(location: LocationName): ScalarRow {
  const { dims, perLayer } = locations[location];
  return {
    dims,
    perLayer,
    nodeType: nodeTypeOfDim(dims.at(-1) as DimName),
    formula: `the saved ${location}`,
    rule: copy(fwd(location)),
    backward: copy(bwd(location)),
    raw: location,
  };
}

const resid = (place: "residPostAttn" | "residPostMlp" | "attn" | "mlp" | null) => ({
  place,
  direction: finalResidual,
});

const residualInputs = ["resid_delta_attn", "resid_delta_mlp"] as const;

const choices = {
  autoencoder: "only",
  mlp_autoencoder: "mlp",
  attention_autoencoder: "attention",
} as const satisfies Record<string, AutoencoderChoice>;
type Which = keyof typeof choices;

function nodeTypeOf(which: Which) {
  return { nodeType: `${which}_latent` as NodeType };
}

/** Scalars of the latents of one autoencoder, of the saved activation or spliced in. */
function latents(which: Which) {
  const autoencoderOf = autoencoderNamed(choices[which]);
  const site = latentSite(autoencoderOf);
  const node = nodeTypeOf(which);
  // Reference: the write of the generic name counts as residual stream channels.
  const writeNode = which === "autoencoder" ? {} : node;
  return {
    latent: each(["t", "M"], offline(autoencoderOf), { formula: "encode(x)[i]", ...node }),
    writeNorm: each(["t", "M"], offlineWriteNorm(autoencoderOf, site), {
      formula: "encode(x)[i] · ‖w[i]‖",
      ...node,
    }),
    onlineLatent: each(["t", "M"], copy(site.act, site.layers), { formula: "z[t,i]", ...node }),
    onlineWrite: each(["t", "M", "d"], write(site), { formula: "z[t,i] · w[i,o]", ...writeNode }),
    onlineWriteNorm: each(["t", "M"], writeNorm(site), { formula: "z[t,i] · ‖w[i]‖", ...node }),
    onlineActTimesGrad: each(["t", "M"], product(site.act, site.grad, site.layers), {
      formula: "z · gradient of z",
      ...node,
    }),
    onlineToFinalResidual: each(["t", "M"], writeAlong(site, finalResidual), {
      formula: "⟦P⟧ z[t,i] ⟨w[i], G_f[t]⟩",
      ...node,
    }),
    onlineToFinalActivation: each(["t", "M"], writeAlong(site, finalActivation), {
      formula: "⟦P⟧ z[t,i] ⟨w[i], G_a[t]⟩",
      ...node,
    }),
  };
}

const generic = latents("autoencoder");
const mlp = latents("mlp_autoencoder");
const attention = latents("attention_autoencoder");

const neuronErrorOf = autoencoderNamed("mlp_post_act");
const neuronError = errorSite(neuronErrorOf);

/** The error of an autoencoder on one input. */
function errorOf(choice: AutoencoderChoice, dims: readonly Short[]): ScalarRow {
  const autoencoderOf = autoencoderNamed(choice);
  const input = online(autoencoderOf, { which: "error", pass: "forward" });
  return each(dims, copy(input, (asked) => autoencoderOf(asked).layers), {
    formula: "x − decode(encode(x))",
  });
}

const probs = fwd("attn.qk_probs");
const probsGradient = bwd("attn.qk_probs");
const patternTimesGradient = product(probs, probsGradient);
const embeddingSubnode = dot(fwd("resid.post_emb"), subnodeAttribution);
const edgeLatent = latentSite(edgeAutoencoder("downstream"));

/** Every derived scalar. */
export const scalarTable = {
  // Saved activations
  logits: raw("logits"),
  resid_post_embedding: raw("resid.post_emb"),
  mlp_pre_act: raw("mlp.pre_act"),
  mlp_post_act: raw("mlp.post_act"),
  resid_delta_mlp: raw("resid.delta_mlp"),
  resid_post_mlp: raw("resid.post_mlp"),
  attn_query: raw("attn.q"),
  attn_key: raw("attn.k"),
  attn_value: raw("attn.v"),
  attn_qk_logits: raw("attn.qk_logits"),
  attn_qk_probs: raw("attn.qk_probs"),
  attn_weighted_sum_of_values: raw("attn.v_out"),
  resid_delta_attn: raw("resid.delta_attn"),
  resid_post_attn: raw("resid.post_attn"),
  resid_final_layer_norm_scale: raw("resid.ln_f.scale"),
  attn_input_layer_norm_scale: raw("attn_ln.scale"),
  mlp_input_layer_norm_scale: raw("mlp_ln.scale"),
  previous_layer_resid_post_mlp: each(["t", "d"], copy(previousResid("forward")), {
    formula: "resid.post_mlp of the layer before; resid.post_emb before layer 0",
    backward: copy(previousResid("backward")),
  }),
  always_one: once(["t", "one"], one, { formula: "1", backward: one }),

  // Norms and writes
  mlp_write_norm: each(["t", "F"], writeNorm(neuron), { formula: "a[t,n] · ‖W_out[n]‖" }),
  mlp_write: each(["t", "F", "d"], write(neuron), { formula: "a[t,n] · W_out[n,o]" }),
  resid_delta_mlp_from_mlp_post_act: each(["t", "d"], writeSum(neuron), {
    formula: "Σ_n a[t,n] W_out[n,o], without bias",
  }),
  unflattened_attn_write_norm: each(["t", "k", "h"], headWriteNorm, {
    formula: "A[q,k,h] · ‖v[k,h] W_O[h]‖",
    backward: headWriteNormGradient,
  }),
  attn_write_norm: each(["pairs", "h"], tri(headWriteNorm), {
    formula: "tri(A[q,k,h] · ‖v[k,h] W_O[h]‖)",
    backward: tri(headWriteNormGradient),
  }),
  flattened_attn_post_softmax: each(["pairs", "h"], tri(copy(probs)), {
    formula: "tri(A)",
    backward: tri(copy(probsGradient)),
  }),
  attn_write_norm_per_sequence_token: each(["t", "h"], headWriteNormOfToken, {
    formula: "‖o[q,h] W_O[h]‖",
  }),
  attn_weighted_value: each(["t", "k", "h", "c"], weightedValue, {
    formula: "A[q,k,h] · v[k,h,c]",
  }),
  attn_write: each(["t", "k", "h", "d"], headWrite, {
    formula: "A[q,k,h] · (v[k,h] W_O[h])[o]",
  }),
  attn_write_sum_heads: each(["t", "k", "d"], headWriteSum, {
    formula: "Σ_h A[q,k,h] · (v[k,h] W_O[h])[o]",
  }),
  resid_post_embedding_norm: once(["t", "one"], norm("resid.post_emb"), {
    formula: "‖resid.post_emb[t]‖",
  }),
  resid_post_attn_norm: each(["t", "one"], norm("resid.post_attn"), {
    formula: "‖resid.post_attn[t]‖",
  }),
  resid_post_mlp_norm: each(["t", "one"], norm("resid.post_mlp"), {
    formula: "‖resid.post_mlp[t]‖",
  }),
  attn_layer_write_norm: each(["t", "one"], norm("resid.delta_attn"), {
    formula: "‖resid.delta_attn[t]‖",
  }),
  mlp_layer_write_norm: each(["t", "one"], norm("resid.delta_mlp"), {
    formula: "‖resid.delta_mlp[t]‖",
  }),

  // Activation times gradient
  mlp_act_times_grad: each(["t", "F"], product(neuron.act, neuron.grad), {
    formula: "a · gradient of a",
  }),
  unflattened_attn_act_times_grad: each(["t", "k", "h"], patternTimesGradient, {
    formula: "A · gradient of A",
  }),
  attn_act_times_grad: each(["pairs", "h"], tri(patternTimesGradient), {
    formula: "tri(A · gradient of A)",
  }),
  attn_act_times_grad_per_sequence_token: each(["t", "h"], sumKeys(patternTimesGradient), {
    formula: "Σ_k A · gradient of A",
  }),
  token_attribution: once(["t", "one"], dot(fwd("resid.post_emb"), bwd("resid.post_emb")), {
    formula: "⟨x[t], gradient of x[t]⟩, x = resid.post_emb",
  }),

  // Direct write along the final residual gradient
  mlp_write_to_final_residual_grad: each(["t", "F"], writeAlong(neuron, finalResidual), {
    formula: "⟦P⟧ a[t,n] ⟨W_out[n], G_f[t]⟩",
  }),
  unflattened_attn_write_to_final_residual_grad: each(
    ["t", "k", "h"],
    headAlong(finalResidual),
    { formula: "⟦P⟧ A[q,k,h] ⟨v[k,h] W_O[h], G_f[q]⟩" },
  ),
  attn_write_to_final_residual_grad: each(["pairs", "h"], tri(headAlong(finalResidual)), {
    formula: "tri(⟦P⟧ A[q,k,h] ⟨v[k,h] W_O[h], G_f[q]⟩)",
  }),
  attn_write_to_final_residual_grad_per_sequence_token: each(
    ["t", "h"],
    headAlongOfToken(finalResidual),
    { formula: "⟦P⟧ ⟨o[q,h] W_O[h], G_f[q]⟩" },
  ),
  resid_post_embedding_proj_to_final_residual_grad: once(
    ["t", "one"],
    residualAlong("resid.post_emb", resid(null)),
    { formula: "⟨resid.post_emb[t], G_f[t]⟩" },
  ),
  resid_post_mlp_proj_to_final_residual_grad: each(
    ["t", "one"],
    residualAlong("resid.post_mlp", resid("residPostMlp")),
    { formula: "⟦P⟧ ⟨resid.post_mlp[t], G_f[t]⟩" },
  ),
  resid_post_attn_proj_to_final_residual_grad: each(
    ["t", "one"],
    residualAlong("resid.post_attn", resid("residPostAttn")),
    { formula: "⟦P⟧ ⟨resid.post_attn[t], G_f[t]⟩" },
  ),
  mlp_layer_write_to_final_residual_grad: each(
    ["t", "one"],
    residualAlong("resid.delta_mlp", resid("mlp")),
    { formula: "⟦P⟧ ⟨resid.delta_mlp[t], G_f[t]⟩" },
  ),
  attn_layer_write_to_final_residual_grad: each(
    ["t", "one"],
    residualAlong("resid.delta_attn", resid("attn")),
    { formula: "⟦P⟧ ⟨resid.delta_attn[t], G_f[t]⟩" },
  ),
  single_node_write_to_final_residual_grad: each(
    ["t", "one"],
    singleNodeWriteAlong(finalResidual),
    { formula: "⟦P⟧ ⟨S[t], G_f[t]⟩, in the node's layer" },
  ),

  // Write along the gradient of one activation
  mlp_write_to_final_activation_residual_grad: each(
    ["t", "F"],
    writeAlong(neuron, finalActivation),
    { formula: "⟦P⟧ a[t,n] ⟨W_out[n], G_a[t]⟩" },
  ),
  unflattened_attn_write_to_final_activation_residual_grad: each(
    ["t", "k", "h"],
    headAlong(finalActivation),
    { formula: "⟦P⟧ A[q,k,h] ⟨v[k,h] W_O[h], G_a[q]⟩" },
  ),
  resid_post_embedding_proj_to_final_activation_residual_grad: once(
    ["t", "one"],
    residualAlong("resid.post_emb", { place: null, direction: finalActivation }),
    { formula: "⟨resid.post_emb[t], G_a[t]⟩" },
  ),

  // Latents of the only autoencoder
  autoencoder_latent: generic.latent,
  autoencoder_write_norm: generic.writeNorm,
  online_autoencoder_latent: generic.onlineLatent,
  online_autoencoder_write: generic.onlineWrite,
  online_autoencoder_write_norm: generic.onlineWriteNorm,
  online_autoencoder_act_times_grad: generic.onlineActTimesGrad,
  online_autoencoder_write_to_final_residual_grad: generic.onlineToFinalResidual,
  online_autoencoder_write_to_final_activation_residual_grad: generic.onlineToFinalActivation,

  // Latents of the autoencoder of the MLP
  mlp_autoencoder_latent: mlp.latent,
  mlp_autoencoder_write_norm: mlp.writeNorm,
  online_mlp_autoencoder_latent: mlp.onlineLatent,
  online_mlp_autoencoder_write: mlp.onlineWrite,
  online_mlp_autoencoder_write_norm: mlp.onlineWriteNorm,
  online_mlp_autoencoder_act_times_grad: mlp.onlineActTimesGrad,
  online_mlp_autoencoder_write_to_final_residual_grad: mlp.onlineToFinalResidual,
  online_mlp_autoencoder_write_to_final_activation_residual_grad: mlp.onlineToFinalActivation,

  // Latents of the autoencoder of attention
  attention_autoencoder_latent: attention.latent,
  attention_autoencoder_write_norm: attention.writeNorm,
  online_attention_autoencoder_latent: attention.onlineLatent,
  online_attention_autoencoder_write: attention.onlineWrite,
  online_attention_autoencoder_write_norm: attention.onlineWriteNorm,
  online_attention_autoencoder_act_times_grad: attention.onlineActTimesGrad,
  online_attention_autoencoder_write_to_final_residual_grad: attention.onlineToFinalResidual,
  online_attention_autoencoder_write_to_final_activation_residual_grad:
    attention.onlineToFinalActivation,

  // Errors of autoencoders
  online_mlp_autoencoder_error: errorOf("mlp_post_act", ["t", "F"]),
  online_residual_mlp_autoencoder_error: errorOf("resid_delta_mlp", ["t", "d"]),
  online_residual_attention_autoencoder_error: errorOf("resid_delta_attn", ["t", "d"]),
  online_mlp_autoencoder_error_act_times_grad: each(
    ["t", "F"],
    product(neuronError.act, neuronError.grad, neuronError.layers),
    { formula: "error · gradient of the error" },
  ),
  online_mlp_autoencoder_error_write_norm: each(["t", "F"], writeNorm(neuronError), {
    formula: "error[t,n] · ‖W_out[n]‖",
  }),
  online_mlp_autoencoder_error_write_to_final_residual_grad: each(
    ["t", "F"],
    writeAlong(neuronError, finalResidual),
    { formula: "⟦P⟧ error[t,n] ⟨W_out[n], G_f[t]⟩" },
  ),

  // One latent, and what attention writes towards it
  autoencoder_latent_grad_wrt_residual_input: each(
    ["t", "d"],
    latentGradientRule(residualInputs, { onlyItsLayer: false }),
    { formula: "D[t] = d encode(x[t])_i / dx[t]" },
  ),
  autoencoder_latent_grad_wrt_mlp_post_act_input: each(
    ["t", "F"],
    latentGradientRule(["mlp_post_act"], { onlyItsLayer: true }),
    { formula: "d encode(a[t])_i / da[t], in the latent's layer" },
  ),
  attn_write_to_latent: each(["t", "k", "h"], headToLatent, {
    formula: "A[q,k,h] ⟨v[k,h] W_O[h], D[q]⟩",
  }),
  attn_write_to_latent_summed_over_heads: each(["t", "k", "one"], sumHeads(headToLatent), {
    formula: "Σ_h A[q,k,h] ⟨v[k,h] W_O[h], D[q]⟩",
  }),
  flattened_attn_write_to_latent_summed_over_heads: each(
    ["pairs", "one"],
    tri(sumHeads(headToLatent)),
    { formula: "tri(Σ_h A[q,k,h] ⟨v[k,h] W_O[h], D[q]⟩)" },
  ),
  attn_write_to_latent_per_sequence_token: each(["t", "h"], headToLatentOfToken, {
    formula: "⟨o[q,h] W_O[h], D[q]⟩",
  }),
  flattened_attn_write_to_latent_summed_over_heads_batched: each(
    ["pairs", "M"],
    pairToEachLatent,
    { formula: "tri(m[q,i] Σ_h A[q,k,h] ⟨v[k,h] W_O[h], W_enc[i]⟩), m: 1 where active" },
  ),
  attn_write_to_latent_per_sequence_token_batched: each(["t", "h", "M"], headToEachLatent, {
    formula: "m[q,i] ⟨o[q,h] W_O[h], W_enc[i]⟩, m: 1 where active",
  }),

  // One node, and edges between nodes
  single_node_write: each(["t", "d"], singleNodeWrite, {
    formula: "S: the node's write, zeros in other rows; in its layer",
  }),
  grad_of_single_subnode_attribution: each(
    ["t", "d"],
    copy(subnodeAttribution, layerOfNode("downstream")),
    { formula: "G_s = d (activation(x) · gradient)[node] / dx, in its layer" },
  ),
  attn_out_edge_attribution: each(["t", "k", "h"], headAlong(subnodeAttribution), {
    formula: "⟦P⟧ A[q,k,h] ⟨v[k,h] W_O[h], G_s[q]⟩",
  }),
  mlp_out_edge_attribution: each(["t", "F"], writeAlong(neuron, subnodeAttribution), {
    formula: "⟦P⟧ a[t,n] ⟨W_out[n], G_s[t]⟩",
  }),
  online_autoencoder_out_edge_attribution: each(
    ["t", "M"],
    writeAlong(edgeLatent, subnodeAttribution),
    { formula: "⟦P⟧ z[t,i] ⟨w[i], G_s[t]⟩" },
  ),
  token_out_edge_attribution: once(["t", "one"], embeddingSubnode, {
    formula: "⟨resid.post_emb[t], G_s[t]⟩",
  }),
  mlp_in_edge_attribution: each(["t", "F"], edgeAttribution(toNeurons), {
    formula: "gradient of a · (J[gelu(pre(x))] S)",
  }),
  attn_query_in_edge_attribution: each(["t", "k", "h"], edgeAttribution(toQueries), {
    formula: "gradient of A · (J[A(x), through q] S)",
  }),
  attn_key_in_edge_attribution: each(["t", "k", "h"], edgeAttribution(toKeys), {
    formula: "gradient of A · (J[A(x), through k] S)",
  }),
  attn_value_in_edge_attribution: each(["t", "k", "h"], valueEdgeAttribution, {
    formula: "A[q,k,h] ⟨(J[v(x)] S)[k,h], gradient of o[q,h]⟩",
  }),
  online_autoencoder_in_edge_attribution: each(["t", "M"], edgeAttribution(toLatents), {
    formula: "gradient of z · (J[latent(x)] S)",
  }),
  mlp_in_edge_activation: each(["t", "F"], edgeActivation(toNeurons), {
    formula: "J[gelu(pre(x))] S, scale constant",
  }),
  attn_query_in_edge_activation: each(["t", "k", "h"], edgeActivation(toQueries), {
    formula: "J[A(x), through q] S, scale constant",
  }),
  attn_key_in_edge_activation: each(["t", "k", "h"], edgeActivation(toKeys), {
    formula: "J[A(x), through k] S, scale constant",
  }),
  online_autoencoder_in_edge_activation: each(["t", "M"], edgeActivation(toLatents), {
    formula: "J[latent(x)] S, scale constant",
  }),

  // The vocabulary as input
  vocab_token_write_to_input_direction: once(["t", "V"], vocabularyToUnit, {
    formula: "pre-activation of the unit with x = the token's embedding",
  }),
} as const satisfies Record<string, ScalarRow>;

/** Name of a derived scalar. */
export type ScalarName = keyof typeof scalarTable;

/** Every scalar's name. */
export const scalarNames = Object.keys(scalarTable) as [ScalarName, ...ScalarName[]];

/** Whether a scalar's forward value needs a backward pass. */
export function needsBackwardPass({ rule }: ScalarRow): boolean {
  return rule.inputs.some((input) => input.usesGradient);
}
