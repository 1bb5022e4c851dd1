import assert from "node:assert/strict";

import { rowLosses } from "../../../engine/tape/ops/loss.ts";
import { ref } from "../../reference/mod.ts";
import { gpuTest, readRefs, recording, upload } from "../../support/gpu.ts";
import { caseOf, checkOp } from "../../support/gpu_ops.ts";
import { randomRef } from "../../support/random.ts";

gpuTest(
  "rowLosses() matches the reference, as do its derivatives, several losses of one row among them",
  ({ context, t }) => {
    const more = ([[1, 63], [3, 129], [5, 1000], [2, 5003]] as const).map(([N, V]) => {
      const kinds = ["linear", "probs", "zero", "probs", "linear"] as const;
      const specs = kinds.map((kind, b) => ({
        row: (b * 2 + 1) % N,
        kind,
        coefficients: [...randomRef([V], 10 + b).data],
      }));
      return caseOf("loss", [randomRef([N, V], 1, { scale: 5 })], {
        attrs: { specs },
        label: `N=${N} V=${V} rows ${specs.map(({ row }) => row)}`,
      });
    });
    return checkOp(context, "loss", { t, more });
  },
);

gpuTest(
  "rowLosses() does not look at tokens with coefficient 0, nor at other rows",
  async ({ context }) => {
    const logits = upload(context.arena, ref([2, 3], [NaN, NaN, NaN, 3, -Infinity, 1]));
    const cx = recording(context, [logits]);
    const losses = rowLosses(cx, logits, [
      { row: 1, kind: "linear", coefficients: new Float32Array([1, 0, -1]) },
      { row: 1, kind: "zero", coefficients: new Float32Array(3) },
    ]);
    const seed = upload(cx.arena, ref([2], [1, 1]));
    const dz = cx.tape.backward(cx, { seeds: [[losses, seed]], wanted: new Set([logits]) });
    const [value, gradient] = await readRefs([losses, dz.get(logits)!]);
    assert.deepEqual([...value!.data], [2, 0]);
    assert.deepEqual([...gradient!.data], [0, 0, 0, 1, 0, -1]);
  },
);
