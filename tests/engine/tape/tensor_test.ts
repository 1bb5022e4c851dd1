import assert from "node:assert/strict";

import { scale } from "../../../engine/tape/ops/elementwise.ts";
import { Arena, readTensors, sizeOf } from "../../../engine/tape/tensor.ts";
import { gpuTest, readRefs, upload } from "../../support/gpu.ts";
import { randomRef } from "../../support/random.ts";

Deno.test("sizeOf() is 1 for a single number and 0 for an empty dimension", () => {
  assert.deepEqual([[], [3, 5], [4, 0]].map(sizeOf), [1, 15, 0]);
});

gpuTest(
  "Tensor.read() gives back what was uploaded, also of an odd or no number of values",
  async ({ arena }) => {
    for (const n of [0, 1, 2, 3, 63, 65, 1001]) {
      const data = Float32Array.from({ length: n }, (_, i) => i - 0.5);
      assert.deepEqual(await arena.upload(data, [n], "values").read(), data);
    }
  },
);

gpuTest("readTensors() brings several tensors in one read", async ({ gpu, arena }) => {
  const refs = [1, 2, 3].map((seed) => randomRef([seed, 5], seed));
  const tensors = refs.map((each) => upload(arena, each));
  const before = gpu.counts().reads;
  const got = await readTensors(tensors);
  assert.equal(gpu.counts().reads - before, 1);
  got.forEach((values, i) => assert.deepEqual([...values], [...refs[i]!.data]));
  assert.deepEqual(await readTensors([]), []);
});

gpuTest("Tensor.width and Tensor.rows divide the shape at the last dimension", ({ arena }) => {
  const sizes = [[2, 3, 5], [7], [], [3, 0]].map((shape) => {
    const { width, rows, size } = arena.tensor(shape, "x");
    return [width, rows, size];
  });
  assert.deepEqual(sizes, [[5, 6, 30], [7, 1, 7], [1, 1, 1], [0, 0, 0]]);
});

gpuTest(
  "Tensor.view() shares memory, and keeps it for as long as one of them lives",
  ({ gpu, arena }) => {
    const before = gpu.memory().live;
    const x = arena.tensor([4, 3], "x");
    const y = x.view({ shape: [12], label: "y" });
    assert.equal(y.block, x.block);
    assert.equal(y.label, "y");
    arena.free(x);
    assert.equal(gpu.memory().live - before, x.block.bytes);
    arena.free(x); // a second time does nothing
    assert.equal(gpu.memory().live - before, x.block.bytes);
    y[Symbol.dispose]();
    assert.equal(gpu.memory().live, before);
  },
);

gpuTest("Arena.upload() refuses values that do not fill the shape", ({ arena }) => {
  assert.throws(() => arena.upload(new Float32Array(5), [2, 3], "w"), {
    name: "ShapeError",
    message: 'Cannot upload "w" as [2,3] needs 6 values: got 5',
  });
});

gpuTest(
  "Arena.tidy() frees what was made inside, but not what it returns or what is retained",
  async ({ gpu, context }) => {
    const { arena } = context;
    const x = upload(arena, randomRef([4], 1));
    const before = gpu.memory().live;
    let kept;
    const y = arena.tidy(() => {
      const inner = arena.tidy(() => scale(context, scale(context, x, 2), 2));
      kept = scale(context, inner, 3);
      arena.retain(kept);
      scale(context, inner, 4);
      return scale(context, inner, 0.5).view({ shape: [2, 2] });
    });
    assert.equal(gpu.memory().live - before, 2 * x.block.bytes);
    const [gotY, gotKept, gotX] = await readRefs([y, kept!, x]);
    gotX!.data.forEach((value, i) => {
      assert.equal(gotY!.data[i], 2 * value);
      assert.equal(gotKept!.data[i], Math.fround(12 * value));
    });
    arena.free(kept!); // retained: nothing happens
    assert.equal(gpu.memory().live - before, 2 * x.block.bytes);
  },
);

gpuTest("Arena.tidy() keeps several results, and none if the work throws", ({ gpu, context }) => {
  const { arena } = context;
  const x = upload(arena, randomRef([4], 1));
  const before = gpu.memory().live;
  const results = arena.tidy(() => [scale(context, x, 1), undefined, scale(context, x, 2)]);
  assert.equal(gpu.memory().live - before, 2 * x.block.bytes);
  for (const result of results) if (result) arena.free(result);
  assert.equal(gpu.memory().live, before);
  assert.throws(
    () =>
      arena.tidy(() => {
        scale(context, x, 1);
        throw new Error("stop");
      }),
    /stop/,
  );
  assert.equal(gpu.memory().live, before, "what the failed work made is still there");
});

gpuTest("Arena gives everything back when it is disposed of, retained or not", ({ gpu }) => {
  const before = gpu.memory().live;
  const arena = new Arena(gpu);
  const x = arena.tensor([1000], "x");
  arena.retain(x.view());
  arena.tensor([10, 10], "y");
  arena[Symbol.dispose]();
  assert.equal(gpu.memory().live, before);
  arena.free(x);
  arena[Symbol.dispose]();
  assert.equal(gpu.memory().live, before);
});
