/**
 * Rules about one node's write, and about edges: from one node to all nodes of a
 * kind further up, by forward mode.
 *
 * @module
 */

import { autoencoderSites } from "../engine/model/autoencoder.ts";
import { pairDot, sumOverKeys } from "../engine/tape/ops/attention.ts";
import { linear } from "../engine/tape/ops/linear.ts";
import { filled, map } from "../engine/tape/ops/map.ts";
import { rowDot } from "../engine/tape/ops/reduce.ts";
import { padded, sliced } from "../engine/tape/ops/slice.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import { autoencoderForEdge, checkNodeForAttribution } from "./check_nodes.ts";
import { checkLayers } from "./check_request.ts";
import type { ResolvedNode } from "./check_trace.ts";
import { type AutoencoderFacts, chooseAutoencoder } from "./choose_autoencoder.ts";
import { type Direction, residualSlot } from "./directions.ts";
import { jvpIn } from "./gradient_in.ts";
import { bwd, fwd, type Input, online } from "./inputs.ts";
import { precedes, residualBefore } from "./nodes.ts";
import { nodesFrom, placeOfNode, valuesFrom } from "./recomputed.ts";
import { along, type Rule } from "./rule.ts";
import { type Asked, layerWeights, type Site, type SlotRef, slotRef, type Where } from "./site.ts";
import { latentSite, neuron } from "./write_sites.ts";

/** The node whose write is followed. */
function upstreamNode({ dst, config, facts }: Asked): ResolvedNode {
  return checkNodeForAttribution(dst, config, { facts, side: "upstream" });
}

function activationSlotsOf({ nodeType, layer, autoencoder }: ResolvedNode): SlotRef[] {
  if (autoencoder !== null) {
    return [slotRef(autoencoderSites[autoencoder.dst].latent, layer, "forward")];
  }
  if (nodeType === "mlp_neuron") return [slotRef("mlp.post_act", layer, "forward")];
  return [slotRef("attn.qk_probs", layer, "forward"), slotRef("attn.v", layer, "forward")];
}

/** Zeros but for one entry. */
function onlyEntry({ cx }: Site, x: Tensor, place: number): Tensor {
  const entry = sliced(cx, x, { start: place, size: 1 });
  return padded(cx, entry, { start: place, size: x.size }).view({ shape: x.shape });
}

/**
 * S: what the nodeIndexForAttribution writes, without bias; all rows but its own are
 * zero: [T, d].
 */
function singleWrite(site: Site): Tensor {
  const node = upstreamNode(site);
  const there: Site = { ...site, layer: node.layer };
  const [act, v] = activationSlotsOf(node).map((slot) => site.run.activation(slot));
  const rows = act!.view({ shape: [act!.rows, act!.width] });
  const alone = onlyEntry(site, act!, placeOfNode(node, rows));
  const { autoencoder } = node;
  if (autoencoder !== null) return latentSite(() => autoencoder).write(there, alone);
  if (node.nodeType === "mlp_neuron") return neuron.write(there, alone);
  const pairs = { packing: site.run.packing, causal: false };
  const out = sumOverKeys(site.cx, { weights: alone, x: v!, pairs });
  return linear(site.cx, out, { w: layerWeights(there)["attn.wO"] });
}

const upstreamWrite: Input = {
  label: "write of the nodeIndexForAttribution",
  usesGradient: false,
  needs: (where) => activationSlotsOf(upstreamNode(where)),
  value: (site) =>
    site.run.once(
      `write of ${JSON.stringify(site.config.nodeIndexForAttribution)}`,
      () => singleWrite(site),
    ),
};

/** The layer of the node, if it is among those asked for. */
export function layerOfNode(side: "upstream" | "downstream") {
  return ({ dst, config, facts }: Asked): readonly number[] => {
    const { layer } = checkNodeForAttribution(dst, config, { facts, side });
    return checkLayers(dst, config.layerIndices, facts).filter((each) => each === layer);
  };
}

/** S: [T, d]. */
export const singleNodeWrite: Rule = {
  inputs: [upstreamWrite],
  value: (_, write) => write!,
  layers: layerOfNode("upstream"),
};

/** `⟦P⟧ ⟨S[t], g[t]⟩`: [T, 1]. */
export function singleNodeWriteAlong(direction: Direction): Rule {
  return along(direction, {
    place: (where) => upstreamNode(where).place,
    dims: ["sequence_tokens", "singleton"],
    inputs: [upstreamWrite],
    value: ({ cx }, write, g) => rowDot(cx, write!, g!),
    layers: layerOfNode("upstream"),
  });
}

/** What an edge leads to: all nodes of a kind in a layer. */
interface Downstream {
  readonly place: (where: Where) => "attn" | "mlp";
  /** J·S: the directional derivative, at x, of the nodes' activations along S. */
  tangent(site: Site, options: { x: Tensor; write: Tensor; detachScale: boolean }): Tensor;
  /** For attributions: what the tangent is multiplied with. */
  readonly grad: Input;
  readonly layers?: NonNullable<Rule["layers"]>;
}

