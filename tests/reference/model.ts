/**
 * A whole GPT-2 in float64, with slots, ablations and autoencoders, written from the
 * specification and from nothing of the library but the names of the locations: what
 * `deriveScalars()` is held to where the golden data has no case.
 *
 * @module
 */

import type { AblationSpec } from "../../derivers/request.ts";
import { type LocationName, locations, type PassType } from "../../engine/tape/locations.ts";
import { gelu, identity, relu, topK } from "./activation.ts";
import { qkLogits, softmaxKeys, weightedSum } from "./attention.ts";
import { add, sub } from "./elementwise.ts";
import { embed } from "./embed.ts";
import { linear } from "./linear.ts";
import type { RefAutoencoder, RefModel, RefWeights } from "./model_weights.ts";
import { normApply, normScale } from "./norm.ts";
import { overwrite } from "./overwrite.ts";
import { mapRef, type Ref, ref, type ReferenceOp } from "./ref.ts";
import { constant, RefTape } from "./tape.ts";

/** A prompt and what is overwritten while it runs. */
export interface RefPrompt {
  readonly tokens: readonly number[];
  readonly ablations: readonly AblationSpec[];
  readonly autoencoders: readonly RefAutoencoder[];
}

/** What ran: every activation, by `location/layer` (`none` where there are no layers). */
export interface RefRun {
  readonly tape: RefTape;
  /** As saved. */
  readonly activations: ReadonlyMap<string, Ref>;
  /** As used from there on: the gradients are theirs. */
  readonly used: ReadonlyMap<string, Ref>;
  readonly logits: Ref;
}

/** The key of an activation. */
export function refKey(location: LocationName, layer: number | null): string {
  return `${location}/${layer ?? "none"}`;
}

/** Scales and shifts; the scale passes `visit`, or is a constant. */
export function refLayerNorm(
  tape: RefTape,
  x: Ref,
  { weights, name, eps, visit = (s) => s, detachScale = false }: {
    weights: RefWeights;
    name: string;
    eps: number;
    visit?: (scale: Ref) => Ref;
    detachScale?: boolean;
  },
): Ref {
  const own = tape.run(normScale, [x], { eps });
  const scale = visit(detachScale ? constant(own) : own);
  return tape.run(
    normApply,
    [x, scale, weights(`${name}.weight`), weights(`${name}.bias`)],
    {},
  );
}

/** Queries, keys or values: [T, H, e], the former two times e^(-1/4). */
export function refHeads(
  tape: RefTape,
  y: Ref,
  { model, layer, which }: { model: RefModel; layer: number; which: "q" | "k" | "v" },
): Ref {
  const { dModel, nHeads, weights } = model;
  const e = dModel / nHeads;
  const attn = `h.${layer}.attn.c_attn`;
  const x = tape.run(linear, [y, weights(`${attn}.weight`), weights(`${attn}.bias`)], {
    columns: { start: "qkv".indexOf(which) * dModel, count: dModel },
    alpha: which === "v" ? 1 : e ** -0.25,
  });
  return tape.reshape(x, [y.shape[0]!, nHeads, e]);
}

/** What attention writes, bias included: [T, d]. */
export function refAttentionWrite(
  tape: RefTape,
  out: Ref,
  { model, layer }: { model: RefModel; layer: number },
): Ref {
  const proj = `h.${layer}.attn.c_proj`;
  const { dModel, weights } = model;
  const flat = tape.reshape(out, [out.shape[0]!, dModel]);
  return tape.run(linear, [flat, weights(`${proj}.weight`), weights(`${proj}.bias`)], {});
}

/** A dense layer with its bias. */
export function refDense(tape: RefTape, x: Ref, weights: RefWeights, name: string): Ref {
  return tape.run(linear, [x, weights(`${name}.weight`), weights(`${name}.bias`)], {});
}

/** Pre-activations of an autoencoder's latents: (x − pre_bias) W_encᵀ + latent_bias. */
export function refLatentPre(tape: RefTape, x: Ref, weights: RefWeights): Ref {
  const rows = x.shape[0]!;
  const preBias = weights("pre_bias");
  const repeated = mapRef(
    ref([rows, preBias.shape[0]!]),
    (_, i) => preBias.data[i % preBias.shape[0]!]!,
  );
  const centred = tape.run(sub, [x, repeated], {});
  return tape.run(linear, [centred, weights("encoder.weight"), weights("latent_bias")], {
    transposed: true,
  });
}

/** The latents' activation function. */
export function refActivate(tape: RefTape, pre: Ref, { activation, k }: RefAutoencoder): Ref {
  if (activation === "TopK") return tape.run(topK, [pre], { k });
  const op: ReferenceOp<[Ref], unknown> = activation === "ReLU" ? relu : identity;
  return tape.run(op, [pre], {});
}

const siteOf = {
  mlp_post_act: ["mlp.post_act", "mlp", "online_mlp_autoencoder_error"],
  resid_delta_mlp: ["resid.delta_mlp", "mlp", "online_residual_mlp_autoencoder_error"],
  resid_delta_attn: [
    "resid.delta_attn",
    "attention",
    "online_residual_attention_autoencoder_error",
  ],
} as const;

