/**
 * Trains the model in `models/recall`, on this library's own tape and kernels:
 * `deno task train [FOLDER]`. Seeded; the same bytes on the same adapter.
 *
 * @module
 */

import { pathToFileURL } from "node:url";

import { openGpu } from "../engine/gpu/gpu.ts";
import { parseModelConfig } from "../engine/model/config.ts";
import { writeSafetensors } from "../engine/model/safetensors_write.ts";
import { Arena } from "../engine/tape/tensor.ts";
import { createRandom } from "../tests/support/random.ts";
import { recallConfig, recallTokenizer } from "./train/recall_files.ts";
import { createTrainer } from "./train/trainer.ts";
import { recallPrompt, trainingPrompt } from "./train/recall_data.ts";

const seed = 1;
const heldOutSeed = 2;
const steps = 700; // all held-out prompts are right from about 500 on
const batchSize = 64;
const reportEvery = 50;
const folder = Deno.args[0] === undefined
  ? new URL("../models/recall/", import.meta.url)
  : pathToFileURL(`${Deno.args[0]}/`);

const note = (text: string) => console.error(text);

using gpu = await openGpu();
using arena = new Arena(gpu);
note(`adapter: ${gpu.facts.name}`);
const config = parseModelConfig(recallConfig, "config.json");
const random = createRandom(seed);
using trainer = createTrainer(arena, config, { random, steps });
const heldOutRandom = createRandom(heldOutSeed);
const heldOut = Array.from({ length: 128 }, () => recallPrompt(heldOutRandom));

const start = performance.now();
for (let step = 1; step <= steps; step++) {
  const batch = Array.from({ length: batchSize }, () => trainingPrompt(random, config));
  if (step % reportEvery !== 0 && step !== steps) {
    trainer.step(batch);
    continue;
  }
  const loss = await trainer.step(batch, { wait: true });
  const accuracy = await trainer.accuracy(heldOut);
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  note(
    `step ${step} of ${steps}: loss ${loss!.toFixed(4)}, held-out accuracy ` +
      `${accuracy.toFixed(4)}, ${seconds} s`,
  );
}

const write = (name: string, content: unknown) =>
  Deno.writeTextFile(new URL(name, folder), JSON.stringify(content, null, 2) + "\n");
await Deno.mkdir(folder, { recursive: true });
await write("config.json", recallConfig);
await write("tokenizer.json", recallTokenizer);
await Deno.writeFile(
  new URL("model.safetensors", folder),
  writeSafetensors(await trainer.weights(), { format: "pt" }),
);
note(`wrote "${Deno.args[0] ?? "models/recall"}"`);