function nodesDownstream(
  nodeType: "attention_head" | "mlp_neuron",
  { through, grad, place }: {
    through?: "Q" | "K";
    grad: Input;
    place: "attn" | "mlp";
  },
): Downstream {
  return {
    place: () => place,
    grad,
    tangent: ({ cx, run, layer }, { x, write, detachScale }) => {
      const nodes = {
        nodeType,
        layer: layer!,
        autoencoder: null,
        detachScale,
        ...(through && { through }),
      };
      return jvpIn(cx, x, (at, residual) => nodesFrom(at, residual, { run, nodes }).post, write);
    },
  };
}

/** Neurons. */
export const toNeurons = nodesDownstream("mlp_neuron", {
  grad: bwd("mlp.post_act"),
  place: "mlp",
});
/** The pattern of heads, through their queries. */
export const toQueries = nodesDownstream("attention_head", {
  through: "Q",
  grad: bwd("attn.qk_probs"),
  place: "attn",
});
/** The pattern of heads, through their keys. */
export const toKeys = nodesDownstream("attention_head", {
  through: "K",
  grad: bwd("attn.qk_probs"),
  place: "attn",
});

/** The autoencoder on the other side of the edge: the node's own, or the only one. */
export function edgeAutoencoder(side: "upstream" | "downstream") {
  return ({ dst, config, facts }: Asked): AutoencoderFacts => {
    const { nodeType } = checkNodeForAttribution(dst, config, { facts, side });
    return autoencoderForEdge(dst, nodeType, { autoencoders: facts.autoencoders, layers: [] });
  };
}

const fromUpstream = edgeAutoencoder("upstream");

/** Latents. */
export const toLatents: Downstream = {
  place: (where) =>
    autoencoderSites[fromUpstream(where).dst].location === "resid.delta_attn" ? "attn" : "mlp",
  grad: online(fromUpstream, { which: "latent", pass: "backward" }),
  tangent(site, { x, write, detachScale }) {
    const { cx, run, layer } = site;
    const autoencoder = fromUpstream(site);
    const nodeType = "autoencoder_latent" as const;
    const nodes = { nodeType, layer: layer!, autoencoder, detachScale };
    return jvpIn(cx, x, (at, residual) => nodesFrom(at, residual, { run, nodes }).post, write);
  },
  layers(asked) {
    const { dst, config, facts } = asked;
    const autoencoder = fromUpstream(asked);
    const layers = checkLayers(dst, config.layerIndices, facts);
    chooseAutoencoder(autoencoder.dst, [autoencoder], { asked: dst, layers });
    return layers;
  },
};

/** The residual before the downstream nodes of the scalar's layer. */
function residualInput(place: Downstream["place"]): Input {
  const slot = (where: Where) =>
    residualSlot(residualBefore(place(where), where.layer!), "forward");
  return {
    label: "the residual before the layer's nodes",
    usesGradient: false,
    needs: (where) => [slot(where)],
    value: (site) => site.run.activation(slot(site)),
  };
}

/** Whether the node comes before the residual that the layer's nodes read. */
function upstreamPrecedes(where: Where, place: Downstream["place"]): boolean {
  const { position } = residualBefore(place(where), where.layer!);
  return precedes(upstreamNode(where), position);
}

/** `J_x f · S`, the norm scale constant. */
export function edgeActivation(to: Downstream): Rule {
  return {
    inputs: [residualInput(to.place), upstreamWrite],
    value(site, x, write) {
      const tangent = () => to.tangent(site, { x: x!, write: write!, detachScale: true });
      if (upstreamPrecedes(site, to.place)) return tangent();
      return filled(site.cx, shapeOfNodes(site, to), 0);
    },
    ...(to.layers && { layers: to.layers }),
  };
}

/** `(J_x f · S) · gradient`, the norm scale constant if the configuration says so. */
export function edgeAttribution(to: Downstream): Rule {
  return {
    inputs: [residualInput(to.place), upstreamWrite, to.grad],
    value(site, x, write, grad) {
      if (!upstreamPrecedes(site, to.place)) return filled(site.cx, grad!.shape, 0);
      const detachScale = site.config.detachLayerNormScaleForAttribution;
      const tangent = to.tangent(site, { x: x!, write: write!, detachScale });
      return map(site.cx, "mul", { a: grad!, b: tangent });
    },
    ...(to.layers && { layers: to.layers }),
  };
}

/** `A[q,k,h] ⟨(J_x v · S)[k,h], bwd(v_out)[q,h]⟩`, A constant: [T, T, H]. */
export const valueEdgeAttribution: Rule = {
  inputs: [residualInput(() => "attn"), upstreamWrite, fwd("attn.qk_probs"), bwd("attn.v_out")],
  value(site, x, write, probs, grad) {
    const { cx, run, layer, config } = site;
    if (!upstreamPrecedes(site, () => "attn")) return filled(cx, probs!.shape, 0);
    const detachScale = config.detachLayerNormScaleForAttribution;
    const tangent = jvpIn(
      cx,
      x!,
      (at, residual) => valuesFrom(at, residual, { run, layer: layer!, detachScale }),
      write!,
    );
    const onto = pairDot(cx, { a: grad!, b: tangent }, { packing: run.packing, causal: false });
    return map(cx, "mul", { a: probs!, b: onto });
  },
};

function shapeOfNodes(site: Site, to: Downstream): readonly number[] {
  const { nTokens, nHeads, dMlp } = site.facts;
  if (to === toLatents) return [nTokens, fromUpstream(site).nLatents];
  return to === toNeurons ? [nTokens, dMlp] : [nTokens, nTokens, nHeads];
}
