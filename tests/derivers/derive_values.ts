/**
 * What the property tests run: a request on a golden model, its values by name.
 *
 * @module
 */

import assert from "node:assert/strict";

import { deriveScalars } from "../../derivers/derive.ts";
import type { LossFnConfig, OneSequenceInput } from "../../derivers/request.ts";
import type { ScalarName } from "../../derivers/table.ts";
import type { Model } from "../../engine/model/model.ts";
import type { LocationName } from "../../engine/tape/locations.ts";
import { readTensors } from "../../engine/tape/tensor.ts";
import { gpuTest } from "../support/gpu.ts";
import { goldenModel } from "./golden_cases.ts";

/** A prompt with a repeated token. */
export const tokens = [7, 2, 7, 31, 0, 12];
/** Its length. */
export const T = tokens.length;
/** A loss with a repeated token. */
export const lossFnConfig: LossFnConfig = {
  name: "logit_diff",
  targetTokens: ["<4>"],
  distractorTokens: ["<9>", "<9>"],
};

/** Values of one tensor. */
export type Values = Float32Array;

/** Runs one sequence; gives loss and the values of every scalar by `name/layer` or `name`. */
export async function derive(
  model: Model,
  request: Omit<Partial<OneSequenceInput>, "dsts" | "saveActivations"> & {
    dsts?: readonly (ScalarName | { dst: ScalarName; config: object })[];
    save?: readonly LocationName[];
    gradients?: readonly LocationName[];
  },
) {
  const { dsts = [], save = [], gradients = [], ...rest } = request;
  const saveActivations = [
    ...save.map((activationLocationType) => ({ activationLocationType, passType: "forward" })),
    ...gradients.map((activationLocationType) => ({
      activationLocationType,
      passType: "backward",
    })),
  ] as NonNullable<OneSequenceInput["saveActivations"]>;
  using run = await deriveScalars(model, {
    tokens,
    ...rest,
    saveActivations,
    dsts: dsts.map((each) => typeof each === "string" ? { dst: each, config: {} } : each),
  });
  assert.deepEqual(run.notComputable, []);
  const entries = [
    ...run.scalars.entries.map(({ dst, layerIndex, tensor }) =>
      [`${dst}/${layerIndex ?? "none"}`, tensor] as const
    ),
    ...[...run.activations].map(([{ location, pass, layer }, tensor]) =>
      [`${pass === "forward" ? "" : "gradient of "}${location}/${layer ?? "none"}`, tensor] as const
    ),
  ];
  const values = await readTensors(entries.map(([, tensor]) => tensor));
  const byName = new Map<string, Values>(entries.map(([name], i) => [name, values[i]!]));
  return {
    loss: run.loss,
    get: (name: string) => {
      const found = byName.get(name);
      assert.ok(found, `"${name}" is among ${[...byName.keys()]}`);
      return found;
    },
  };
}

const models = ["tiny", "odd"] as const;

/** A test on each golden model. */
export function onEach(name: string, work: (model: Model) => Promise<void>): void {
  for (const each of models) {
    gpuTest(`${name}: ${each}`, async ({ gpu }) => await work(await goldenModel(gpu, each)));
  }
}
