import assert from "node:assert/strict";

import { openGpu } from "../../../engine/gpu/gpu.ts";
import { expectShape, outputGrid, rowGrid } from "../../../engine/tape/launch.ts";
import { Arena } from "../../../engine/tape/tensor.ts";
import { gpuTest } from "../../support/gpu.ts";
import { checkOp } from "../../support/gpu_ops.ts";

const rowOps = [
  "norm_scale",
  "norm_apply",
  "row_dot",
  "row_norm",
  "log_softmax",
  "cross_entropy",
  "loss",
  "top_k",
] as const;

gpuTest(
  "ops that work row by row match the reference with the lanes and grids of either class of adapter",
  async ({ t }) => {
    using gpu = await openGpu();
    using arena = new Arena(gpu);
    // The other class than that on which the other tests run.
    Object.assign(gpu.facts, { class: gpu.facts.class === "cpu" ? "gpu" : "cpu" });
    for (const op of rowOps) {
      await t.step(`${op} as on a ${gpu.facts.class}`, (t) => checkOp({ gpu, arena }, op, { t }));
    }
  },
);

gpuTest(
  "outputGrid() and rowGrid() launch no more than there is to do, and stay within limits",
  ({ gpu }) => {
    assert.deepEqual([1, 64, 65].map((n) => outputGrid(gpu, n)[0]), [1, 1, 2]);
    assert.deepEqual([1, 5].map((n) => rowGrid(gpu, n)[0]), [1, 5]);
    for (const grid of [outputGrid, rowGrid]) {
      assert.ok(
        grid(gpu, 1e9)[0] <= gpu.facts.maxWorkgroups,
      );
    }
  },
);

gpuTest("expectShape() names the operation, the argument and both shapes", ({ arena }) => {
  const x = arena.tensor([2, 3], "x");
  expectShape("f", x, { argument: "a", shape: [2, 3] });
  for (const shape of [[3, 2], [2], [2, 3, 1]]) {
    assert.throws(() => expectShape("f", x, { argument: "a", shape }), {
      name: "ShapeError",
      message: `Cannot run f() as a must be [${shape.join(", ")}]: "x" is [2, 3]`,
    });
  }
});
