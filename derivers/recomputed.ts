/**
 * A node's activation as a function of the residual stream before it.
 *
 * @module
 */

import {
  latents,
  neurons,
  pattern,
  type PreAndPost,
  type Through,
  values,
} from "../engine/model/recompute.ts";
import type { TransformerModel } from "../engine/model/transformer.ts";
import type { Autoencoder } from "../engine/model/autoencoder.ts";
import type { Context } from "../engine/tape/op.ts";
import type { Packing } from "../engine/tape/packing.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import type { ResolvedNode, ResolvedTrace } from "./check_trace.ts";
import type { AutoencoderFacts } from "./choose_autoencoder.ts";
import { ravel } from "./indices.ts";

/** What recomputing needs of a run. */
export interface Recomputing {
  readonly model: TransformerModel;
  /** Of the one sequence. */
  readonly packing: Packing;
  autoencoder(facts: AutoencoderFacts): Autoencoder;
}

/** Which nodes: all of one kind in a layer. */
export interface NodesOf {
  readonly layer: number;
  readonly nodeType: ResolvedNode["nodeType"];
  readonly autoencoder: AutoencoderFacts | null;
  readonly detachScale: boolean;
  /** For heads. */
  readonly through?: Through;
}

/** Activations of all nodes of a kind in one layer, from the residual x before them. */
export function nodesFrom(
  cx: Context,
  x: Tensor,
  { run, nodes }: { run: Recomputing; nodes: NodesOf },
): PreAndPost {
  const { layer, detachScale, through = "QK" } = nodes;
  const where = { model: run.model, packing: run.packing, layer, detachScale };
  if (nodes.autoencoder !== null) {
    return latents(cx, x, { ...where, autoencoder: run.autoencoder(nodes.autoencoder) });
  }
  return nodes.nodeType === "attention_head"
    ? pattern(cx, x, { ...where, through })
    : neurons(cx, x, where);
}

/** Values of all heads of a layer, from the residual x before them. */
export function valuesFrom(
  cx: Context,
  x: Tensor,
  { run, layer, detachScale }: { run: Recomputing; layer: number; detachScale: boolean },
): Tensor {
  return values(cx, x, { model: run.model, packing: run.packing, layer, detachScale });
}

/** Flat place of a node among the activations of all of its kind, for one sequence. */
export function placeOfNode({ nodeType, indices }: ResolvedNode, activations: Tensor): number {
  const [first = 0, second = 0, third = 0] = indices;
  if (nodeType !== "attention_head") return ravel(indices, [0, activations.width]);
  const nTokens = Math.sqrt(activations.rows); // pairs [T², H]
  return ravel([first, second, third], [nTokens, nTokens, activations.width]);
}

/** The traced activations of all nodes of the trace's kind; not for V traces. */
export function tracedFrom(
  cx: Context,
  x: Tensor,
  { run, trace }: { run: Recomputing; trace: ResolvedTrace },
): Tensor {
  const { node, preOrPostAct, detachLayerNormScale, attentionTraceType } = trace;
  const through = attentionTraceType === "V" ? null : attentionTraceType;
  const { pre, post } = nodesFrom(cx, x, {
    run,
    nodes: { ...node, detachScale: detachLayerNormScale, ...(through && { through }) },
  });
  return preOrPostAct === "pre" ? pre : post;
}