/** Runs a prompt. */
export function runRefModel(model: RefModel, prompt: RefPrompt): RefRun {
  const { tokens, ablations, autoencoders } = prompt;
  const { nLayers, nHeads, eps, weights } = model;
  const T = tokens.length;
  const lengths = [T];
  const tape = new RefTape();
  const activations = new Map<string, Ref>();
  const used = new Map<string, Ref>();

  const ablate = (x: Ref, names: readonly LocationName[], layer: number | null, pass: PassType) => {
    for (const { index, value } of ablations) {
      if (!names.includes(index.activationLocationType) || index.passType !== pass) continue;
      if (index.layerIndex !== null && index.layerIndex !== layer) continue;
      // pairs are rows of their own here: [T T, H] is [T, T, H]
      const { dims } = locations[index.activationLocationType];
      const overPairs = dims[1] === "attended_to_sequence_tokens";
      const shape = overPairs ? [T, T, nHeads] : x.shape;
      const start = index.tensorIndices.map((i, dim) =>
        i === "All" ? 0 : i < 0 ? i + shape[dim]! : i
      );
      const count = index.tensorIndices.map((i, dim) => i === "All" ? shape[dim]! : 1);
      const attrs = { shape, regions: [{ start, count, value }] };
      x = pass === "forward" ? tape.run(overwrite, [x], attrs) : overwrite.forward([x], attrs);
    }
    return x;
  };
  const visitAll = (x: Ref, names: readonly LocationName[], layer: number | null) => {
    const saved = ablate(x, names, layer, "forward");
    const y = tape.pass(saved, (dy) => ablate(dy, names, layer, "backward"));
    for (const name of names) {
      const key = refKey(name, locations[name].perLayer ? layer : null);
      activations.set(key, saved);
      used.set(key, y);
    }
    return y;
  };
  const visit = (name: LocationName, x: Ref, layer: number | null = null) => {
    const y = visitAll(x, [name], layer);
    const autoencoder = autoencoders.find(({ dst }) => siteOf[dst][0] === name);
    const own = layer === null ? undefined : autoencoder?.layers.get(layer);
    if (autoencoder === undefined || own === undefined) return y;
    const [, kind, error] = siteOf[autoencoder.dst];
    const z = refActivate(tape, refLatentPre(tape, y, own), autoencoder);
    const decode = (latents: Ref) =>
      tape.run(linear, [latents, own("decoder.weight"), own("pre_bias")], { transposed: true });
    const latents: LocationName[] = [`online_${kind}_autoencoder_latent`];
    if (autoencoders.length === 1) latents.push("online_autoencoder_latent");
    const z1 = visitAll(tape.pass(z), latents, layer);
    const residue = visitAll(tape.run(sub, [y, decode(z)], {}), [error], layer);
    return tape.run(add, [decode(z1), residue], {});
  };

  const positions = tokens.map((_, position) => position);
  let x = visit(
    "resid.post_emb",
    tape.run(embed, [weights("wte.weight"), weights("wpe.weight")], { tokens, positions }),
  );
  for (let l = 0; l < nLayers; l++) {
    const norm = (from: Ref, name: "ln_1" | "ln_2", scale: LocationName) =>
      refLayerNorm(tape, from, {
        weights,
        name: `h.${l}.${name}`,
        eps,
        visit: (s) => visit(scale, s, l),
      });
    const y1 = visit("resid.post_mlp_ln", norm(x, "ln_1", "attn_ln.scale"), l);
    const head = (which: "q" | "k" | "v") => refHeads(tape, y1, { model, layer: l, which });
    const q = visit("attn.q", head("q"), l);
    const k = visit("attn.k", head("k"), l);
    const v = visit("attn.v", head("v"), l);
    const scores = tape.run(qkLogits, [q, k], { lengths, causal: true });
    const masked = visit("attn.qk_logits", scores, l);
    const probs = visit("attn.qk_probs", tape.run(softmaxKeys, [masked], { lengths }), l);
    const out = visit("attn.v_out", tape.run(weightedSum, [probs, v], { lengths }), l);
    const deltaAttn = visit(
      "resid.delta_attn",
      refAttentionWrite(tape, out, { model, layer: l }),
      l,
    );
    const mid = visit("resid.post_attn", tape.run(add, [x, deltaAttn], {}), l);
    const y2 = visit("resid.post_attn_ln", norm(mid, "ln_2", "mlp_ln.scale"), l);
    const pre = visit("mlp.pre_act", refDense(tape, y2, weights, `h.${l}.mlp.c_fc`), l);
    const post = visit("mlp.post_act", tape.run(gelu, [pre], {}), l);
    const deltaMlp = visit(
      "resid.delta_mlp",
      refDense(tape, post, weights, `h.${l}.mlp.c_proj`),
      l,
    );
    x = visit("resid.post_mlp", tape.run(add, [mid, deltaMlp], {}), l);
  }
  const normed = refLayerNorm(tape, x, {
    weights,
    name: "ln_f",
    eps,
    visit: (s) => visit("resid.ln_f.scale", s),
  });
  const y = visit("resid.post_ln_f", normed);
  const logits = visit(
    "logits",
    tape.run(linear, [y, weights("lm_head.weight")], { transposed: true }),
  );
  return { tape, activations, used, logits };
}
