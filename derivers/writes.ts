/**
 * What single nodes write into the residual stream.
 *
 * @module
 */

import { autoencoderSites } from "../engine/model/autoencoder.ts";
import { linear } from "../engine/tape/ops/linear.ts";
import { map } from "../engine/tape/ops/map.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import type { NodeGroup } from "./node_groups.ts";
import { columnsAt, entriesAt, rowsAt } from "./node_rows.ts";
import { type SequenceRun, slotRef } from "./site.ts";

/** The writes of a group of nodes: [n, d_model]. */
export function writesOf(run: SequenceRun, group: NodeGroup): Tensor {
  switch (group.kind) {
    case "embedding":
      return rowsAt(
        run.cx,
        run.activation(slotRef("resid.post_emb", null, "forward")),
        group.nodes.map(({ indices: [t = 0] }) => t),
      );
    case "neuron":
      return neuronWrites(run, group);
    case "head":
      return headWritesOf(run, group);
    case "latent":
      return latentWrites(run, group);
  }
}

/** `a[t,n] W_out[n]`. */
function neuronWrites({ cx, model, activation }: SequenceRun, { layer, nodes }: NodeGroup): Tensor {
  const wOut = model.weights.layers[layer!]!["mlp.wOut"];
  const acts = activation(slotRef("mlp.post_act", layer, "forward"));
  const a = entriesAt(cx, acts, nodes.map(({ indices: [t = 0, n = 0] }) => t * acts.width + n));
  const vectors = rowsAt(cx, wOut, nodes.map(({ indices: [, n = 0] }) => n));
  return map(cx, "mul", { a: vectors, b: a, broadcast: "perRow" });
}

/** `A[q,k,h] v[k,h] W_O[h]`. */
function headWritesOf(
  { cx, model, activation, facts }: SequenceRun,
  { layer, nodes }: NodeGroup,
): Tensor {
  const { nTokens, nHeads, dModel } = facts;
  const probs = activation(slotRef("attn.qk_probs", layer, "forward"));
  const v = activation(slotRef("attn.v", layer, "forward"));
  const a = entriesAt(
    cx,
    probs,
    nodes.map(({ indices: [q = 0, k = 0, h = 0] }) => (q * nTokens + k) * nHeads + h),
  );
  // The values of all heads of the key, zeros but for the node's own.
  const ofKeys = rowsAt(
    cx,
    v,
    nodes.flatMap(({ indices: [, k = 0] }) =>
      Array.from({ length: nHeads }, (_, h) => k * nHeads + h)
    ),
  );
  const own = new Float32Array(nodes.length * nHeads);
  nodes.forEach(({ indices: [, , h = 0] }, i) => own[i * nHeads + h] = 1);
  const values = map(cx, "mul", {
    a: ofKeys,
    b: cx.arena.upload(own, [own.length, 1], "heads"),
    broadcast: "perRow",
  });
  const writes = linear(cx, values.view({ shape: [nodes.length, dModel] }), {
    w: model.weights.layers[layer!]!["attn.wO"],
  });
  return map(cx, "mul", { a: writes, b: a, broadcast: "perRow" });
}

/** `z[t,i] w[i]`. */
function latentWrites(
  run: SequenceRun,
  { layer, autoencoder, nodes }: NodeGroup,
): Tensor {
  const { cx, model } = run;
  const { dst } = autoencoder!;
  const latents = run.activation(slotRef(autoencoderSites[dst].latent, layer, "forward"));
  const { wDec } = run.autoencoder(autoencoder!).layers.get(layer!)!;
  const z = entriesAt(
    cx,
    latents,
    nodes.map(({ indices: [t = 0, i = 0] }) => t * latents.width + i),
  );
  const decoded = columnsAt(cx, wDec, nodes.map(({ indices: [, i = 0] }) => i));
  const vectors = dst === "mlp_post_act"
    ? linear(cx, decoded, { w: model.weights.layers[layer!]!["mlp.wOut"] })
    : decoded;
  return map(cx, "mul", { a: vectors, b: z, broadcast: "perRow" });
}
