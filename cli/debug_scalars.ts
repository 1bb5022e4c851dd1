/**
 * Which scalars tell how much a node matters, for each kind of node that a report shows.
 *
 * @module
 */

import type { Autoencoder } from "../engine/model/autoencoder.ts";
import { autoencoderInputs } from "../derivers/nodes.ts";
import type { DstRequest, TraceConfig } from "../derivers/request.ts";
import type { ScalarName } from "../derivers/table.ts";

/** What a node is called in a report. */
export type NodeKindName = "head" | "neuron" | "mlp latent" | "attention latent" | "token";

/** The scalars of one kind of node; an entry of each belongs to the same node. */
export interface NodeScalars {
  readonly kind: NodeKindName;
  /** Activation times gradient. */
  readonly total: ScalarName;
  /** What it writes, along the gradient of the last residual. */
  readonly direct: ScalarName;
  /** Length of what it writes. */
  readonly norm: ScalarName;
  /** `null` for all in which there are such nodes. */
  readonly layers: readonly number[] | null;
}

const heads = {
  kind: "head",
  total: "unflattened_attn_act_times_grad",
  direct: "unflattened_attn_write_to_final_residual_grad",
  norm: "unflattened_attn_write_norm",
} as const;

const neurons = {
  kind: "neuron",
  total: "mlp_act_times_grad",
  direct: "mlp_write_to_final_residual_grad",
  norm: "mlp_write_norm",
} as const;

const mlpLatents = {
  kind: "mlp latent",
  total: "online_mlp_autoencoder_act_times_grad",
  direct: "online_mlp_autoencoder_write_to_final_residual_grad",
  norm: "online_mlp_autoencoder_write_norm",
} as const;

const attentionLatents = {
  kind: "attention latent",
  total: "online_attention_autoencoder_act_times_grad",
  direct: "online_attention_autoencoder_write_to_final_residual_grad",
  norm: "online_attention_autoencoder_write_norm",
} as const;

const embeddings = {
  kind: "token",
  total: "token_attribution",
  direct: "resid_post_embedding_proj_to_final_residual_grad",
  norm: "resid_post_embedding_norm",
} as const;

/**
 * The kinds of node to report. In a layer that has an autoencoder, latents take the
 * place of the neurons or heads that write through them.
 */
export function scalarsToReport(
  autoencoders: readonly Autoencoder[],
  nLayers: number,
): NodeScalars[] {
  const kinds: NodeScalars[] = [{ ...embeddings, layers: null }];
  for (
    const [place, plain, latents] of [
      ["attn", heads, attentionLatents],
      ["mlp", neurons, mlpLatents],
    ] as const
  ) {
    const autoencoder = autoencoders.find(({ site }) => autoencoderInputs[site].place === place);
    const covered = [...autoencoder?.layers.keys() ?? []];
    const rest = Array.from({ length: nLayers }, (_, layer) => layer)
      .filter((layer) => !covered.includes(layer));
    if (rest.length > 0) kinds.push({ ...plain, layers: rest });
    if (covered.length > 0) kinds.push({ ...latents, layers: covered });
  }
  return kinds;
}

/** The request's entries for these kinds; directions are those of the trace, if there is one. */
export function dstsOf(kinds: readonly NodeScalars[], trace: TraceConfig | null): DstRequest[] {
  return kinds.flatMap(({ total, direct, norm, layers }) => {
    const config = layers === null ? {} : { layerIndices: [...layers] };
    return [
      { dst: total, config },
      { dst: direct, config: trace === null ? config : { ...config, traceConfig: trace } },
      { dst: norm, config },
    ];
  });
}
