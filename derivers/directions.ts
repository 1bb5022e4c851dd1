/**
 * Directions in the residual stream along which effects are measured: gradients
 * [T, d_model] of the objective, of one activation, or of one attribution.
 *
 * @module
 */

import { autoencoderSites } from "../engine/model/autoencoder.ts";
import { qkLogits } from "../engine/tape/ops/attention.ts";
import { mul } from "../engine/tape/ops/elementwise.ts";
import { pick, sliced } from "../engine/tape/ops/slice.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import {
  checkActivationTrace,
  checkDirectionTrace,
  checkNodeForAttribution,
  type ResolvedSubnode,
} from "./check_nodes.ts";
import type { ResolvedNode } from "./check_trace.ts";
import { gradientIn } from "./gradient_in.ts";
import type { Input } from "./inputs.ts";
import type { DirectionPosition, Residual } from "./nodes.ts";
import { nodesFrom, placeOfNode, tracedFrom, valuesFrom } from "./recomputed.ts";
import { type Asked, type Site, type SlotRef, slotRef, type Where } from "./site.ts";

/** A direction, and where in the order of computation it stands. */
export interface Direction extends Input {
  position(asked: Asked): DirectionPosition;
  /** The one token at which it is not 0; `null` if there may be others. */
  onlyToken?(site: Site): number | null;
}

/** The slot of a residual. */
export function residualSlot(
  { location, layerIndex }: Residual,
  pass: "forward" | "backward",
): SlotRef {
  return slotRef(location, layerIndex, pass);
}

/**
 * G_f: the objective's gradient in the residual stream after the last layer, or,
 * with a traceConfig, before that node.
 */
export const finalResidual: Direction = {
  label: "final residual gradient",
  usesGradient: true,
  needs: (where) => [finalResidualSlot(where)],
  value: (site) => site.run.activation(finalResidualSlot(site)),
  position(asked) {
    const trace = checkDirectionTrace(asked.config.traceConfig, asked.facts);
    return trace?.node.residual.position ??
      { layer: asked.facts.nLayers - 1, place: "residPostMlp" };
  },
  onlyToken: ({ config, facts, run }) =>
    checkDirectionTrace(config.traceConfig, facts) === null ? run.tokenOfLoss : null,
};

function finalResidualSlot({ config, facts }: Where): SlotRef {
  const trace = checkDirectionTrace(config.traceConfig, facts);
  return trace === null
    ? slotRef("resid.post_mlp", facts.nLayers - 1, "backward")
    : residualSlot(trace.node.residual, "backward");
}

/**
 * G_a: the gradient of the traceConfig's node in the residual stream before it,
 * computed again there; needs no backward pass.
 */
export const finalActivation: Direction = {
  label: "final activation gradient",
  usesGradient: false,
  needs: ({ dst, config, facts }) => [
    residualSlot(checkActivationTrace(dst, config, facts).node.residual, "forward"),
  ],
  value({ dst, config, facts, run, cx }) {
    const trace = checkActivationTrace(dst, config, facts);
    return run.once(`final activation ${JSON.stringify(config.traceConfig)}`, () => {
      const x = run.activation(residualSlot(trace.node.residual, "forward"));
      return gradientIn(cx, x, (at, residual) => {
        const activations = tracedFrom(at, residual, { run, trace });
        return pick(at, activations, placeOfNode(trace.node, activations));
      });
    });
  },
  position: ({ dst, config, facts }) =>
    checkActivationTrace(dst, config, facts).node.residual.position,
};

/** The (sub)node whose attribution is differentiated. */
function downstreamNode({ dst, config, facts }: Asked): ResolvedSubnode {
  return checkNodeForAttribution(dst, config, { facts, side: "downstream" });
}

/** Where a node's gradient is saved; for a head's values that of its weighted sum. */
export function gradientSlotOf(
  { nodeType, layer, autoencoder }: ResolvedNode,
  through: ResolvedSubnode["qKOrV"],
): SlotRef {
  if (autoencoder !== null) {
    return slotRef(autoencoderSites[autoencoder.dst].latent, layer, "backward");
  }
  if (nodeType === "mlp_neuron") return slotRef("mlp.post_act", layer, "backward");
  return slotRef(through === "attn.v" ? "attn.v_out" : "attn.qk_probs", layer, "backward");
}

/**
 * G_s: the gradient, in the residual stream before the nodeIndexForAttribution, of
 * its attribution: its activation, computed again there, times the objective's
 * gradient with respect to it, a constant.
 */
export const subnodeAttribution: Direction = {
  label: "gradient of the subnode's attribution",
  usesGradient: true,
  needs(where) {
    const node = downstreamNode(where);
    const needed = [
      residualSlot(node.residual, "forward"),
      gradientSlotOf(node, node.qKOrV),
    ];
    if (node.qKOrV === "attn.v") needed.push(slotRef("attn.qk_probs", node.layer, "forward"));
    return needed;
  },
  value(site) {
    const { config, run } = site;
    const key = `subnode attribution ${JSON.stringify(config.nodeIndexForAttribution)} ` +
      config.detachLayerNormScaleForAttribution;
    return run.once(key, () => attributionGradient(site, downstreamNode(site)));
  },
  position: (asked) => downstreamNode(asked).residual.position,
};

function attributionGradient({ config, run, cx }: Site, node: ResolvedSubnode): Tensor {
  const detachScale = config.detachLayerNormScaleForAttribution;
  const x = run.activation(residualSlot(node.residual, "forward"));
  const gradient = run.activation(gradientSlotOf(node, node.qKOrV));
  if (node.qKOrV === "attn.v") {
    // A[q,k,h] <v(x)[k,h], bwd(v_out)[q,h]>, A a constant
    const probs = run.activation(slotRef("attn.qk_probs", node.layer, "forward"));
    const flat = probs.view({ shape: [probs.size / probs.width, probs.width] });
    return gradientIn(cx, x, (at, residual) => {
      const v = valuesFrom(at, residual, { run, layer: node.layer, detachScale });
      const pairs = { packing: run.packing, causal: false };
      const attributions = mul(at, qkLogits(at, { q: gradient, k: v }, pairs), flat);
      return pick(at, attributions, placeOfNode(node, attributions));
    });
  }
  const through = node.qKOrV === "attn.q" ? "Q" : "K";
  const place = placeOfNode(node, gradient.view({ shape: [gradient.rows, gradient.width] }));
  const factor = sliced(cx, gradient, { start: place, size: 1 });
  return gradientIn(
    cx,
    x,
    (at, residual) => {
      const { post } = nodesFrom(at, residual, { run, nodes: { ...node, detachScale, through } });
      return pick(at, post, place);
    },
    factor,
  );
}
