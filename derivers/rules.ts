/**
 * The rules that the table of scalars is made of.
 *
 * @module
 */

import { encode } from "../engine/model/autoencoder.ts";
import { filled, map } from "../engine/tape/ops/map.ts";
import { rowDot, rowNorm, sumMiddle, sumRows } from "../engine/tape/ops/reduce.ts";
import { gatherRows } from "../engine/tape/ops/slice.ts";
import { headWrites, spreadProduct } from "../engine/tape/ops/writes.ts";
import type { LocationName } from "../engine/tape/locations.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import { checkLayers } from "./check_request.ts";
import { chooseAutoencoder } from "./choose_autoencoder.ts";
import type { Direction } from "./directions.ts";
import { autoencoderInput, type AutoencoderOf, bwd, fwd, type Input } from "./inputs.ts";
import type { Place } from "./nodes.ts";
import { along, projected, type Rule } from "./rule.ts";
import { type Asked, autoencoderWeights, layerWeights, type Site } from "./site.ts";
import { headProjection, headsAlong, headWriteNorms, type WriteSite } from "./write_sites.ts";

/** The input itself. */
export function copy(input: Input, layers?: Rule["layers"]): Rule {
  return { inputs: [input], value: (_, x) => x!, ...(layers && { layers }) };
}

/** 1 at every position: [T, 1]. */
export const one: Rule = {
  inputs: [],
  value: ({ cx, facts }) => filled(cx, [facts.nTokens, 1], 1),
};

/** ‖x[t]‖: [T, 1]. */
export function norm(location: LocationName): Rule {
  return { inputs: [fwd(location)], value: ({ cx }, x) => rowNorm(cx, x!) };
}

/** ⟨x[t], y[t]⟩: [T, 1]. */
export function dot(x: Input, y: Input): Rule {
  return { inputs: [x, y], value: ({ cx }, a, b) => rowDot(cx, a!, b!) };
}

/** x·y, entry by entry. */
export function product(x: Input, y: Input, layers?: Rule["layers"]): Rule {
  return {
    inputs: [x, y],
    value: ({ cx }, a, b) => map(cx, "mul", { a: a!, b: b! }),
    ...(layers && { layers }),
  };
}

/** act[t,i] · ‖w[i]‖, with the sign of the activation: [T, N]. */
export function writeNorm({ act, norms, layers }: WriteSite): Rule {
  return {
    inputs: [act],
    value: (site, a) => map(site.cx, "mul", { a: a!, b: norms(site), broadcast: "perColumn" }),
    ...(layers && { layers }),
  };
}

/** act[t,i] · w[i]: [T, N, d]. */
export function write({ act, vectors, layers }: WriteSite): Rule {
  return {
    inputs: [act],
    value: (site, a) => spreadProduct(site.cx, { a: a!, x: vectors(site) }),
    ...(layers && { layers }),
  };
}

/** Σ_i act[t,i] · w[i], without any bias: [T, d]. */
export function writeSum({ act, write }: WriteSite): Rule {
  return { inputs: [act], value: (site, a) => write(site, a!) };
}

/** `⟦P⟧ act[t,i] ⟨w[i], g[t]⟩`: [T, N]. */
export function writeAlong(site: WriteSite, direction: Direction): Rule {
  return along(direction, {
    ...site,
    inputs: [site.act],
    value: (at, a, g) =>
      map(at.cx, "mul", {
        a: a!,
        b: projected(at, g!, { direction, project: (rows) => site.project(at, rows) }),
      }),
  });
}

/** `⟦P⟧ ⟨x[t], g[t]⟩` of a residual stream activation: [T, 1]. */
export function residualAlong(
  location: LocationName,
  { place, direction }: { place: Place | null; direction: Direction },
): Rule {
  return along(direction, {
    place,
    dims: ["sequence_tokens", "singleton"],
    inputs: [fwd(location)],
    value: ({ cx }, x, g) => rowDot(cx, x!, g!),
  });
}

