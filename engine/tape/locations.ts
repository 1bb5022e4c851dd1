/**
 * The activation locations: every place in the forward pass that has a name, in
 * the order in which the forward pass visits them. Slots, hooks, ablations, the
 * plan, the types and the documentation follow from this table.
 *
 * | dimension | meaning |
 * |---|---|
 * | `sequence_tokens` | position; for attention the query |
 * | `attended_to_sequence_tokens` | the position attended to, the key |
 * | `attn_heads` | head |
 * | `query_and_key_channels`, `value_channels` | channel within a head |
 * | `residual_stream_channels` | channel of the residual stream |
 * | `mlp_acts` | neuron |
 * | `vocab_size` | token of the vocabulary |
 * | `autoencoder_latents` | latent of a sparse autoencoder |
 * | `singleton` | one number |
 *
 * @module
 */

/** Names of the dimensions of activations and derived scalars. */
export const dimNames = [
  "sequence_tokens",
  "attended_to_sequence_tokens",
  "attn_heads",
  "query_and_key_channels",
  "value_channels",
  "residual_stream_channels",
  "mlp_acts",
  "vocab_size",
  "autoencoder_latents",
  "singleton",
] as const;

/** Name of a dimension. */
export type DimName = (typeof dimNames)[number];

/** One row of {@linkcode locations}. */
export interface Location {
  /** Dimensions in row-major order, the position first. */
  readonly dims: readonly [DimName, ...DimName[]];
  /** Whether there is one such activation in each layer. */
  readonly perLayer: boolean;
}

const row = ["sequence_tokens", "residual_stream_channels"] as const;
const scale = ["sequence_tokens", "singleton"] as const;
const query = ["sequence_tokens", "attn_heads", "query_and_key_channels"] as const;
const key = ["attended_to_sequence_tokens", "attn_heads", "query_and_key_channels"] as const;
const value = ["attended_to_sequence_tokens", "attn_heads", "value_channels"] as const;
const valueOut = ["sequence_tokens", "attn_heads", "value_channels"] as const;
const pattern = ["sequence_tokens", "attended_to_sequence_tokens", "attn_heads"] as const;
const neurons = ["sequence_tokens", "mlp_acts"] as const;
const latents = ["sequence_tokens", "autoencoder_latents"] as const;
const vocabulary = ["sequence_tokens", "vocab_size"] as const;

/** Every activation location, in the order of the forward pass. */
export const locations = {
  "resid.post_emb": { dims: row, perLayer: false },
  "attn_ln.scale": { dims: scale, perLayer: true },
  "resid.post_mlp_ln": { dims: row, perLayer: true },
  "attn.q": { dims: query, perLayer: true },
  "attn.k": { dims: key, perLayer: true },
  "attn.v": { dims: value, perLayer: true },
  "attn.qk_logits": { dims: pattern, perLayer: true },
  "attn.qk_probs": { dims: pattern, perLayer: true },
  "attn.v_out": { dims: valueOut, perLayer: true },
  "resid.delta_attn": { dims: row, perLayer: true },
  "online_attention_autoencoder_latent": { dims: latents, perLayer: true },
  "online_residual_attention_autoencoder_error": { dims: row, perLayer: true },
  "resid.post_attn": { dims: row, perLayer: true },
  "mlp_ln.scale": { dims: scale, perLayer: true },
  "resid.post_attn_ln": { dims: row, perLayer: true },
  "mlp.pre_act": { dims: neurons, perLayer: true },
  "mlp.post_act": { dims: neurons, perLayer: true },
  "online_mlp_autoencoder_error": { dims: neurons, perLayer: true },
  "resid.delta_mlp": { dims: row, perLayer: true },
  "online_mlp_autoencoder_latent": { dims: latents, perLayer: true },
  "online_residual_mlp_autoencoder_error": { dims: row, perLayer: true },
  /** Another name for the latents of the only autoencoder. */
  "online_autoencoder_latent": { dims: latents, perLayer: true },
  "resid.post_mlp": { dims: row, perLayer: true },
  "resid.ln_f.scale": { dims: scale, perLayer: false },
  "resid.post_ln_f": { dims: row, perLayer: false },
  "logits": { dims: vocabulary, perLayer: false },
} as const satisfies Record<string, Location>;

/** Name of an activation location. */
export type LocationName = keyof typeof locations;

/** All location names, in the order of the forward pass. */
export const locationNames = Object.keys(locations) as LocationName[];

/** Whether an activation or its gradient is meant. */
export type PassType = "forward" | "backward";
