/**
 * The tests of one model's golden cases. They are in a file of each model, so that
 * both run at a time.
 *
 * @module
 */

import assert from "node:assert/strict";

import { type DerivedRun, deriveScalars } from "../../derivers/derive.ts";
import type { Model } from "../../engine/model/model.ts";
import { assertClose } from "../support/assert_close.ts";
import {
  compareTopk,
  forwardTolerance,
  type GoldenCase,
  goldenTolerance,
  listGolden,
  lookupOf,
  readGoldenCase,
} from "../support/golden.ts";
import { gpuTest } from "../support/gpu.ts";
import {
  type Comparison,
  errorOf,
  goldenModel,
  isForwardOnly,
  ownErrors,
  requestOf,
  runGoldenCase,
} from "./golden_cases.ts";

const allowedRatio = 10;

/**
 * Kinds in which a layer norm makes the true value nearly 0, so that an ordinary
 * error is large beside it (FORMAT.md, "Cancellations"): ten times the reference's
 * own error holds for their absolute error only.
 */
const cancelling: ReadonlySet<string> = new Set([
  // the pre-activation of a trace, a sum that cancels: 2e-6 off at a value of 1e-3
  "activation_value_for_backward_pass",
]);

/** One test for each case of a model. */
export function testGoldenCases(modelName: string): void {
  const own = ownErrors();
  for (const name of listGolden("cases").filter((each) => each.startsWith(`${modelName}_`))) {
    gpuTest(`deriveScalars() gives the golden values of ${name}`, async ({ gpu }) => {
      const golden = readGoldenCase(name);
      const model = await goldenModel(gpu, golden.request.model);
      const { run, comparisons } = await runGoldenCase(model, golden);
      using _run = run;
      assert.deepEqual(run.sequences.flatMap(({ notComputable }) => notComputable), []);
      for (const comparison of comparisons) {
        checkBar(comparison);
        checkOwnError(comparison, own);
      }
      await checkTopk(run, golden);
      await checkRefusals(model, golden);
    });
  }
}

/** The bars of FORMAT.md. */
function checkBar({ name, kind, got, want }: Comparison): void {
  assert.ok(got, `"${name}" is missing`);
  assert.ok(want, `"${name}" is one too many`);
  assert.deepEqual(got.shape, want.shape, `shape of "${name}"`);
  const tolerance = isForwardOnly(kind) ? forwardTolerance : goldenTolerance;
  assertClose(got.data, want.data, { ...tolerance, shape: want.shape, label: name });
}

/** No farther away than ten times the reference's own float32 run, of the same kind. */
function checkOwnError(
  { name, kind, got, want }: Comparison,
  own: ReturnType<typeof ownErrors>,
): void {
  const { max_err_over_max_abs: relative, max_abs_err: absolute } = own.get(kind)!;
  const { error, largest } = errorOf({ got: got!, want: want! });
  const message = `"${name}": error ${error}, largest value ${largest}`;
  assert.ok(error <= allowedRatio * absolute, `${message}, the reference's ${absolute}`);
  if (cancelling.has(kind)) return;
  assert.ok(
    error <= allowedRatio * relative * largest,
    `${message}, the reference's error over its largest value ${relative}`,
  );
}

async function checkTopk(run: DerivedRun, golden: GoldenCase): Promise<void> {
  for (const [s, lists] of golden.expected.topk.entries()) {
    const { scalars } = run.sequences[s]!;
    const names = new Set(scalars.entries.map(({ dst }) => dst));
    for (const { k, largest, dsts, entries } of lists) {
      const got = await scalars.topk(k, {
        largest,
        dsts: [...names].filter((name) => dsts.includes(name)),
      });
      const label = `${golden.name}, sequence ${s}, ${largest ? "largest" : "smallest"}`;
      compareTopk(got, entries, { label, lookup: lookupOf(golden, s) });
    }
  }
}

/** Each scalar that cannot be computed is asked for by a sequence of its own. */
async function checkRefusals(model: Model, golden: GoldenCase): Promise<void> {
  const { notComputable } = golden.expected;
  if (notComputable.length === 0) return;
  const request = requestOf(golden);
  using run = await deriveScalars(model, {
    ...request,
    sequences: notComputable.map(({ dst, config, sequence }) => ({
      ...request.sequences[sequence]!,
      dsts: [{ dst, config } as (typeof request.sequences)[number]["dsts"][number]],
      saveActivations: [],
    })),
  });
  notComputable.forEach(({ dst, error }, s) => {
    const refused = run.sequences[s]!.notComputable;
    assert.deepEqual(
      refused.map(({ sequence, dst, error }) => ({ sequence, dst, error })),
      [{ sequence: s, dst, error }],
    );
    assert.match(refused[0]!.message, new RegExp(`"${dst}"`));
    assert.deepEqual(run.sequences[s]!.scalars.entries, []);
  });
}
