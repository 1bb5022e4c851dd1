import assert from "node:assert/strict";

import { rowDot, rowNorm, sumColumns, sumRows, sumTo } from "../../../engine/tape/ops/reduce.ts";
import { ref } from "../../reference/mod.ts";
import { assertClose } from "../../support/assert_close.ts";
import { gpuTest, readRefs, recording, upload } from "../../support/gpu.ts";
import { caseOf, checkOp } from "../../support/gpu_ops.ts";
import { randomRef } from "../../support/random.ts";

const shapes = [[67, 3], [1, 63], [2, 127], [3, 129], [5, 257], [2, 1000], [1, 5003]] as const;

gpuTest("rowDot() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = shapes.map((s) =>
    caseOf("row_dot", [randomRef(s, 1), randomRef(s, 2)], { attrs: {} })
  );
  return checkOp(context, "row_dot", { t, more });
});

gpuTest("rowNorm() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = shapes.map((s) => caseOf("row_norm", [randomRef(s, 3)], { attrs: {} }));
  return checkOp(context, "row_norm", { t, more });
});

gpuTest("rowNorm() of a row of zeros is 0, without gradient or tangent", async ({ context }) => {
  const x = upload(context.arena, ref([2, 3], [0, 0, 0, 3, 0, 4]));
  const cx = recording(context, [x]);
  const y = rowNorm(cx, x);
  const ones = upload(cx.arena, ref([2, 1], [1, 1]));
  const dx = cx.tape.backward(cx, { seeds: [[y, ones]], wanted: new Set([x]) }).get(x)!;
  const ty = cx.tape.forwardMode(cx, { tangents: [[x, x]], output: y })!;
  const [gotY, gotDx, gotTy] = await readRefs([y, dx, ty]);
  assert.deepEqual([...gotY!.data], [0, 5]);
  assertClose(gotDx!.data, [0, 0, 0, 0.6, 0, 0.8]);
  assertClose(gotTy!.data, [0, 5]);
});

gpuTest("rowDot() of a tensor with itself has both gradients", async ({ context }) => {
  const x = upload(context.arena, ref([1, 3], [1, -2, 4]));
  const cx = recording(context, [x]);
  const y = rowDot(cx, x, x);
  const seed = upload(cx.arena, ref([1, 1], [0.5]));
  const dx = cx.tape.backward(cx, { seeds: [[y, seed]], wanted: new Set([x]) }).get(x)!;
  const [gotY, gotDx] = await readRefs([y, dx]);
  assert.deepEqual([...gotY!.data], [21]);
  assert.deepEqual([...gotDx!.data], [1, -2, 4]);
});

gpuTest("sumMiddle() matches the reference", ({ context, t }) => {
  const more = ([[67, 3, 5], [1, 257, 65], [5, 1, 63], [2, 1000, 1]] as const).map((s) =>
    caseOf("sum_middle", [randomRef(s, 4)], { attrs: {} })
  );
  return checkOp(context, "sum_middle", { t, more });
});

gpuTest(
  "sumRows(), sumColumns() and sumTo() sum over the last, the first, or all but the last dimensions",
  async ({ context }) => {
    const x = randomRef([4, 3, 5], 5);
    const gx = upload(context.arena, x);
    const outs = [sumRows(context, gx), sumColumns(context, gx), sumTo(context, gx, [3, 5])];
    const whole = sumTo(context, gx, []);
    assert.deepEqual([...outs, whole].map(({ shape }) => shape), [[4, 3, 1], [5], [3, 5], []]);
    const [rows, columns, blocks, all] = await readRefs([...outs, whole]);
    const sums = (size: number, at: (i: number) => number) => {
      const want = new Float64Array(size);
      x.data.forEach((value, i) => want[at(i)]! += value);
      return want;
    };
    assertClose(rows!.data, sums(12, (i) => Math.floor(i / 5)));
    assertClose(columns!.data, sums(5, (i) => i % 5));
    assertClose(blocks!.data, sums(15, (i) => i % 15));
    assertClose(all!.data, sums(1, () => 0));
  },
);
