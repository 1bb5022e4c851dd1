/**
 * What a backward pass, kept activations and slots cost beside a bare forward pass.
 *
 * @module
 */

import { pack } from "../../engine/tape/packing.ts";
import { locationNames } from "../../engine/tape/locations.ts";
import { Slots } from "../../engine/tape/slots.ts";
import { Arena } from "../../engine/tape/tensor.ts";
import {
  allSlots,
  runForward,
  runForwardBackward,
  runSaving,
  runWithoutSlots,
} from "../support/forward_work.ts";
import { coresOf, measure, median, ratios, spread } from "../support/measure.ts";
import { randomModel, someTokens } from "../support/random_model.ts";
import type { BarOptions, Row } from "./row.ts";

const length = 64;

/** Rows about forward and backward passes. */
export async function forwardRows({ gpu, quick }: BarOptions): Promise<Row[]> {
  using model = randomModel(gpu, "gpt2");
  const tokens = someTokens(length);
  const save = allSlots(model);
  let visits = 0;
  const measured = await measure(gpu, {
    last: () => runForward(model, { tokens, logits: "last" }),
    all: () => runForward(model, { tokens, logits: "all" }),
    saving: () => runSaving(model, { tokens, save }),
    without: () => {
      visits = runWithoutSlots(model, tokens);
    },
    both: () => runForwardBackward(model, tokens),
  }, { rounds: quick ? 3 : 9, least: 1 });
  const times = (name: keyof typeof measured.milliseconds) =>
    `${median(measured.milliseconds[name]).toFixed(0)} ms`;
  const compared = (over: keyof typeof measured.milliseconds, under: typeof over) => {
    const values = ratios(measured, over, under);
    return {
      value: median(values),
      spread: spread(values),
      detail: `${times(over)} over ${times(under)}${coresOf(measured, over, under)}`,
    };
  };
  const visit = await millisecondsOfVisit(gpu, model.config.nLayers);
  const unused = compared("all", "without");
  return [
    {
      question: "forward and backward to the embeddings over forward (last logits)",
      ...compared("both", "last"),
      bar: { atMost: 2.3 },
    },
    {
      question: "forward keeping every activation over a bare one (all logits)",
      ...compared("saving", "all"),
      bar: { atMost: 1.25 },
    },
    {
      // The GPU does the same either way, so all that slots can cost is the time of visits.
      question: "slots present but unused: 1 + time of the visits over a forward without",
      value: 1 + visits * visit / median(measured.milliseconds.without),
      bar: { atMost: 1.02 },
      detail: `${visits} visits of ${(1000 * visit).toFixed(2)} µs; in turn ${
        unused.value.toFixed(3)
      } ± ${Math.round(100 * unused.spread)} %`,
    },
  ];
}

/** Milliseconds of passing one slot that nobody uses, looked up as the model does. */
function millisecondsOfVisit(gpu: BarOptions["gpu"], nLayers: number): number {
  using arena = new Arena(gpu);
  const slots = new Slots({ packing: pack(arena, [length]), nLayers });
  const x = arena.tensor([1], "x");
  const context = { gpu, arena };
  const count = 100_000;
  const started = performance.now();
  for (let i = 0; i < count; i++) {
    const name = locationNames[i % locationNames.length]!;
    slots.visit(context, x, { names: [name], layer: i % nLayers });
  }
  return (performance.now() - started) / count;
}
