/**
 * What runs leave behind and how often they wait.
 *
 * @module
 */

import { deriveScalars } from "../../derivers/derive.ts";
import { randomModel, someTokens } from "../support/random_model.ts";
import type { BarOptions, Row } from "./row.ts";

/** Rows about many runs. */
export async function runsRows({ gpu, quick }: BarOptions): Promise<Row[]> {
  const small = { n_layer: 2, n_embd: 64, n_head: 4, vocab_size: 128 };
  using model = randomModel(gpu, "gpt2", small);
  const runs = quick ? 100 : 1000;
  const once = async () => {
    const before = gpu.counts().reads;
    using run = await deriveScalars(model, {
      tokens: someTokens(16, small.vocab_size),
      lossFnConfig: { name: "logit_diff", targetTokens: ["<13>"], distractorTokens: ["<17>"] },
      dsts: ["mlp_act_times_grad", "unflattened_attn_act_times_grad", "mlp_write_norm"],
    });
    const untilScalars = gpu.counts().reads - before;
    await run.scalars.topk(10);
    return { untilScalars, withTopK: gpu.counts().reads - before };
  };
  const held = () => {
    const { live, pooled } = gpu.memory();
    return live + pooled;
  };
  const { untilScalars, withTopK } = await once();
  const afterFirst = held();
  const started = performance.now();
  for (let i = 1; i < runs; i++) await once();
  const each = (performance.now() - started) / (runs - 1);
  const afterAll = held();
  return [
    {
      question: "read-backs of deriveScalars() and its top k",
      value: withTopK,
      bar: { atMost: 1 },
      detail: `${untilScalars} for the loss, ${withTopK - untilScalars} for the top k`,
    },
    {
      question: `bytes held after ${runs} runs over those after the first`,
      value: afterAll / afterFirst,
      bar: { atMost: 1 },
      detail: `${afterFirst} and ${afterAll} bytes, ${each.toFixed(1)} ms a run`,
    },
  ];
}
