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
    using _run = await deriveScalars(model, {
      tokens: someTokens(16, small.vocab_size),
      lossFnConfig: { name: "logit_diff", targetTokens: ["<13>"], distractorTokens: ["<17>"] },
      dsts: ["mlp_act_times_grad", "unflattened_attn_act_times_grad", "mlp_write_norm"],
    }, { alongside: ([sequence]) => sequence!.scalars.topk(10) });
    return gpu.counts().reads - before;
  };
  const held = () => {
    const { live, pooled } = gpu.memory();
    return live + pooled;
  };
  const reads = await once();
  const afterFirst = held();
  const started = performance.now();
  for (let i = 1; i < runs; i++) await once();
  const each = (performance.now() - started) / (runs - 1);
  const afterAll = held();
  return [
    {
      question: "read-backs of deriveScalars() and a top k alongside",
      value: reads,
      bar: { atMost: 1 },
    },
    {
      question: `bytes held after ${runs} runs over those after the first`,
      value: afterAll / afterFirst,
      bar: { atMost: 1 },
      detail: `${afterFirst} and ${afterAll} bytes, ${each.toFixed(1)} ms a run`,
    },
  ];
}
