import assert from "node:assert/strict";

import { overwrite, reshape, slice, zerosLike } from "../../../engine/tape/ops/slice.ts";
import { gpuTest, readRefs, recording, upload } from "../../support/gpu.ts";
import { caseOf, checkOp } from "../../support/gpu_ops.ts";
import { createRandom, randomRef } from "../../support/random.ts";

gpuTest("slice() of rows matches the reference, as do its derivatives", ({ context, t }) => {
  const more = [
    caseOf("rows", [randomRef([67, 257], 1)], { attrs: { start: 66, count: 1 } }),
    caseOf("rows", [randomRef([67, 31], 1)], { attrs: { start: 0, count: 67 }, label: "all rows" }),
    caseOf("rows", [randomRef([257, 5], 1)], { attrs: { start: 3, count: 251 } }),
  ];
  return checkOp(context, "rows", { t, more });
});

gpuTest("gatherRows() matches the reference, as do its derivatives", ({ context, t }) => {
  const random = createRandom(2);
  const more = ([[67, 257, 5], [3, 17, 255], [1, 1000, 1]] as const).map(([N, d, R]) => {
    const indices = Array.from({ length: R }, () => random.integer(N));
    return caseOf("gather_rows", [randomRef([N, d], 3)], {
      attrs: { indices },
      label: `N=${N} d=${d} of ${R} indices`,
    });
  });
  return checkOp(context, "gather_rows", { t, more });
});

gpuTest("pick() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = [0, 4, 5002].map((index) =>
    caseOf("pick", [randomRef([1, 5003], 4)], { attrs: { index }, label: `index ${index}` })
  );
  return checkOp(context, "pick", { t, more });
});

gpuTest("overwrite() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = [
    caseOf("overwrite", [randomRef([5, 257], 5)], {
      attrs: { shape: [5, 257], regions: [{ start: [0, 256], count: [5, 1], value: 1 }] },
    }),
    caseOf("overwrite", [randomRef([10, 3, 65], 5)], {
      // The second sequence, of 4 positions, of a [N, H, e] tensor.
      attrs: {
        shape: [4, 3, 65],
        offset: 6 * 3 * 65,
        regions: [{ start: [3, 1, 64], count: [1, 1, 1], value: -7 }],
      },
    }),
    caseOf("overwrite", [randomRef([1030], 5)], {
      attrs: { shape: [1030], regions: [{ start: [0], count: [1030], value: 0 }] },
    }),
  ];
  return checkOp(context, "overwrite", { t, more });
});

gpuTest("overwrite() writes infinities", async ({ context }) => {
  const x = upload(context.arena, randomRef([2, 2], 6));
  const region = { start: 0, shape: [2, 2], first: [0, 1], count: [2, 1] };
  const [y] = await readRefs([overwrite(context, x, { region, value: -Infinity })]);
  assert.equal(y!.data[1], -Infinity);
  assert.equal(y!.data[3], -Infinity);
  assert.ok(Number.isFinite(y!.data[0]! + y!.data[2]!));
});

gpuTest("reshape(), and slice() of the whole, copy nothing", ({ gpu, context }) => {
  const x = upload(context.arena, randomRef([4, 6], 7));
  const before = gpu.counts().dispatches;
  const cx = recording(context, [x]);
  const y = reshape(cx, slice(cx, x, { start: 0, shape: [2, 12] }), [24]);
  const dy = upload(cx.arena, randomRef([24], 8));
  const dx = cx.tape.backward(cx, { seeds: [[y, dy]], wanted: new Set([x]) }).get(x)!;
  assert.equal(gpu.counts().dispatches, before);
  assert.equal(y.block, x.block);
  assert.equal(dx.block, dy.block);
  assert.deepEqual(dx.shape, [4, 6]);
  assert.throws(() => reshape(context, x, [5, 5]), {
    name: "ShapeError",
    message: 'Cannot view "test input" as [5,5] as the number of elements must stay the same: ' +
      "current shape is [4,6]",
  });
});

gpuTest("zerosLike() is zeros over recycled memory", async ({ context }) => {
  const x = upload(context.arena, randomRef([31, 37], 9));
  context.arena.free(upload(context.arena, randomRef([31, 37], 10)));
  const [zeros] = await readRefs([zerosLike(context, x)]);
  assert.deepEqual(new Set(zeros!.data), new Set([0]));
  assert.deepEqual(zeros!.shape, [31, 37]);
});