const probs = fwd("attn.qk_probs");
const v = fwd("attn.v");
const vOut = fwd("attn.v_out");
const patternDims = ["sequence_tokens", "attended_to_sequence_tokens", "attn_heads"] as const;

/** One number for each (key, head) times the pattern; `f` of A[q,k,h] and it: [T, T, H]. */
function perKeyAndHead(
  { cx }: Site,
  f: "mul" | "div",
  { pattern, keys }: { pattern: Tensor; keys: Tensor },
): Tensor {
  const rows = pattern.view({ shape: [pattern.shape[0]!, keys.size] }); // [q, (k, h)]
  return map(cx, f, {
    a: rows,
    b: keys,
    broadcast: "perColumn",
  }).view({ shape: pattern.shape });
}

/** `A[q,k,h] ‖v[k,h] W_O[h]‖`: [T, T, H]. */
export const headWriteNorm: Rule = {
  inputs: [probs, v],
  value: (site, a, values) =>
    perKeyAndHead(site, "mul", { pattern: a!, keys: headWriteNorms(site, values!) }),
};

/** `bwd(A)[q,k,h] / ‖v[k,h] W_O[h]‖`: the gradient with respect to the above. */
export const headWriteNormGradient: Rule = {
  inputs: [bwd("attn.qk_probs"), v],
  value: (site, a, values) =>
    perKeyAndHead(site, "div", { pattern: a!, keys: headWriteNorms(site, values!) }),
};

/** `‖o[q,h] W_O[h]‖`: [T, H]. */
export const headWriteNormOfToken: Rule = {
  inputs: [vOut],
  value: (site, o) => headWriteNorms(site, o!),
};

/** `A[q,k,h] v[k,h,c]`: [T, T, H, e]. */
export const weightedValue: Rule = {
  inputs: [probs, v],
  value: ({ cx }, a, values) => {
    const x = values!.view({ shape: [values!.rows, values!.width] }); // [(k, h), e]
    return spreadProduct(cx, { a: a!, x }).view({ shape: [...a!.shape, x.width] });
  },
};

function writesOfHeads(site: Site, a: Tensor, values: Tensor): Tensor {
  const writes = headWrites(site.cx, { v: values, wO: layerWeights(site)["attn.wO"] });
  const x = writes.view({ shape: [writes.rows, writes.width] }); // [(k, h), d]
  return spreadProduct(site.cx, { a, x }).view({ shape: [...a.shape, x.width] });
}

/** `A[q,k,h] v[k,h] W_O[h]`: [T, T, H, d]. */
export const headWrite: Rule = {
  inputs: [probs, v],
  value: (site, a, values) => writesOfHeads(site, a!, values!),
};

export function writesSummed(site: Site, a: Tensor, values: Tensor): Tensor {
  const [nTokens = 0, , nHeads = 0] = a.shape;
  const writes = writesOfHeads(site, a, values);
  return sumMiddle(
    site.cx,
    writes.view({ shape: [nTokens * nTokens, nHeads, writes.width] }),
  ).view({ shape: [nTokens, nTokens, writes.width] });
}

/** `Σ_h A[q,k,h] v[k,h] W_O[h]`, without bias: [T, T, d]. */
export const headWriteSum: Rule = {
  inputs: [probs, v],
  value: (site, a, values) => writesSummed(site, a!, values!),
};

/** `⟦P⟧ A[q,k,h] ⟨v[k,h] W_O[h], g[q]⟩`: [T, T, H]. */
export function headAlong(direction: Direction): Rule {
  return along(direction, {
    place: "attn",
    dims: patternDims,
    inputs: [probs, v],
    value: (site, a, values, g) => {
      const onto = projected(site, g!, {
        direction,
        project: (rows) => headProjection(site, rows),
      });
      return headsAlong(site, { probs: a!, v: values!, onto });
    },
  });
}

