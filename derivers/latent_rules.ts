/**
 * Rules about one latent, or each latent, of an autoencoder and what attention
 * writes towards it. None needs a backward pass.
 *
 * @module
 */

import { encode } from "../engine/model/autoencoder.ts";
import { linear } from "../engine/tape/ops/linear.ts";
import { filled, map } from "../engine/tape/ops/map.ts";
import { gatherRows, overwrite } from "../engine/tape/ops/slice.ts";
import { headWrites } from "../engine/tape/ops/writes.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import { checkLatentTrace } from "./check_nodes.ts";
import { checkLayers, checkOnlyLayer } from "./check_request.ts";
import type { ResolvedLatent } from "./check_trace.ts";
import { type AutoencoderFacts, chooseAutoencoder } from "./choose_autoencoder.ts";
import { autoencoderInput, autoencoderNamed, fwd } from "./inputs.ts";
import type { AutoencoderInput } from "./nodes.ts";
import { vjpIn } from "./gradient_in.ts";
import type { Rule } from "./rule.ts";
import { headProjection, headsAlong } from "./write_sites.ts";
import { offlineLatents, tokenHeadsAlong, triangle, writesSummed } from "./rules.ts";
import { type Asked, autoencoderWeights, layerWeights, type Site } from "./site.ts";

/** The latent that the traceConfig names, of an autoencoder that reads one of the inputs. */
function latentOf(
  { dst, config, facts }: Asked,
  inputs: readonly AutoencoderInput[],
): ResolvedLatent {
  return checkLatentTrace(dst, config, { facts, inputs });
}

function latentAutoencoder(inputs: readonly AutoencoderInput[]) {
  return (asked: Asked): AutoencoderFacts => latentOf(asked, inputs).autoencoder;
}

/** D[t] = d encode(x[t])_i / dx[t]: [T, n_in]. */
function latentGradient(
  site: Site,
  x: Tensor,
  { autoencoder, latent }: Pick<ResolvedLatent, "autoencoder" | "latent">,
): Tensor {
  const { activation } = site.run.autoencoder(autoencoder);
  const weights = autoencoderWeights(site, autoencoder);
  return vjpIn(site.cx, x, {
    f: (at, input) => encode(at, input, { activation, weights }),
    seed: (at, z) =>
      overwrite(at, filled(at, z.shape, 0), {
        region: { start: 0, shape: z.shape, first: [0, latent], count: [z.rows, 1] },
        value: 1,
      }),
  });
}

/** D[t] at every layer's input of the autoencoder. */
export function latentGradientRule(
  inputs: readonly AutoencoderInput[],
  { onlyItsLayer }: { onlyItsLayer: boolean },
): Rule {
  return {
    inputs: [autoencoderInput(latentAutoencoder(inputs))],
    value: (site, x) => latentGradient(site, x!, latentOf(site, inputs)),
    layers(asked) {
      const { dst, config, facts } = asked;
      const { layer, autoencoder } = latentOf(asked, inputs);
      if (onlyItsLayer) {
        const { nLayers } = facts;
        return [checkOnlyLayer(dst, config, { nLayers, layer, nullMeans: layer })];
      }
      const layers = checkLayers(dst, config.layerIndices, facts);
      chooseAutoencoder(autoencoder.dst, [autoencoder], { asked: dst, layers });
      return layers;
    },
  };
}

const attention = ["resid_delta_attn"] as const;
const attentionOutput = fwd("resid.delta_attn");

function latentLayer(asked: Asked): readonly number[] {
  const { layer } = latentOf(asked, attention);
  return [checkOnlyLayer(asked.dst, asked.config, { nLayers: asked.facts.nLayers, layer })];
}

/** `A[q,k,h] ⟨v[k,h] W_O[h], D[q]⟩`: [T, T, H]. */
export const headToLatent: Rule = {
  inputs: [fwd("attn.qk_probs"), fwd("attn.v"), attentionOutput],
  value(site, probs, v, x) {
    const g = latentGradient(site, x!, latentOf(site, attention));
    return headsAlong(site, { probs: probs!, v: v!, onto: headProjection(site, g) });
  },
  layers: latentLayer,
};

/** `⟨o[q,h] W_O[h], D[q]⟩`: [T, H]. */
export const headToLatentOfToken: Rule = {
  inputs: [fwd("attn.v_out"), attentionOutput],
  value: (site, o, x) =>
    tokenHeadsAlong(site, o!, latentGradient(site, x!, latentOf(site, attention))),
  layers: latentLayer,
};

const attentionAutoencoder = autoencoderNamed("attention");

function oneLayer({ dst, config, facts }: Asked): readonly number[] {
  const layer = checkOnlyLayer(dst, config, { nLayers: facts.nLayers });
  const { dst: input } = attentionAutoencoder({ dst, config, facts });
  chooseAutoencoder(input, facts.autoencoders, { asked: dst, layers: [layer] });
  return [layer];
}

/** 1 where an offline latent is active: [T, M]. */
function activeLatents(site: Site, x: Tensor): Tensor {
  const latents = offlineLatents(site, attentionAutoencoder, x);
  return map(site.cx, "reluVjp", { a: latents, b: filled(site.cx, latents.shape, 1) });
}

/** Rows of a mask [T, M] repeated: row `rowOf(i)` for each i. */
function rowsOfMask(
  site: Site,
  mask: Tensor,
  { count, rowOf }: { count: number; rowOf: (i: number) => number },
): Tensor {
  const indices = Uint32Array.from({ length: count }, (_, i) => rowOf(i));
  return gatherRows(site.cx, mask, site.cx.arena.upload(indices, [count], "rows of the mask"));
}

/** `m[q,i] Σ_h A[q,k,h] ⟨v[k,h] W_O[h], W_enc[i]⟩` for all latents: [T(T+1)/2, M]. */
export const pairToEachLatent: Rule = {
  inputs: [fwd("attn.qk_probs"), fwd("attn.v"), attentionOutput],
  value(site, probs, v, x) {
    const { wEnc } = autoencoderWeights(site, attentionAutoencoder(site));
    const writes = triangle(site, writesSummed(site, probs!, v!)); // [pairs, d]
    const onto = linear(site.cx, writes, { w: wEnc, transposed: true });
    const queries = Array.from(
      { length: site.facts.nTokens },
      (_, q) => new Array<number>(q + 1).fill(q),
    ).flat();
    const mask = rowsOfMask(site, activeLatents(site, x!), {
      count: queries.length,
      rowOf: (pair) => queries[pair]!,
    });
    return map(site.cx, "mul", { a: onto, b: mask });
  },
  layers: oneLayer,
};

/** `m[q,i] ⟨o[q,h] W_O[h], W_enc[i]⟩` for all latents: [T, H, M]. */
export const headToEachLatent: Rule = {
  inputs: [fwd("attn.v_out"), attentionOutput],
  value(site, o, x) {
    const { nTokens, nHeads } = site.facts;
    const { wEnc } = autoencoderWeights(site, attentionAutoencoder(site));
    const writes = headWrites(site.cx, { v: o!, wO: layerWeights(site)["attn.wO"] });
    const onto = linear(site.cx, writes, { w: wEnc, transposed: true }); // [T H, M]
    const mask = rowsOfMask(site, activeLatents(site, x!), {
      count: nTokens * nHeads,
      rowOf: (i) => Math.floor(i / nHeads),
    });
    return map(site.cx, "mul", { a: onto, b: mask }).view({
      shape: [nTokens, nHeads, onto.width],
    });
  },
  layers: oneLayer,
};
