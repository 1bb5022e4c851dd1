/**
 * The files of the recall model beside its weights, in the formats of Hugging Face.
 *
 * @module
 */

import { words } from "./recall_data.ts";

/** `config.json`. */
export const recallConfig = {
  _name_or_path: "recall",
  model_type: "gpt2",
  architectures: ["GPT2LMHeadModel"],
  activation_function: "gelu_new",
  vocab_size: words.length,
  n_positions: 64,
  n_ctx: 64,
  n_embd: 64,
  n_layer: 2,
  n_head: 2, // with four, layer 1 learns the same head four times
  layer_norm_epsilon: 1e-5,
  tie_word_embeddings: false,
  attn_pdrop: 0,
  embd_pdrop: 0,
  resid_pdrop: 0,
  bos_token_id: null,
  eos_token_id: null,
};

/** How GPT-2's tokenizers show the space before a word. */
const space = "\u0120";

/**
 * `tokenizer.json`: each word with the space before it is one token; the text is
 * given a space at its start if it has none. Other text has no tokens.
 */
export const recallTokenizer = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  post_processor: null,
  decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: {
    type: "BPE",
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: true,
    vocab: Object.fromEntries(words.map((word, token) => [space + word, token])),
    merges: [],
  },
};
