/**
 * How long it takes from nothing to a first result, caches warm.
 *
 * @module
 */

import { fileURLToPath } from "node:url";

import { median, spread } from "../support/measure.ts";
import type { BarOptions, Row } from "./row.ts";

const program = `
const started = performance.now();
const { deriveScalars, loadModel } = await import(${
  JSON.stringify(new URL("../../mod.ts", import.meta.url).href)
});
const model = await loadModel(${
  JSON.stringify(fileURLToPath(new URL("../../models/recall", import.meta.url)))
});
const run = await deriveScalars(model, {
  prompt: "ocean cloud paper shoe paint ocean",
  lossFnConfig: { name: "logit_diff", targetTokens: [" cloud"] },
  dsts: ["token_attribution"],
});
await run.scalars.topk(3);
console.log(performance.now() - started);
Deno.exit(0);
`;

/** One row: import, model, adapter, forward, backward, top k, in a process of its own. */
export async function startRows({ quick }: BarOptions): Promise<Row[]> {
  const seconds: number[] = [];
  for (let i = 0; i < (quick ? 3 : 9); i++) {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", program],
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
    }).output();
    seconds.push(Number(new TextDecoder().decode(stdout)) / 1000);
  }
  const [, ...warm] = seconds; // the first fills the caches
  return [{
    question: "seconds from import to a first result (models/recall)",
    value: median(warm),
    spread: spread(warm),
    bar: { atMost: 0.2 },
  }];
}
