import assert from "node:assert/strict";

import { RequestError } from "../../engine/errors.ts";
import { loadModel, type Model } from "../../engine/model/model.ts";
import { folderOf } from "../../engine/model/source.ts";
import { loadTokenizer, singleToken } from "../../engine/model/tokenizer.ts";
import { recallPrompt, words } from "../../tools/train/recall_data.ts";
import { gpuTest } from "../support/gpu.ts";
import { createRandom } from "../support/random.ts";

const folder = folderOf(new URL("../../models/recall/", import.meta.url));
const tokenizer = await loadTokenizer(folder);

/** Not the seeds of the training and of its held-out prompts. */
const seed = 3;

/** The most probable next token at each position of each sequence. */
async function predict(
  model: Model,
  sequences: readonly (readonly number[])[],
): Promise<number[][]> {
  using run = model.forward(sequences);
  const logits = await run.logits.read();
  const { dVocab } = model.config;
  return sequences.map((sequence, s) =>
    sequence.map((_, position) => {
      const start = (run.packing.starts[s]! + position) * dVocab;
      const scores = logits.subarray(start, start + dVocab);
      return scores.indexOf(Math.max(...scores));
    })
  );
}

gpuTest("models/recall recalls what followed a word in fresh prompts", async ({ gpu }) => {
  using model = await loadModel(folder, { gpu });
  const random = createRandom(seed);
  const prompts = Array.from({ length: 200 }, () => recallPrompt(random));
  const predictions = await predict(model, prompts.map(({ tokens }) => tokens));
  let right = 0;
  let all = 0;
  for (const [index, { next, determined }] of prompts.entries()) {
    right += determined.filter((at) => predictions[index]![at] === next[at]).length;
    all += determined.length;
  }
  assert.ok(all > 1000, `only ${all} determined positions`);
  assert.ok(right / all >= 0.95, `${right} of ${all} right`);
});

gpuTest("models/recall recalls in prompts that are plain text", async ({ gpu }) => {
  using model = await loadModel(folder, { gpu });
  const prompts = {
    "river stone cloud river": " stone",
    " river stone cloud river": " stone",
    "lamp tiger bridge apple lamp tiger": " bridge",
    "piano house rain moon crown piano": " house",
    "ocean cloud paper shoe paint ocean": " cloud",
  };
  const tokens = Object.keys(prompts).map((text) => model.tokenizer.encode(text));
  const predictions = await predict(model, tokens);
  const texts = predictions.map((each) => model.tokenizer.decode([each.at(-1)!]));
  assert.deepEqual(texts, Object.values(prompts));
});

Deno.test("models/recall: each word is one token, with or without a space before it", () => {
  assert.equal(tokenizer.size, words.length);
  for (const [id, word] of words.entries()) {
    assert.equal(singleToken(tokenizer, word, { field: "targetTokens" }), id);
    assert.equal(singleToken(tokenizer, ` ${word}`, { field: "targetTokens" }), id);
    assert.equal(tokenizer.token(id), ` ${word}`);
  }
  const text = " river stone cloud river";
  assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
});

Deno.test("models/recall: Tokenizer.encode() refuses words that the model does not know", () => {
  for (
    const text of ["river zebra", "zebra", "River", "river, stone", "riverstone", "river  stone"]
  ) {
    assert.throws(() => tokenizer.encode(text), (error) => {
      assert.ok(error instanceof RequestError);
      assert.equal(error.code, "text_not_in_vocabulary");
      assert.ok(error.message.includes(JSON.stringify(text)), error.message);
      return true;
    });
  }
});

Deno.test("models/recall is small", async () => {
  let bytes = 0;
  for (const name of ["config.json", "model.safetensors", "tokenizer.json", "README.md"]) {
    bytes += (await folder.open(name))!.size;
  }
  assert.ok(bytes <= 2 * 2 ** 20, `${bytes} bytes`);
});
