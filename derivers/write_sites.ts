/**
 * Kinds of nodes that write into the residual stream: each is an activation times
 * a write vector. Families of scalars are the same rule on each of these sites.
 *
 * @module
 */

import { pairDot } from "../engine/tape/ops/attention.ts";
import { linear } from "../engine/tape/ops/linear.ts";
import { map } from "../engine/tape/ops/map.ts";
import { matmul } from "../engine/tape/ops/matmul.ts";
import { rowNorm } from "../engine/tape/ops/reduce.ts";
import { headWrites, transpose } from "../engine/tape/ops/writes.ts";
import type { Context } from "../engine/tape/op.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import { type AutoencoderOf, bwd, fwd, type Input, online } from "./inputs.ts";
import { autoencoderInputs, type ScalarDimName } from "./nodes.ts";
import type { PlaceOf } from "./rule.ts";
import { type Asked, autoencoderWeights, layerWeights, type Site } from "./site.ts";

/** A kind of node with one activation for each position. */
export interface WriteSite {
  readonly dims: readonly ScalarDimName[];
  readonly place: PlaceOf;
  readonly act: Input;
  readonly grad: Input;
  /** ⟨w[i], g[t]⟩ for every position and node: g [T, d] to [T, N]. */
  project(site: Site, g: Tensor): Tensor;
  /** ‖w[i]‖: [N]. */
  norms(site: Site): Tensor;
  /** The write vectors w: [N, d]. */
  vectors(site: Site): Tensor;
  /** What all nodes write together: activations [T, N] to [T, d], without any bias. */
  write(site: Site, act: Tensor): Tensor;
  readonly nLatents?: (asked: Asked) => number;
  readonly layers?: (asked: Asked) => readonly number[];
}

/** A weight derived from the model's own, computed once for the model. */
function constant(site: Site, name: string, make: (cx: Context) => Tensor): Tensor {
  return site.run.model.constant(site.cx, { name: `${name} of layer ${site.layer}`, make });
}

function neuronProjection(site: Site, g: Tensor): Tensor {
  return linear(site.cx, g, { w: layerWeights(site)["mlp.wOut"], transposed: true });
}

function neuronNorms(site: Site): Tensor {
  return constant(
    site,
    "neuron write norms",
    (cx) =>
      rowNorm(cx, layerWeights(site)["mlp.wOut"]).view({
        shape: [layerWeights(site)["mlp.wOut"].rows],
      }),
  );
}

/** Neurons of the MLP: w[n] = W_out[n]. */
export const neuron: WriteSite = {
  dims: ["sequence_tokens", "mlp_acts"],
  place: "mlp",
  act: fwd("mlp.post_act"),
  grad: bwd("mlp.post_act"),
  project: neuronProjection,
  norms: neuronNorms,
  vectors: (site) => layerWeights(site)["mlp.wOut"],
  write: (site, act) => linear(site.cx, act, { w: layerWeights(site)["mlp.wOut"] }),
};

/** The error term of an autoencoder, by neuron. */
export function errorSite(autoencoderOf: AutoencoderOf): WriteSite {
  return {
    ...neuron,
    act: online(autoencoderOf, { which: "error", pass: "forward" }),
    grad: online(autoencoderOf, { which: "error", pass: "backward" }),
    layers: (asked) => autoencoderOf(asked).layers,
  };
}

/**
 * Latents of an autoencoder spliced into the run: w[i] = W_decᵀ[i], and on through
 * W_out if the autoencoder reads neurons.
 */
export function latentSite(autoencoderOf: AutoencoderOf): WriteSite {
  const throughNeurons = (site: Site) => autoencoderOf(site).dst === "mlp_post_act";
  const weights = (site: Site) => autoencoderWeights(site, autoencoderOf(site));
  const vectors = (cx: Context, site: Site) => {
    const { wDec } = weights(site);
    if (!throughNeurons(site)) return transpose(cx, wDec);
    const wOut = layerWeights(site)["mlp.wOut"];
    const [m, n, k] = [wDec.width, wOut.width, wDec.rows];
    return matmul(cx, { layout: "TN", m, n, k, a: wDec, b: wOut });
  };
  return {
    dims: ["sequence_tokens", "autoencoder_latents"],
    place: (where) => autoencoderInputs[autoencoderOf(where).dst].place,
    act: online(autoencoderOf, { which: "latent", pass: "forward" }),
    grad: online(autoencoderOf, { which: "latent", pass: "backward" }),
    project(site, g) {
      const inInput = throughNeurons(site) ? neuronProjection(site, g) : g;
      return linear(site.cx, inInput, { w: weights(site).wDec });
    },
    norms: (site) =>
      constant(
        site,
        `write norms of ${autoencoderOf(site).name}`,
        (cx) => rowNorm(cx, vectors(cx, site)).view({ shape: [autoencoderOf(site).nLatents] }),
      ),
    vectors: (site) => vectors(site.cx, site),
    write(site, act) {
      const decoded = linear(site.cx, act, { w: weights(site).wDec, transposed: true });
      if (!throughNeurons(site)) return decoded;
      return linear(site.cx, decoded, { w: layerWeights(site)["mlp.wOut"] });
    },
    nLatents: (asked) => autoencoderOf(asked).nLatents,
    layers: (asked) => autoencoderOf(asked).layers,
  };
}

/**
 * ⟨W_O[h] row c, g[t]⟩ for every position, head and channel: g [T, d] to [T, H, e].
 * A head's write along g[q] is its value's inner product with this.
 */
export function headProjection(site: Site, g: Tensor): Tensor {
  const { nHeads, dHead } = site.facts;
  return linear(site.cx, g, {
    w: layerWeights(site)["attn.wO"],
    transposed: true,
    shape: [g.rows, nHeads, dHead],
  });
}

/** `A[q,k,h] ⟨v[k,h] W_O[h], g[q]⟩`, from g's {@linkcode headProjection}: [T, T, H]. */
export function headsAlong(
  { cx, run: { packing } }: Site,
  { probs, v, onto }: { probs: Tensor; v: Tensor; onto: Tensor },
): Tensor {
  const writes = pairDot(cx, { a: onto, b: v }, { packing, causal: false });
  return map(cx, "mul", { a: probs, b: writes });
}

/** ‖v[k,h] W_O[h]‖: [T, H]. */
export function headWriteNorms(site: Site, v: Tensor): Tensor {
  const writes = headWrites(site.cx, { v, wO: layerWeights(site)["attn.wO"] }); // [T, H, d]
  return rowNorm(site.cx, writes).view({ shape: [v.shape[0]!, v.shape[1]!] });
}
