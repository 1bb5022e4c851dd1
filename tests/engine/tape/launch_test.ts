import assert from "node:assert/strict";

import { openGpu } from "../../../engine/gpu/gpu.ts";
import { kernelFamily } from "../../../engine/gpu/kernel.ts";
import { expectShape, outputGrid, rowLaunch } from "../../../engine/tape/launch.ts";
import { Arena } from "../../../engine/tape/tensor.ts";
import { gpuTest } from "../../support/gpu.ts";
import { checkOp } from "../../support/gpu_ops.ts";

const laidOutOps = [
  "attention",
  "linear",
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
  "ops laid out by class of adapter match the reference as the other class runs them",
  async ({ t }) => {
    using gpu = await openGpu();
    using arena = new Arena(gpu);
    // The other class than that on which the other tests run.
    Object.assign(gpu.facts, { class: gpu.facts.class === "cpu" ? "gpu" : "cpu" });
    for (const op of laidOutOps) {
      await t.step(`${op} as on a ${gpu.facts.class}`, (t) => checkOp({ gpu, arena }, op, { t }));
    }
  },
);

gpuTest("outputGrid() launches no more than there is to do, and stays within limits", ({ gpu }) => {
  assert.deepEqual([1, 64, 65].map((n) => outputGrid(gpu, n)[0]), [1, 1, 2]);
  assert.ok(outputGrid(gpu, 1e9)[0] <= gpu.facts.maxWorkgroups);
});

gpuTest(
  "outputGrid() and rowLaunch() keep an invocation's loops short enough for llvmpipe",
  async () => {
    using cpu = await openGpu();
    Object.assign(cpu.facts, { class: "cpu" });
    const outputs = [{ n: 1e8, turns: 1 }, { n: 786_432, turns: 1024 }, { n: 1e6, turns: 10_000 }];
    for (const { n, turns } of outputs) {
      const [groups] = outputGrid(cpu, n, turns);
      assert.ok(n / (64 * groups) * (turns + 1) < 65_535, `${n} of ${turns} turns`);
    }
    const kernel = kernelFamily({ name: "k", wgsl: [], bindings: {}, uniforms: {} })("k", []);
    const shapes = [
      { rows: 1, width: 50_257, passes: 3 },
      { rows: 1024, width: 50_257, passes: 3 },
      { rows: 1e6, width: 12, passes: 1 },
      { rows: 7, width: 32_768, passes: 35 },
    ];
    for (const shape of shapes) {
      const { kernel: { overrides }, workgroups: [groups] } = rowLaunch(cpu, kernel, shape);
      const { LANES = 1, ROWS = 1 } = overrides ?? {};
      const sweeps = Math.ceil(shape.rows / (groups * ROWS));
      assert.ok(sweeps * shape.width * shape.passes / LANES < 65_535, JSON.stringify(shape));
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
