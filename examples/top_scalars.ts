/**
 * Derives scalars and prints the nodes with the largest: which heads and neurons made
 * the prediction? `deno run --allow-all examples/top_scalars.ts`
 *
 * @module
 */

import { deriveScalars, loadModel } from "../mod.ts";

using model = await loadModel(new URL("../models/recall", import.meta.url));
using run = await deriveScalars(model, {
  prompt: "river stone cloud lamp forest river",
  lossFnConfig: {
    name: "logit_diff",
    targetTokens: [" stone"],
    distractorTokens: [" cloud"],
  },
  dsts: ["unflattened_attn_act_times_grad", "mlp_act_times_grad"],
});

console.log(`logit of " stone" minus logit of " cloud": ${run.loss?.toFixed(3)}\n`);
for (const { node, value } of await run.scalars.topk(8)) {
  const { nodeType, layerIndex, tensorIndices } = node;
  const index = tensorIndices.at(-1);
  const places = tensorIndices.slice(0, -1)
    .map((place) => `"${run.tokenStrings[Number(place)]}"@${place}`)
    .join(" -> ");
  console.log(`  ${value.toFixed(3).padStart(7)}  ${nodeType} ${layerIndex}.${index}  ${places}`);
}

// One scalar as a tensor, and another one from what the run has kept.
const effect = run.scalars.get({ dst: "unflattened_attn_act_times_grad", layerIndex: 1 });
console.log(`\n${effect.label}, layer 1: [${effect.shape.join(", ")}]`);
const perQuery = run.derive(["attn_act_times_grad_per_sequence_token"]);
const [sum] = await perQuery.topk(1);
console.log(`largest summed over keys: ${sum?.value.toFixed(3)}, at ${sum?.tensorIndices}`);
