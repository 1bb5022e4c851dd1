/**
 * What nodes write to and read from the residual stream, and what that means in
 * tokens. Many nodes at once, whatever their kinds, from what a run has kept.
 *
 * @module
 */

import { autoencoderSites } from "../engine/model/autoencoder.ts";
import { linear } from "../engine/tape/ops/linear.ts";
import { map } from "../engine/tape/ops/map.ts";
import { sumRows } from "../engine/tape/ops/reduce.ts";
import { copyInto, gatherRows } from "../engine/tape/ops/slice.ts";
import type { Context } from "../engine/tape/op.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import type { SequenceFacts } from "./facts.ts";
import { residualSlot } from "./directions.ts";
import { groupNodes, type NodeGroup, type PostprocessorName } from "./node_groups.ts";
import { residualBefore } from "./nodes.ts";
import { readsOf } from "./reads.ts";
import type { NodeIndex } from "./request.ts";
import { type SequenceRun, type SlotRef, slotRef } from "./site.ts";
import { writesOf } from "./writes.ts";

export { isDefinedFor, type PostprocessorName, postprocessorNames } from "./node_groups.ts";
export { tokenPairAttributions } from "./token_pairs.ts";

/**
 * The slots that a run must keep for nodes to be processed after it.
 *
 * @param names Those wanted; all if absent.
 */
export function postprocessorNeeds(
  facts: SequenceFacts,
  names: readonly PostprocessorName[] = [
    "residualWrites",
    "residualReads",
    "tokenPairAttributions",
  ],
): SlotRef[] {
  const writes = names.includes("residualWrites") || names.includes("tokenWrites");
  const reads = names.includes("residualReads") || names.includes("tokenReads");
  const pairs = names.includes("tokenPairAttributions");
  const needed: SlotRef[] = [];
  const need = (...slots: SlotRef[]) => {
    for (const slot of slots) {
      const known = needed.some((each) =>
        each.location === slot.location && each.layer === slot.layer
      );
      if (!known) needed.push(slot);
    }
  };
  if (writes) need(slotRef("resid.post_emb", null, "forward"));
  for (let layer = 0; layer < facts.nLayers; layer++) {
    const here = facts.autoencoders.filter(({ layers }) => layers.includes(layer));
    const onAttention = here.some(({ dst }) => dst === "resid_delta_attn");
    if (writes) {
      need(slotRef("mlp.post_act", layer, "forward"));
      need(...here.map(({ dst }) => slotRef(autoencoderSites[dst].latent, layer, "forward")));
    }
    if (writes || (pairs && onAttention)) {
      need(slotRef("attn.qk_probs", layer, "forward"), slotRef("attn.v", layer, "forward"));
    }
    if (reads) need(residualSlot(residualBefore("mlp", layer), "forward"));
    if (reads && onAttention) need(residualSlot(residualBefore("attn", layer), "forward"));
    if (pairs && onAttention) need(slotRef("resid.delta_attn", layer, "forward"));
  }
  return needed;
}

/**
 * What each node writes into the residual stream: a neuron `a[t,n] W_out[n]`, a head
 * `A[q,k,h] v[k,h] W_O[h]`, a latent `z[t,i] w[i]`, the embedding (the layer node without
 * a layer) `resid.post_emb[t]`; without any bias: [n, d_model].
 *
 * @throws {RequestError} `not_defined` naming the node type for other nodes; `not_kept` if
 * the run lacks a slot of {@linkcode postprocessorNeeds}; as `checkNode` for wrong indices.
 */
export function residualWrites(run: SequenceRun, nodes: readonly NodeIndex[]): Tensor {
  return inOrder(run, nodes, { name: "residualWrites", rowsOf: writesOf });
}

/**
 * What each node's write says for each token, before the final norm's scale:
 * `u = (write ⊙ gain_f) W_Uᵀ` less its mean over the vocabulary: [n, d_vocab].
 *
 * @throws {RequestError} as {@linkcode residualWrites}.
 */
export function tokenWrites(run: SequenceRun, nodes: readonly NodeIndex[]): Tensor {
  return run.cx.arena.tidy(() => {
    const { rows, sums } = tokenWritesWithSums(run, nodes);
    return map(run.cx, "add", { a: rows, b: sums!, broadcast: "perRow", alpha: -1 / rows.width });
  });
}

/** Rows over the vocabulary, and their sums if they are still to be centred. */
export interface TokenRows {
  /** [n, d_vocab]. */
  readonly rows: Tensor;
  /** [n, 1]. */
  readonly sums?: Tensor;
}

/** {@linkcode tokenWrites} before the mean is taken off: `u`, and its sums. */
export function tokenWritesWithSums(run: SequenceRun, nodes: readonly NodeIndex[]): TokenRows {
  const { cx, model: { weights: { global } } } = run;
  const [rows, sums] = cx.arena.tidy(() => {
    const writes = inOrder(run, nodes, { name: "tokenWrites", rowsOf: writesOf });
    const scaled = map(cx, "mul", { a: writes, b: global["lnF.gain"], broadcast: "perColumn" });
    const u = linear(cx, scaled, { w: global.wU, transposed: true });
    return [u, sumRows(cx, u)] as const;
  });
  return { rows, sums };
}

/**
 * What each node reads: the gradient of its pre-activation with respect to the residual
 * stream before it, of its token taken alone as a sequence of one token (so that
 * attention is 1), the layer norm scale a constant: [n, d_model].
 *
 * @throws {RequestError} `not_defined` naming the node type for all but neurons and latents;
 * otherwise as {@linkcode residualWrites}.
 */
export function residualReads(run: SequenceRun, nodes: readonly NodeIndex[]): Tensor {
  return inOrder(run, nodes, { name: "residualReads", rowsOf: readsOf });
}

/**
 * How far each token's embedding lies along what a node reads: `wte · read`, not centred:
 * [n, d_vocab].
 *
 * @throws {RequestError} as {@linkcode residualReads}.
 */
export function tokenReads(run: SequenceRun, nodes: readonly NodeIndex[]): Tensor {
  const { cx, model: { weights: { global } } } = run;
  return cx.arena.tidy(() => {
    const reads = inOrder(run, nodes, { name: "tokenReads", rowsOf: readsOf });
    return linear(cx, reads, { w: global.wE, transposed: true });
  });
}

/** The rows of each group of nodes, in the order of the nodes. */
function inOrder(
  run: SequenceRun,
  nodes: readonly NodeIndex[],
  { name, rowsOf }: {
    name: PostprocessorName;
    rowsOf: (run: SequenceRun, group: NodeGroup) => Tensor;
  },
): Tensor {
  const { cx, facts: { dModel } } = run;
  const groups = groupNodes(nodes, { facts: run.facts, name });
  return cx.arena.tidy(() => {
    const rows = cx.arena.tensor([nodes.length, dModel], name);
    const placeOf = new Uint32Array(nodes.length);
    let row = 0;
    for (const group of groups) {
      group.nodes.forEach(({ place }, i) => placeOf[place] = row + i);
      cx.arena.tidy(() => {
        copyInto(cx, rowsOf(run, group), { out: rows, start: row * dModel });
        return undefined;
      });
      row += group.nodes.length;
    }
    if (placeOf.every((from, i) => from === i)) return rows;
    return permuted(cx, rows, placeOf);
  });
}

function permuted(cx: Context, rows: Tensor, placeOf: Uint32Array<ArrayBuffer>): Tensor {
  return gatherRows(cx, rows, cx.arena.upload(placeOf, [placeOf.length], "order of the nodes"));
}
