/**
 * The golden cases, run: every number that we get beside the one that is wanted.
 *
 * @module
 */

import { type DerivedRun, deriveScalars } from "../../derivers/derive.ts";
import { type DeriveRequest, parseDeriveRequest } from "../../derivers/request.ts";
import { needsBackwardPass, type ScalarName, scalarTable } from "../../derivers/table.ts";
import type { Gpu } from "../../engine/gpu/gpu.ts";
import { loadModel, type Model } from "../../engine/model/model.ts";
import { readTensors, type Tensor } from "../../engine/tape/tensor.ts";
import { errorBetween, largestMagnitude } from "../support/assert_close.ts";
import { type GoldenCase, goldenModelPath, readGoldenJson } from "../support/golden.ts";

/** One tensor or number of a case: ours, and the one wanted. */
export interface Comparison {
  /** As FORMAT.md names tensors, e.g. `b0/mlp_write_norm/forward/1`. */
  readonly name: string;
  /** As tolerances.json names kinds, e.g. `mlp_write_norm/forward`. */
  readonly kind: string;
  /** `undefined` if we have none. */
  readonly got: Values | undefined;
  /** `undefined` if none was wanted. */
  readonly want: Values | undefined;
}

/** Values and their shape. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** A case that was run; dispose of its run. */
export interface GoldenRun {
  readonly run: DerivedRun;
  readonly comparisons: readonly Comparison[];
}

/** The error of the reference's own float32 run against float64, of one kind. */
export interface OwnError {
  readonly max_err_over_max_abs: number;
  readonly max_abs_err: number;
  readonly worst_case: string;
}

const models = new Map<string, Promise<Model>>();

/** A golden model on the process's GPU, loaded once. */
export function goldenModel(gpu: Gpu, name: string): Promise<Model> {
  let model = models.get(name);
  if (model === undefined) {
    model = loadModel(goldenModelPath(name), { gpu });
    models.set(name, model);
  }
  return model;
}

/** The request of a case, parsed like every request. */
export function requestOf({ request, name }: Pick<GoldenCase, "request" | "name">): DeriveRequest {
  return parseDeriveRequest(request, name);
}

/** Runs a case and reads everything in one transfer. */
export async function runGoldenCase(model: Model, golden: GoldenCase): Promise<GoldenRun> {
  const run = await deriveScalars(model, requestOf(golden));
  const tensors = run.sequences.flatMap(({ scalars, activations }, s) => [
    ...scalars.entries.map(({ dst, passType, layerIndex, tensor }) =>
      [`b${s}/${dst}/${passType}/${layerIndex ?? "none"}`, tensor] as const
    ),
    ...[...activations].map(([{ location, pass, layer }, tensor]) =>
      [`b${s}/raw/${location}/${pass}/${layer ?? "none"}`, tensor] as const
    ),
  ]);
  const values = await readTensors(tensors.map(([, tensor]) => tensor));
  const byTensor = new Map<Tensor, Float32Array<ArrayBuffer>>();
  const got = new Map<string, Values>();
  tensors.forEach(([name, tensor], i) => {
    byTensor.set(tensor, values[i]!);
    got.set(name, { shape: tensor.shape, data: values[i]! });
  });
  run.sequences.forEach(({ scalars, loss, activationValueForBackwardPass: traced }, s) => {
    for (const { tensor } of scalars.entries) scalars.setValues(tensor, byTensor.get(tensor)!);
    if (loss !== null) got.set(`b${s}/loss`, numberOf(loss));
    if (traced !== null) got.set(`b${s}/activation_value_for_backward_pass`, numberOf(traced));
  });
  const names = new Set([...golden.tensors.keys(), ...got.keys()]);
  const comparisons = [...names].map((name) => ({
    name,
    kind: kindOf(name),
    got: got.get(name),
    want: golden.tensors.get(name),
  }));
  return { run, comparisons };
}

function numberOf(value: number): Values {
  return { shape: [], data: [value] };
}

/** The name without the sequence and the layer. */
function kindOf(name: string): string {
  const parts = name.split("/").slice(1);
  return (parts.length === 1 ? parts : parts.slice(0, -1)).join("/");
}

/** The largest error of a tensor, and its largest value. */
export function errorOf(
  { got, want }: { got: Values; want: Values },
): { error: number; largest: number } {
  let error = 0;
  for (let i = 0; i < want.data.length; i++) {
    error = Math.max(error, errorBetween(got.data[i]!, want.data[i]!));
  }
  return { error, largest: largestMagnitude(want.data) };
}

/** Whether values of a kind come from a forward pass alone. */
export function isForwardOnly(kind: string): boolean {
  const [name, pass] = kind.split("/").slice(-2) as [string, string?];
  if (kind.startsWith("raw/")) return pass === "forward";
  if (!(name in scalarTable)) return false;
  return pass === "forward" && !needsBackwardPass(scalarTable[name as ScalarName]);
}

/** The reference's own float32 error, by kind. */
export function ownErrors(): ReadonlyMap<string, OwnError> {
  return new Map(Object.entries(readGoldenJson("tolerances.json") as Record<string, OwnError>));
}
