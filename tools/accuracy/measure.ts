/**
 * How far our numbers are from the golden ones, kind by kind.
 *
 * @module
 */

import type { Gpu } from "../../engine/gpu/gpu.ts";
import {
  errorOf,
  goldenModel,
  type OwnError,
  ownErrors,
  runGoldenCase,
} from "../../tests/derivers/golden_cases.ts";
import { listGolden, readGoldenCase } from "../../tests/support/golden.ts";

/** The largest errors of one kind of values over all cases. */
export interface KindError {
  /** As tolerances.json names it, e.g. `mlp_write_norm/forward`. */
  readonly kind: string;
  /** Tensors compared. */
  readonly tensors: number;
  /** Largest of: error over the tensor's largest value. */
  readonly relative: number;
  /** Largest error. */
  readonly absolute: number;
  /** The case with the largest `relative`. */
  readonly worst: string;
  /** The error of the reference's own float32 run, if it is known. */
  readonly own: OwnError | undefined;
  /** `relative` over the reference's own: 0 for no error, infinite if the reference has none. */
  readonly ratio: number;
}

/** Runs the cases whose name contains `filter` and compares everything, worst ratio first. */
export async function measure(gpu: Gpu, filter = ""): Promise<KindError[]> {
  const own = ownErrors();
  const kinds = new Map<string, Omit<KindError, "own" | "ratio">>();
  for (const name of listGolden("cases").filter((each) => each.includes(filter))) {
    const golden = readGoldenCase(name);
    const model = await goldenModel(gpu, golden.request.model);
    const { run, comparisons } = await runGoldenCase(model, golden);
    run[Symbol.dispose]();
    for (const { kind, got, want } of comparisons) {
      if (got === undefined || want === undefined) {
        throw new Error(`Cannot compare "${kind}" of "${name}": ours or the golden one is missing`);
      }
      const { error, largest } = errorOf({ got, want });
      const relative = error === 0 ? 0 : error / largest;
      const before = kinds.get(kind) ?? { kind, tensors: 0, relative: 0, absolute: 0, worst: "" };
      kinds.set(kind, {
        kind,
        tensors: before.tensors + 1,
        relative: Math.max(before.relative, relative),
        absolute: Math.max(before.absolute, error),
        worst: relative > before.relative ? name : before.worst,
      });
    }
  }
  return [...kinds.values()]
    .map((each) => ({ ...each, own: own.get(each.kind), ratio: ratioOf(each, own) }))
    .sort((a, b) => b.ratio - a.ratio || b.relative - a.relative);
}

function ratioOf(
  { kind, relative }: { kind: string; relative: number },
  own: ReadonlyMap<string, OwnError>,
): number {
  return relative === 0 ? 0 : relative / (own.get(kind)?.max_err_over_max_abs ?? 0);
}
