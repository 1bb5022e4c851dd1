/**
 * How fast a model of GPT-2 small's shape runs: forward, forward and backward, and
 * with every activation kept.
 *
 * @module
 */

import assert from "node:assert/strict";

import {
  allSlots,
  runForward,
  runForwardBackward,
  runSaving,
  runWithoutSlots,
} from "./support/forward_work.ts";
import { elements } from "./support/elements.ts";
import { benchGpu, randomModel, someTokens } from "./support/random_model.ts";
import { register } from "./support/register.ts";

const shape = "gpt2";
const length = 64;

const gpu = await benchGpu();
const model = randomModel(gpu, shape);
const tokens = someTokens(length);
const save = allSlots(model);
await check();

const group = `forward ${shape} f32 t=${length}`;
const works = {
  "last logits": () => runForward(model, { tokens, logits: "last" }),
  "all logits": () => runForward(model, { tokens, logits: "all" }),
  "all logits, without slots": () => runWithoutSlots(model, tokens),
  "all logits, every activation kept": () => runSaving(model, { tokens, save }),
  "last logits, and backward to the embeddings": () => runForwardBackward(model, tokens),
};
for (const [name, work] of Object.entries(works)) {
  await register(gpu, {
    name: `${group}, ${name}`,
    work,
    group,
    baseline: name === "last logits",
    times: 1,
    amount: { value: length, unit: "tokens/s" },
  });
}

/** Both ways to the last logits must agree, and what is kept be what it says. */
async function check(): Promise<void> {
  using all = model.forward(tokens, { save });
  using last = model.forward(tokens, { logits: "last" });
  const places = [0, 1, 1000, model.config.dVocab - 1];
  const start = (length - 1) * model.config.dVocab;
  const want = await elements(all.logits, places.map((place) => start + place));
  assert.deepEqual(await elements(last.logits, places), want);
  assert.equal(all.slots.saved.size, save.size);
  assert.ok(want.every((value) => Number.isFinite(value) && value !== 0));
}
