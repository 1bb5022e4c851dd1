/**
 * What single nodes read from the residual stream: gradients of pre-activations.
 *
 * @module
 */

import { neurons, values } from "../engine/model/recompute.ts";
import { layerNorm } from "../engine/model/transformer.ts";
import { linear } from "../engine/tape/ops/linear.ts";
import type { Context } from "../engine/tape/op.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import { residualSlot } from "./directions.ts";
import { vjpIn } from "./gradient_in.ts";
import type { NodeGroup } from "./node_groups.ts";
import { columnsAt, rowsAt } from "./node_rows.ts";
import { autoencoderInputs, residualBefore } from "./nodes.ts";
import type { SequenceRun } from "./site.ts";

/**
 * The gradients of a group of neurons' or latents' pre-activations, each with respect to
 * the residual of its own token as a sequence of one token: [n, d_model]. One backward
 * pass over as many rows, from the last activation that a pre-activation is linear in.
 */
export function readsOf(run: SequenceRun, { layer, autoencoder, nodes }: NodeGroup): Tensor {
  const { cx } = run;
  const place = autoencoder === null ? "mlp" : autoencoderInputs[autoencoder.dst].place;
  const residual = run.activation(residualSlot(residualBefore(place, layer!), "forward"));
  const x = rowsAt(cx, residual, nodes.map(({ indices: [t = 0] }) => t));
  const units = nodes.map(({ indices: [, unit = 0] }) => unit);
  const { wEnc } = autoencoder === null
    ? { wEnc: undefined }
    : run.autoencoder(autoencoder).layers.get(layer!)!;
  return vjpIn(cx, x, {
    f: (at, rows) => inputOf(at, rows, { run, layer: layer!, dst: autoencoder?.dst ?? null }),
    seed: (at) =>
      wEnc === undefined
        ? columnsAt(at, run.model.weights.layers[layer!]!["mlp.wIn"], units)
        : rowsAt(at, wEnc, units),
  });
}

/**
 * What a pre-activation is linear in: the norm's output for neurons, the autoencoder's
 * input for latents. With one token to a sequence, attention gives each its own value.
 */
function inputOf(
  cx: Context,
  x: Tensor,
  { run: { model, packing }, layer, dst }: {
    run: SequenceRun;
    layer: number;
    dst: keyof typeof autoencoderInputs | null;
  },
): Tensor {
  const w = model.weights.layers[layer]!;
  const where = { model, packing, layer, detachScale: true };
  switch (dst) {
    case null:
      return layerNorm(cx, x, {
        name: "mlp_ln.scale",
        gain: w["ln2.gain"],
        bias: w["ln2.bias"],
        eps: model.config.layerNormEpsilon,
        detachScale: true,
      });
    case "mlp_post_act":
      return neurons(cx, x, where).post;
    case "resid_delta_mlp":
      return linear(cx, neurons(cx, x, where).post, { w: w["mlp.wOut"], bias: w["mlp.bOut"] });
    case "resid_delta_attn":
      return linear(cx, values(cx, x, where), { w: w["attn.wO"], bias: w["attn.bO"] });
  }
}
