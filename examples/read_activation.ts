/**
 * Reads an activation with a hook of our own, and prints where each head looks to from
 * the last token: `deno run --allow-all examples/read_activation.ts`
 *
 * @module
 */

import { loadModel, type Tensor } from "../mod.ts";

const prompt = "river stone cloud lamp forest river";

using model = await loadModel(new URL("../models/recall", import.meta.url));
const tokens = model.tokenizer.encode(prompt);

const patterns: Tensor[] = []; // [query and key, head] of each layer
using _run = model.forward(tokens, {
  logits: "none",
  hooks: [{
    location: "attn.qk_probs",
    pass: "forward",
    run(x, { context }) {
      context.arena.retain(x); // it is read only after the forward pass
      patterns.push(x);
    },
  }],
});

const words = tokens.map((token) => model.tokenizer.token(token));
console.log(`attention from "${words.at(-1)}"@${words.length - 1}, in percent\n`);
console.log(`            ${words.map((word) => word.padStart(8)).join("")}`);
for (const [layer, pattern] of patterns.entries()) {
  const values = await pattern.read();
  const { nHeads } = model.config;
  for (let head = 0; head < nHeads; head++) {
    const row = words.map((_, key) => {
      const place = (words.length - 1) * words.length + key; // the last query
      return 100 * values[place * nHeads + head]!;
    });
    console.log(`  head ${layer}.${head}  ${row.map((p) => p.toFixed(0).padStart(8)).join("")}`);
  }
}
