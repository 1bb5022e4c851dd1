/**
 * A checkpoint of GPT-2 small's shape on disk, its numbers of no meaning.
 *
 * @module
 */

import { parseModelConfig } from "../../engine/model/config.ts";
import { globalWeights, layerWeights } from "../../engine/model/weight_names.ts";
import { shapes } from "./random_model.ts";

/** Writes `config.json`, `tokenizer.json` and `model.safetensors`. */
export async function writeRandomCheckpoint(
  folder: string,
  { nLayers }: { nLayers: number },
): Promise<void> {
  const settings = {
    model_type: "gpt2",
    n_positions: 1024,
    vocab_size: 50257,
    ...shapes.gpt2,
    n_layer: nLayers,
  };
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(settings));
  await Deno.writeTextFile(`${folder}/tokenizer.json`, JSON.stringify(tokenizer));

  const config = parseModelConfig(settings, "config.json");
  const header: Record<string, unknown> = {};
  let end = 0;
  const add = (name: string, shape: readonly number[]) => {
    const start = end;
    end += 4 * shape.reduce((size, length) => size * length, 1);
    header[name] = { dtype: "F32", shape, data_offsets: [start, end] };
  };
  for (const [name, { fileName, shape }] of Object.entries(globalWeights)) {
    if (name !== "wU") add(fileName, shape(config)); // tied
  }
  for (let layer = 0; layer < nLayers; layer++) {
    for (const { fileName, shape } of Object.values(layerWeights)) {
      add(`h.${layer}.${fileName}`, shape(config));
    }
  }
  const json = JSON.stringify(header);
  const text = new TextEncoder().encode(json.padEnd(Math.ceil(json.length / 8) * 8));
  using file = await Deno.open(`${folder}/model.safetensors`, { write: true, create: true });
  const writer = file.writable.getWriter();
  await writer.write(new Uint8Array(new BigUint64Array([BigInt(text.length)]).buffer));
  await writer.write(text);
  const chunk = new Uint8Array(new Float32Array(2 ** 20).fill(0.02).buffer);
  for (let left = end; left > 0; left -= chunk.length) {
    await writer.write(chunk.subarray(0, Math.min(left, chunk.length)));
  }
  writer.releaseLock();
}

/** One token and no more: loading a vocabulary is not what is measured. */
const tokenizer = {
  version: "1.0",
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: "WhitespaceSplit" },
  post_processor: null,
  decoder: null,
  model: { type: "WordLevel", vocab: { token: 0 }, unk_token: "token" },
};
