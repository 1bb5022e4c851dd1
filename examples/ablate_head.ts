/**
 * Switches attention heads off, one after the other, with a hook of our own, and prints
 * what that does to the prediction: `deno run --allow-all examples/ablate_head.ts`
 *
 * @module
 */

import { overwrite } from "../engine/tape/ops/slice.ts";
import { type Hook, loadModel, type Model } from "../mod.ts";

const prompt = "river stone cloud lamp forest river";
const answer = " stone";

using model = await loadModel(new URL("../models/recall", import.meta.url));
const tokens = model.tokenizer.encode(prompt);
const [target] = model.tokenizer.encode(answer);

/** A hook that lets a head write nothing: its weighted sum of values becomes 0. */
function silence(layer: number, head: number): Hook {
  return {
    location: "attn.v_out",
    layer,
    pass: "forward",
    run(x, { context }) { // [token, head, d_head]
      const [nTokens, , dHead] = x.shape as [number, number, number];
      const region = {
        start: 0,
        shape: x.shape,
        first: [0, head, 0],
        count: [nTokens, 1, dHead],
      };
      return overwrite(context, x, { region, value: 0 });
    },
  };
}

/** The probability of the answer after the prompt. */
async function probability(model: Model, hooks: readonly Hook[]): Promise<number> {
  using run = model.forward(tokens, { hooks, logits: "last" });
  const odds = (await run.logits.read()).map(Math.exp); // [1, d_vocab]
  return odds[target!]! / odds.reduce((sum, each) => sum + each, 0);
}

const percent = (p: number) => `${(100 * p).toFixed(1).padStart(5)} %`;
console.log(`"${prompt}" -> "${answer}"\n`);
console.log(`  whole model       ${percent(await probability(model, []))}`);
for (let layer = 0; layer < model.config.nLayers; layer++) {
  for (let head = 0; head < model.config.nHeads; head++) {
    const left = await probability(model, [silence(layer, head)]);
    console.log(`  without head ${layer}.${head}  ${percent(left)}`);
  }
}
