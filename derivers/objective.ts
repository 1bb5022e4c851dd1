/**
 * What a backward pass starts from: for each sequence its traced activation, or
 * else its loss.
 *
 * @module
 */

import { pattern } from "../engine/model/recompute.ts";
import { qkLogits } from "../engine/tape/ops/attention.ts";
import { mul } from "../engine/tape/ops/elementwise.ts";
import { linear } from "../engine/tape/ops/linear.ts";
import { pick } from "../engine/tape/ops/slice.ts";
import { type Context, detached } from "../engine/tape/op.ts";
import { type LocationName, locationNames, locations } from "../engine/tape/locations.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import type { ResolvedTrace } from "./check_trace.ts";
import { gradientIn } from "./gradient_in.ts";
import { type Loss, lossInResidual } from "./losses.ts";
import type { Residual } from "./nodes.ts";
import type { PlannedSequence } from "./plan.ts";
import { placeOfNode, type Recomputing, tracedFrom, valuesFrom } from "./recomputed.ts";

/** The value a backward pass starts from, for a trace: [1]. */
export function tracedValue(
  cx: Context,
  trace: ResolvedTrace,
  { run, loss, residual }: {
    run: Recomputing;
    loss: Loss | null;
    /** The sequence's residual of this run: [T, d_model]. */
    residual: (which: Residual) => Tensor;
  },
): Tensor {
  const x = residual(trace.node.residual);
  if (trace.attentionTraceType !== "V") {
    const activations = tracedFrom(cx, x, { run, trace });
    return pick(cx, activations, placeOfNode(trace.node, activations));
  }
  // A[q,k,h] <v(x)[k,h] W_O[h], g[q]>: A and g constant, the norm scale too
  const { node: { layer }, downstream } = trace;
  const { model, packing } = run;
  const { nHeads, dHead, nLayers } = model.config;
  const constant = detached(cx);
  const g = downstream === null
    ? lossInResidual(
      constant,
      residual({ location: "resid.post_mlp", layerIndex: nLayers - 1, position: last(nLayers) }),
      { model, loss: loss! },
    )
    : gradientIn(constant, residual(downstream.node.residual), (at, y) => {
      const activations = tracedFrom(at, y, { run, trace: downstream });
      return pick(at, activations, placeOfNode(downstream.node, activations));
    });
  const { post: probs } = pattern(constant, x, {
    model,
    packing,
    layer,
    detachScale: true,
    through: "QK",
  });
  const v = valuesFrom(cx, x, { run, layer, detachScale: true });
  const w = model.weights.layers[layer]!["attn.wO"];
  const shape = [g.rows, nHeads, dHead];
  const onto = linear(constant, g, { w, transposed: true, shape });
  const writes = mul(cx, qkLogits(cx, { q: onto, k: v }, { packing, causal: false }), probs);
  return pick(cx, writes, placeOfNode(trace.node, writes));
}

function last(nLayers: number): Residual["position"] {
  return { layer: nLayers - 1, place: "residPostMlp" };
}

/** The residuals that a trace reads. */
export function residualsOfTrace(trace: ResolvedTrace, nLayers: number): Residual[] {
  const own = trace.node.residual;
  if (trace.attentionTraceType !== "V") return [own];
  if (trace.downstream !== null) return [own, trace.downstream.node.residual];
  return [own, {
    location: "resid.post_mlp",
    layerIndex: nLayers - 1,
    position: last(nLayers),
  }];
}

/**
 * Whether the gradient of a sequence's objective comes by a slot: nowhere without
 * an objective; with a trace, up to the residual before the traced node.
 */
export function gradientReaches(
  { loss, trace }: Pick<PlannedSequence, "loss" | "trace">,
  { location, layer }: { location: LocationName; layer: number | null },
): boolean {
  if (trace === null) return loss !== null;
  if (location === "resid.post_emb") return true;
  const { residual } = trace.node;
  if (!locations[location].perLayer || residual.layerIndex === null) return false;
  if (layer !== residual.layerIndex) return layer! < residual.layerIndex;
  return locationNames.indexOf(location) <= locationNames.indexOf(residual.location);
}

/**
 * The one token at which a sequence's objective has a gradient in the residual stream
 * after the last layer: that of a loss, unless an ablation puts one elsewhere. `null` if
 * there may be others.
 */
export function tokenOfLoss(
  { trace, ablations, facts }: Pick<PlannedSequence, "trace" | "ablations" | "facts">,
): number | null {
  const isPut = ablations.some(({ passType, value }) => passType === "backward" && value !== 0);
  return trace === null && !isPut ? facts.nTokens - 1 : null;
}
