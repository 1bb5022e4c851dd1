/**
 * A golden model with a larger vocabulary, so that a tensor over the vocabulary does
 * not fit into one binding while all others do.
 *
 * @module
 */

import { memoryFolder, type SourceFolder } from "../../engine/model/source.ts";
import { writeSafetensors } from "../../engine/model/safetensors_write.ts";
import { readGoldenJson, readGoldenTensors } from "../support/golden.ts";
import { createRandom } from "../support/random.ts";

/** The golden model `tiny` with `dVocab` tokens, `<0>` and so on, embedded at random. */
export function tinyWithVocabulary(dVocab: number): SourceFolder {
  const random = createRandom(dVocab);
  const config = readGoldenJson("models/tiny/config.json") as Record<string, unknown>;
  const tokenizer = readGoldenJson("models/tiny/tokenizer.json") as { model: { vocab: unknown } };
  const tensors = readGoldenTensors("models/tiny/model.safetensors");
  for (const name of ["wte.weight", "lm_head.weight"]) {
    const width = tensors.get(name)!.shape[1]!;
    const data = Float32Array.from({ length: dVocab * width }, () => random.normal());
    tensors.set(name, { shape: [dVocab, width], data });
  }
  const vocab = Object.fromEntries(Array.from({ length: dVocab }, (_, i) => [`<${i}>`, i]));
  const text = (json: unknown) => new TextEncoder().encode(JSON.stringify(json));
  return memoryFolder({
    "config.json": text({ ...config, vocab_size: dVocab }),
    "tokenizer.json": text({ ...tokenizer, model: { ...tokenizer.model, vocab } }),
    "model.safetensors": writeSafetensors(tensors),
  });
}
