/**
 * What the backward pass of the float64 model starts from: the loss, or one traced
 * activation recomputed from the residual stream before it.
 *
 * @module
 */

import type { LossFnConfig, TraceConfig } from "../../derivers/request.ts";
import { gelu } from "./activation.ts";
import { qkLogits, softmaxKeys, weightedSum } from "./attention.ts";
import { pick, rows } from "./gather.ts";
import { linear } from "./linear.ts";
import { loss, type LossSpec } from "./loss.ts";
import {
  refActivate,
  refAttentionWrite,
  refDense,
  refHeads,
  refKey,
  refLatentPre,
  refLayerNorm,
  type RefPrompt,
  type RefRun,
  runRefModel,
} from "./model.ts";
import type { RefAutoencoder, RefModel } from "./model_weights.ts";
import { mapRef, type Ref, ref } from "./ref.ts";
import { constant, RefTape } from "./tape.ts";

/** A loss; the tokens of the golden models are written `<17>`. */
export type RefLoss = LossFnConfig;

/** What one sequence gives. */
export interface RefResult extends RefRun {
  readonly loss: number | null;
  readonly traced: number | null;
  /** Of the objective, by the keys of the activations; absent where it does not depend on them. */
  readonly gradients: ReadonlyMap<string, Ref>;
}

const tokenOf = (text: string) => Number(/^<(\d+)>$/.exec(text)![1]);

function lossSpec({ name, targetTokens, distractorTokens }: RefLoss, V: number): LossSpec {
  const coefficients = new Float64Array(V);
  const spread = (tokens: readonly string[] | null | undefined, total: number) => {
    for (const text of tokens ?? []) coefficients[tokenOf(text)]! += total / tokens!.length;
  };
  if (name === "logit_minus_mean") coefficients.fill(-1 / V);
  spread(targetTokens, name === "probs" ? targetTokens!.length : 1);
  if (name === "logit_diff") spread(distractorTokens, -1);
  const kind = name === "probs" || name === "zero" ? name : "linear";
  return { row: 0, kind, coefficients };
}

/** The loss of logits [T, V], on the last row. */
function lossOf(tape: RefTape, logits: Ref, config: RefLoss): Ref {
  const [T, V] = logits.shape as [number, number];
  const last = tape.run(rows, [logits], { start: T - 1, count: 1 });
  return tape.run(loss, [last], { specs: [lossSpec(config, V)] });
}

/** An autoencoder among those of the run, by the type of its latents. */
function autoencoderOf(nodeType: string, autoencoders: readonly RefAutoencoder[]) {
  if (nodeType === "autoencoder_latent") return autoencoders[0]!;
  const onAttention = nodeType === "attention_autoencoder_latent";
  return autoencoders.find(({ dst }) => (dst === "resid_delta_attn") === onAttention)!;
}

interface Recompute {
  readonly model: RefModel;
  readonly autoencoders: readonly RefAutoencoder[];
}

/** Key of the residual before a node. */
export function residualKeyOf(
  { nodeType, layerIndex }: TraceConfig["nodeIndex"],
  autoencoders: readonly RefAutoencoder[],
): string {
  const layer = layerIndex!;
  const beforeAttention = nodeType === "attention_head" ||
    (nodeType.endsWith("latent") &&
      autoencoderOf(nodeType, autoencoders).dst === "resid_delta_attn");
  if (!beforeAttention) return refKey("resid.post_attn", layer);
  return layer === 0 ? refKey("resid.post_emb", null) : refKey("resid.post_mlp", layer - 1);
}

/** A node's activation from the residual x before it; not for V traces. */
function nodeFrom(tape: RefTape, x: Ref, trace: TraceConfig, at: Recompute): Ref {
  const { model, autoencoders } = at;
  const { nodeType, tensorIndices } = trace.nodeIndex;
  const layer = trace.nodeIndex.layerIndex!;
  const { weights, eps } = model;
  const T = x.shape[0]!;
  const lengths = [T];
  const indices = (tensorIndices as number[]).map((i) => i);
  const detachScale = trace.detachLayerNormScale;
  const norm = (name: string) => refLayerNorm(tape, x, { weights, name, eps, detachScale });
  const neuronsPre = () => refDense(tape, norm(`h.${layer}.ln_2`), weights, `h.${layer}.mlp.c_fc`);
  const chosen = (pre: Ref, post: Ref) => trace.preOrPostAct === "pre" ? pre : post;
  const pickAt = (y: Ref, width: number) => {
    const row = nodeType === "attention_head"
      ? wrap(indices[0]!, T) * T + wrap(indices[1]!, T)
      : wrap(indices[0]!, T);
    return tape.run(pick, [y], { index: row * width + wrap(indices.at(-1)!, width) });
  };
  const attention = (through: string) => {
    const y = norm(`h.${layer}.ln_1`);
    const head = (which: "q" | "k" | "v") => refHeads(tape, y, { model, layer, which });
    const q = through === "K" ? constant(head("q")) : head("q");
    const k = through === "Q" ? constant(head("k")) : head("k");
    const pre = tape.run(qkLogits, [q, k], { lengths, causal: true });
    return { pre, post: tape.run(softmaxKeys, [pre], { lengths }), v: head("v") };
  };
  if (nodeType === "attention_head") {
    const { pre, post } = attention(trace.attentionTraceType!);
    return pickAt(chosen(pre, post), model.nHeads);
  }
  if (nodeType === "mlp_neuron") {
    const pre = neuronsPre();
    return pickAt(chosen(pre, tape.run(gelu, [pre], {})), pre.shape[1]!);
  }
  const autoencoder = autoencoderOf(nodeType, autoencoders);
  let input: Ref;
  if (autoencoder.dst === "resid_delta_attn") {
    const { post, v } = attention("QK");
    const out = tape.run(weightedSum, [post, v], { lengths });
    input = refAttentionWrite(tape, out, { model, layer });
  } else {
    input = tape.run(gelu, [neuronsPre()], {});
    if (autoencoder.dst === "resid_delta_mlp") {
      input = refDense(tape, input, weights, `h.${layer}.mlp.c_proj`);
    }
  }
  const pre = refLatentPre(tape, input, autoencoder.layers.get(layer)!);
  return pickAt(chosen(pre, refActivate(tape, pre, autoencoder)), pre.shape[1]!);
}

