/**
 * Imports the library, loads the model that ships, runs it, and prints how long it took.
 *
 * @module
 */

const started = performance.now();
const { deriveScalars, loadModel } = await import("../../mod.ts");
using model = await loadModel(new URL("../../models/recall/", import.meta.url));
using run = await deriveScalars(model, {
  tokens: [1, 2, 3, 4],
  lossFnConfig: { name: "logit_minus_mean", targetTokens: [model.tokenizer.token(5)] },
  dsts: ["mlp_act_times_grad"],
});
await run.scalars.topk(10);
console.log((performance.now() - started).toFixed(1));
