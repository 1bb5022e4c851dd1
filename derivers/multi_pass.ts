/**
 * Scalars of two runs: each input is taken from one of them, or is their difference.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import { sub } from "../engine/tape/ops/elementwise.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import { deriveScalar } from "./derive.ts";
import type { Input } from "./inputs.ts";
import { type PlannedScalar, planScalar } from "./plan.ts";
import type { DstConfig } from "./request.ts";
import { ScalarStore } from "./scalar_store.ts";
import type { SequenceRun, Site, SlotRef } from "./site.ts";
import type { ScalarName } from "./table.ts";

/** Where an input comes from; `subtract_baseline` is main − baseline. */
export const inputSources = ["main", "baseline", "subtract_baseline"] as const;

/** One of {@linkcode inputSources}. */
export type InputSource = (typeof inputSources)[number];

/** Two sequences, each of its own run or both of one. */
export interface TwoPasses {
  /** What is explained. */
  readonly main: SequenceRun;
  /** What it is compared with. */
  readonly baseline: SequenceRun;
}

/** A scalar, and where its inputs come from. */
export interface MultiPassScalar {
  /** The scalar. */
  readonly dst: ScalarName;
  /** How it is derived. */
  readonly config?: Omit<DstConfig, "deriveGradients">;
  /** One for each of the scalar's inputs, in their order; see {@linkcode inputsOf}. */
  readonly sources: readonly InputSource[];
}

/** An input of a scalar. */
export interface InputOfScalar {
  /** For people. */
  readonly label: string;
  /** The activations or gradients it is computed from, in one of the scalar's layers. */
  readonly slots: readonly SlotRef[];
}

/**
 * The inputs of a scalar's forward value, in order.
 *
 * @throws {RequestError} if the scalar makes no sense with its configuration.
 */
export function inputsOf(
  { dst, config = {} }: Pick<MultiPassScalar, "dst" | "config">,
  { facts }: Pick<SequenceRun, "facts">,
): InputOfScalar[] {
  const planned = planScalar({ dst, config }, { facts, hasObjective: true });
  const layer = planned.layers.at(-1) ?? null;
  const where = { dst, config: planned.config, facts, layer };
  return planned.row.rule.inputs.map((input) => ({
    label: input.label,
    slots: input.needs(where),
  }));
}

/**
 * Derives a scalar from two passes: its rule, applied to inputs of either or to their
 * differences. Everything else about it is as in the main pass. For instance
 * `mlp_act_times_grad` from `["subtract_baseline", "main"]` is
 * `(a_main − a_baseline) · gradient_main`.
 *
 * @throws {RequestError} `wrong_number_of_sources` naming the scalar; `unequal_lengths` if both
 * passes are used and have different numbers of tokens; `not_kept` if a run did not keep an
 * input; otherwise as for a scalar of one pass.
 */
export function deriveMultiPass(
  { main, baseline }: TwoPasses,
  { dst, config = {}, sources }: MultiPassScalar,
): ScalarStore {
  const onlyBaseline = sources.length > 0 && sources.every((source) => source === "baseline");
  const run = onlyBaseline ? baseline : main;
  const planned = planScalar({ dst, config }, { facts: run.facts, hasObjective: true });
  checkSources(planned, sources);
  if (sources.some((source) => source !== "main") && !onlyBaseline) {
    checkLengths(dst, { main, baseline });
  }
  const from = (site: Site, pass: SequenceRun): Site => ({
    ...site,
    run: pass,
    facts: pass.facts,
    cx: pass.cx,
  });
  const inputValue = (input: Input, site: Site, i: number): Tensor => {
    switch (sources[i]!) {
      case "main":
        return input.value(from(site, main));
      case "baseline":
        return input.value(from(site, baseline));
      case "subtract_baseline":
        return sub(site.cx, input.value(from(site, main)), input.value(from(site, baseline)));
    }
  };
  const store = new ScalarStore();
  for (const entry of deriveScalar(run, planned, { inputValue })) store.add(entry);
  return store;
}

function checkSources({ dst, row }: PlannedScalar, sources: readonly InputSource[]): void {
  const { inputs } = row.rule;
  if (sources.length === inputs.length) return;
  throw new RequestError(
    "wrong_number_of_sources",
    `Cannot derive "${dst}" with sources ${JSON.stringify(sources)}: it needs ${inputs.length}, ` +
      `one for each of its inputs (${inputs.map(({ label }) => label).join(", ")})`,
  );
}

function checkLengths(dst: string, { main, baseline }: TwoPasses): void {
  const [ours, theirs] = [main.facts.nTokens, baseline.facts.nTokens];
  if (ours === theirs) return;
  throw new RequestError(
    "unequal_lengths",
    `Cannot derive "${dst}" from two passes of unequal length: ` +
      `current lengths are ${ours} and ${theirs} tokens`,
  );
}