const wrap = (index: number, size: number) => index < 0 ? index + size : index;

/** d act(node) / dx at the residual x before it. */
export function gradientOfNode(x: Ref, trace: TraceConfig, at: Recompute): Ref {
  const tape = new RefTape();
  const from = constant(x);
  return tape.backward(nodeFrom(tape, from, trace, at)).get(from) ?? mapRef(x, () => 0);
}

/** A[q,k,h] ⟨v[k,h] W_O[h], g[q]⟩, of which only v depends on the residual. */
function valueTrace(
  run: RefRun,
  trace: TraceConfig,
  { at, loss }: { at: Recompute; loss: RefLoss | null },
): Ref {
  const { tape, used } = run;
  const { model, autoencoders } = at;
  const { nHeads, dModel, nLayers, weights, eps } = model;
  const layer = trace.nodeIndex.layerIndex!;
  const x = used.get(residualKeyOf(trace.nodeIndex, autoencoders))!;
  const T = x.shape[0]!;
  const lengths = [T];
  const e = dModel / nHeads;
  const [q, k, h] = (trace.nodeIndex.tensorIndices as number[]).map((index, dim) =>
    wrap(index, [T, T, nHeads][dim]!)
  ) as [number, number, number];
  const { downstreamTraceConfig: downstream } = trace;
  let g: Ref;
  if (downstream) {
    const residual = used.get(residualKeyOf(downstream.nodeIndex, autoencoders))!;
    g = gradientOfNode(residual, downstream, at);
  } else {
    const own = new RefTape();
    const final = constant(used.get(refKey("resid.post_mlp", nLayers - 1))!);
    const y = refLayerNorm(own, final, { weights, name: "ln_f", eps, detachScale: true });
    const logits = own.run(linear, [y, weights("lm_head.weight")], { transposed: true });
    g = own.backward(lossOf(own, logits, loss!)).get(final)!;
  }
  const y = refLayerNorm(tape, x, { weights, name: `h.${layer}.ln_1`, eps, detachScale: true });
  const head = (which: "q" | "k" | "v") => refHeads(tape, y, { model, layer, which });
  const scores = qkLogits.forward([head("q"), head("k")], { lengths, causal: true });
  const probs = softmaxKeys.forward([scores], { lengths });
  const wO = weights(`h.${layer}.attn.c_proj.weight`);
  const factors = mapRef(ref([T * nHeads * e, 1]), (_, i) => {
    if (Math.floor(i / e) !== k * nHeads + h) return 0;
    let along = 0;
    for (let o = 0; o < dModel; o++) {
      along += wO.data[(h * e + i % e) * dModel + o]! * g.data[q * dModel + o]!;
    }
    return probs.data[(q * T + k) * nHeads + h]! * along;
  });
  const flat = tape.reshape(head("v"), [1, T * nHeads * e]);
  return tape.reshape(tape.run(linear, [flat, factors], {}), [1]);
}

/** Runs a prompt with its objective. */
export function runRef(
  model: RefModel,
  prompt: RefPrompt,
  objective: { loss: RefLoss | null; trace: TraceConfig | null },
): RefResult {
  const run = runRefModel(model, prompt);
  const at = { model, autoencoders: prompt.autoencoders };
  const { tape, used } = run;
  const { trace } = objective;
  const lossValue = objective.loss && lossOf(tape, run.logits, objective.loss);
  const traced = trace &&
    (trace.attentionTraceType === "V"
      ? valueTrace(run, trace, { at, loss: objective.loss })
      : nodeFrom(tape, used.get(residualKeyOf(trace.nodeIndex, prompt.autoencoders))!, trace, at));
  const start = traced ?? lossValue;
  const found = start ? tape.backward(start) : new Map<Ref, Ref>();
  const gradients = new Map<string, Ref>();
  for (const [key, tensor] of used) {
    const gradient = found.get(tensor);
    if (gradient !== undefined) gradients.set(key, gradient);
  }
  return {
    ...run,
    gradients,
    loss: lossValue?.data[0] ?? null,
    traced: traced?.data[0] ?? null,
  };
}