/** `⟨o[q,h] W_O[h], g[q]⟩`: [T, H]. */
export function tokenHeadsAlong(site: Site, o: Tensor, g: Tensor): Tensor {
  return rowDot(site.cx, o, headProjection(site, g)).view({ shape: o.shape.slice(0, 2) });
}

/** `⟦P⟧ ⟨o[q,h] W_O[h], g[q]⟩`: [T, H]. */
export function headAlongOfToken(direction: Direction): Rule {
  return along(direction, {
    place: "attn",
    dims: ["sequence_tokens", "attn_heads"],
    inputs: [vOut],
    value: (site, o, g) => tokenHeadsAlong(site, o!, g!),
  });
}

/** Σ over the middle dimension: [T, T, C] to [T, C]. */
export function sumKeys(rule: Rule): Rule {
  return { ...rule, value: (site, ...inputs) => sumMiddle(site.cx, rule.value(site, ...inputs)) };
}

/** Σ over the last dimension: [T, T, H] to [T, T, 1]. */
export function sumHeads(rule: Rule): Rule {
  return { ...rule, value: (site, ...inputs) => sumRows(site.cx, rule.value(site, ...inputs)) };
}

/** Rows (q, k) with k ≤ q, as indices into [T, T]. */
function lowerTriangle(nTokens: number): Uint32Array<ArrayBuffer> {
  const rows = new Uint32Array(nTokens * (nTokens + 1) / 2);
  let at = 0;
  for (let q = 0; q < nTokens; q++) {
    for (let k = 0; k <= q; k++) rows[at++] = q * nTokens + k;
  }
  return rows;
}

export function triangle({ cx, run, facts }: Site, x: Tensor): Tensor {
  const rows = run.once("lower triangle", () => {
    const indices = lowerTriangle(facts.nTokens);
    return cx.arena.upload(indices, [indices.length], "lower triangle");
  });
  return gatherRows(cx, x.view({ shape: [x.rows, x.width] }), rows);
}

/** Keys up to the query only, flattened: [T, T, C] to [T(T+1)/2, C]. */
export function tri(rule: Rule): Rule {
  return { ...rule, value: (site, ...inputs) => triangle(site, rule.value(site, ...inputs)) };
}

/** Latents of an autoencoder applied to the saved activation: [T, M]. */
export function offlineLatents(site: Site, autoencoderOf: AutoencoderOf, x: Tensor): Tensor {
  const facts = autoencoderOf(site);
  return encode(site.cx, x, {
    activation: site.run.autoencoder(facts).activation,
    weights: autoencoderWeights(site, facts),
  });
}

/** Every layer asked for; the autoencoder must be in all of them. */
export function everyLayer(autoencoderOf: AutoencoderOf): NonNullable<Rule["layers"]> {
  return (asked: Asked) => {
    const layers = checkLayers(asked.dst, asked.config.layerIndices, asked.facts);
    const facts = autoencoderOf(asked);
    chooseAutoencoder(facts.dst, [facts], { asked: asked.dst, layers });
    return layers;
  };
}

/** `encode(x)`, from the saved activation: [T, M]. */
export function offline(autoencoderOf: AutoencoderOf): Rule {
  return {
    inputs: [autoencoderInput(autoencoderOf)],
    value: (site, x) => offlineLatents(site, autoencoderOf, x!),
    layers: everyLayer(autoencoderOf),
  };
}

/** `encode(x)[i] ‖w[i]‖`: [T, M]. */
export function offlineWriteNorm(autoencoderOf: AutoencoderOf, { norms }: WriteSite): Rule {
  return {
    ...offline(autoencoderOf),
    value: (site, x) =>
      map(site.cx, "mul", {
        a: offlineLatents(site, autoencoderOf, x!),
        b: norms(site),
        broadcast: "perColumn",
      }),
  };
}
