import assert from "node:assert/strict";

import { openGpu } from "../../../engine/gpu/gpu.ts";
import { qkLogits, qkProbs, weightedSum } from "../../../engine/tape/ops/attention.ts";
import { attention } from "../../../engine/tape/ops/attention_fused.ts";
import { pack } from "../../../engine/tape/packing.ts";
import { Tape } from "../../../engine/tape/tape.ts";
import { Arena } from "../../../engine/tape/tensor.ts";
import type { Ref } from "../../reference/mod.ts";
import { gpuTest, readBits, upload } from "../../support/gpu.ts";
import { caseOf, checkOp } from "../../support/gpu_ops.ts";
import { randomRef } from "../../support/random.ts";

const sizes = [
  { lengths: [1], H: 3, e: 64 },
  { lengths: [17, 1, 5], H: 2, e: 7 },
  { lengths: [131], H: 2, e: 16 },
  { lengths: [64, 65, 63], H: 1, e: 4 },
] as const;

const cases = sizes.map(({ lengths, H, e }) => {
  const shape = [lengths.reduce((total, T) => total + T, 0), H, e];
  return caseOf("attention", [randomRef(shape, 6), randomRef(shape, 7), randomRef(shape, 8)], {
    attrs: { lengths },
    label: `T=${lengths} H=${H} e=${e}`,
  });
});

gpuTest(
  "attention() matches the reference, as do its derivatives",
  ({ context, t }) => checkOp(context, "attention", { t, more: cases }),
);

gpuTest("attention() in one kernel, as on a GPU, matches the reference", async ({ t }) => {
  using gpu = await openGpu();
  using arena = new Arena(gpu);
  Object.assign(gpu.facts, { class: "gpu" });
  await checkOp({ gpu, arena }, "attention", { t, more: cases });
});

gpuTest("attention() in one kernel gives a packed batch what its sequences get", async () => {
  using gpu = await openGpu();
  using arena = new Arena(gpu);
  Object.assign(gpu.facts, { class: "gpu" });
  const [one, other] = [randomRef([9, 2, 8], 1), randomRef([70, 2, 8], 2)];
  const both = { shape: [79, 2, 8], data: Float64Array.from([...one.data, ...other.data]) };
  const run = (x: Ref, lengths: readonly number[]) => {
    const t = upload(arena, x);
    return attention({ gpu, arena }, { q: t, k: t, v: t }, pack(arena, lengths));
  };
  const [packed, first, second] = await readBits([
    run(both, [9, 70]),
    run(one, [9]),
    run(other, [70]),
  ]);
  assert.deepEqual([...packed!], [...first!, ...second!]);
});

gpuTest("attention() keeps neither scores nor pattern for its backward pass", ({ gpu }) => {
  const bytesOf = (op: typeof attention) => {
    using inner = new Arena(gpu);
    const context = { gpu, arena: inner, tape: new Tape() };
    const x = upload(inner, randomRef([96, 4, 16], 3));
    context.tape.watch(x);
    const before = gpu.memory().live;
    op(context, { q: x, k: x, v: x }, pack(inner, [96]));
    return gpu.memory().live - before;
  };
  const composed = bytesOf((cx, { q, k, v }, packing) => {
    const pairs = { packing, causal: true };
    return weightedSum(cx, { probs: qkProbs(cx, qkLogits(cx, { q, k }, pairs), pairs), v }, pairs);
  });
  const pattern = 4 * 96 * 96 * 4;
  assert.ok(bytesOf(attention) <= composed - 2 * pattern);
});
