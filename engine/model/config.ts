/**
 * The sizes of a model, from the Hugging Face `config.json` of the GPT-2 family.
 *
 * @module
 */

import { z } from "zod";

/** The sizes of a model and what else its forward pass depends on. */
export interface ModelConfig {
  /** The name the model was published under, if the file says it. */
  readonly name?: string;
  /** Layers, each with attention and an MLP. */
  readonly nLayers: number;
  /** Attention heads of one layer. */
  readonly nHeads: number;
  /** Channels of the residual stream. */
  readonly dModel: number;
  /** Channels of one head: `dModel / nHeads`. */
  readonly dHead: number;
  /** Neurons of one layer. */
  readonly dMlp: number;
  /** Tokens of the vocabulary. */
  readonly dVocab: number;
  /** Most positions of a sequence. */
  readonly nCtx: number;
  /** What layer norms add to the variance. */
  readonly layerNormEpsilon: number;
  /** Whether the unembedding is the embedding. */
  readonly tiedUnembedding: boolean;
}

const size = z.int().positive();

/** What we read of the file; its other fields do not matter here. */
const configSchema = z.object({
  _name_or_path: z.string().optional(),
  model_type: z.literal("gpt2"),
  n_layer: size,
  n_head: size,
  n_embd: size,
  n_inner: size.nullish(),
  n_positions: size.nullish(),
  n_ctx: size.nullish(),
  vocab_size: size,
  layer_norm_epsilon: z.number().positive().default(1e-5), // As in Hugging Face's GPT2Config.
  // Two names of 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
  activation_function: z.literal(["gelu_new", "gelu_pytorch_tanh"]).default("gelu_new"),
  tie_word_embeddings: z.boolean().default(true),
  scale_attn_weights: z.literal(true).default(true),
  scale_attn_by_inverse_layer_idx: z.literal(false).default(false),
  add_cross_attention: z.literal(false).default(false),
}).check(({ value, issues }) => {
  if (value.n_embd % value.n_head !== 0) {
    issues.push({
      code: "custom",
      path: ["n_embd"],
      message: `must be a multiple of n_head, which is ${value.n_head}`,
      input: value.n_embd,
    });
  }
  if ((value.n_positions ?? value.n_ctx) == null) {
    issues.push({
      code: "custom",
      path: ["n_positions"],
      message: "must be given, or n_ctx",
      input: value.n_positions,
    });
  }
});

/**
 * Checks a parsed `config.json` and translates it to our names.
 *
 * @param path The file as shown in error messages.
 * @throws {TypeError} naming every field that is wrong, its value and what is wanted.
 */
export function parseModelConfig(json: unknown, path: string): ModelConfig {
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => describe(issue, json));
    throw new TypeError(`Cannot read model config "${path}": ${problems.join("; ")}`, {
      cause: parsed.error,
    });
  }
  const config = parsed.data;
  return {
    ...(config._name_or_path && { name: config._name_or_path }),
    nLayers: config.n_layer,
    nHeads: config.n_head,
    dModel: config.n_embd,
    dHead: config.n_embd / config.n_head,
    dMlp: config.n_inner ?? 4 * config.n_embd,
    dVocab: config.vocab_size,
    nCtx: (config.n_positions ?? config.n_ctx)!,
    layerNormEpsilon: config.layer_norm_epsilon,
    tiedUnembedding: config.tie_word_embeddings,
  };
}

function describe({ path, message }: z.core.$ZodIssue, json: unknown): string {
  const field = path.map(String).join(".");
  if (field === "") return message;
  const value = (json as Record<string, unknown>)[field];
  return `field "${field}": ${message}, current value is ${JSON.stringify(value) ?? "missing"}`;
}
