import assert from "node:assert/strict";

import type { Gpu } from "../../../engine/gpu/gpu.ts";
import { qkLogits, qkProbs, weightedSum } from "../../../engine/tape/ops/attention.ts";
import { add, gelu, mul, scale, sub } from "../../../engine/tape/ops/elementwise.ts";
import { linear } from "../../../engine/tape/ops/linear.ts";
import { normApply, normScale } from "../../../engine/tape/ops/norm.ts";
import { rowDot } from "../../../engine/tape/ops/reduce.ts";
import { reshape } from "../../../engine/tape/ops/slice.ts";
import { type Context, detached } from "../../../engine/tape/op.ts";
import { pack } from "../../../engine/tape/packing.ts";
import { Arena, type Tensor } from "../../../engine/tape/tensor.ts";
import { ref } from "../../reference/mod.ts";
import { assertClose } from "../../support/assert_close.ts";
import { gpuTest, readBits, readRefs, recording, upload } from "../../support/gpu.ts";
import { randomRef } from "../../support/random.ts";

/** A transformer block of 5 + 1 positions, 3 heads of 4 channels: its input, output, gradient. */
function block({ gpu, arena }: Context): { x: Tensor; y: Tensor; dx: Tensor } {
  const d = 12;
  let seed = 1;
  const weight = (...shape: number[]) => upload(arena, randomRef(shape, seed++, { scale: 0.3 }));
  const x = weight(6, d);
  const cx = recording({ gpu, arena }, [x]);
  const pairs = { packing: pack(arena, [5, 1]), causal: true };
  const [gain, bias, wQkv, wO, wIn, wOut] = [
    weight(d),
    weight(d),
    weight(d, 3 * d),
    weight(d, d),
    weight(d, 40),
    weight(40, d),
  ];
  const h = normApply(cx, x, { scale: normScale(cx, x, 1e-5), gain, bias });
  const [q, k, v] = [0, 1, 2].map((i) =>
    linear(cx, h, { w: wQkv, columns: { start: i * d, count: d }, shape: [6, 3, 4] })
  );
  const probs = qkProbs(cx, qkLogits(cx, { q: q!, k: k! }, pairs), pairs);
  const attended = weightedSum(cx, { probs, v: v! }, pairs);
  const resid = add(cx, x, linear(cx, reshape(cx, attended, [6, d]), { w: wO }));
  const y = add(cx, resid, linear(cx, gelu(cx, linear(cx, resid, { w: wIn })), { w: wOut }));
  const dy = weight(6, d);
  const dx = cx.tape.backward(cx, { seeds: [[y, dy]], wanted: new Set([x]) }).get(x)!;
  return { x, y, dx };
}

async function blockBits(gpu: Gpu): Promise<Uint32Array[]> {
  using arena = new Arena(gpu);
  const { y, dx } = block({ gpu, arena });
  return await readBits([y, dx]);
}

gpuTest(
  "Tape.backward() adds up gradients where a tensor is used more than once",
  async ({ context }) => {
    const x = upload(context.arena, ref([3], [1, -2, 3]));
    const cx = recording(context, [x]);
    // y = x² + 3x - (x + x);  dy/dx = 2x + 1
    const y = sub(cx, add(cx, mul(cx, x, x), scale(cx, x, 3)), add(cx, x, x));
    const seed = upload(cx.arena, ref([3], [1, 1, 0.5]));
    const dx = cx.tape.backward(cx, { seeds: [[y, seed]], wanted: new Set([x]) }).get(x)!;
    const [got, gotSeed] = await readRefs([dx, seed]);
    assert.deepEqual([...got!.data], [3, -3, 3.5]);
    assert.deepEqual([...gotSeed!.data], [1, 1, 0.5], "the seed was overwritten");
  },
);

gpuTest(
  "Tape.backward() starts from several seeds, one of them on the way to the other",
  async ({ context }) => {
    const x = upload(context.arena, ref([2], [1, 2]));
    const cx = recording(context, [x]);
    const a = scale(cx, x, 2);
    const b = mul(cx, a, a);
    const [da, db] = [[10, 20], [1, 1]].map((s) => upload(cx.arena, ref([2], s)));
    const gradients = cx.tape.backward(cx, {
      seeds: [[b, db!], [a, da!]],
      wanted: new Set([x, a, b]),
    });
    const [gx, ga, gb] = await readRefs([x, a, b].map((tensor) => gradients.get(tensor)!));
    assert.deepEqual([...ga!.data], [14, 28]); // 10 + 2a, 20 + 2a
    assert.deepEqual([...gx!.data], [28, 56]);
    assert.deepEqual([...gb!.data], [1, 1]);
  },
);

gpuTest("Tape.record() leaves out what does not depend on a watched tensor", ({ context }) => {
  const [a, b] = [1, 2].map((seed) => upload(context.arena, randomRef([2, 2], seed)));
  const cx = recording(context);
  const below = gelu(cx, add(cx, a!, b!));
  assert.equal(cx.tape.length, 0);
  cx.tape.watch(below);
  const above = scale(cx, below, 2);
  mul(cx, above, a!);
  scale(cx, a!, 3);
  scale(detached(cx), above, 3);
  assert.equal(cx.tape.length, 2);
  assert.deepEqual([a, below, above].map((tensor) => cx.tape.tracks(tensor)), [false, true, true]);
});

gpuTest(
  "Tape.backward() does no work below the lowest watched tensor, nor above the seed",
  ({ gpu, context }) => {
    const x = upload(context.arena, randomRef([2, 2], 1));
    const cx = recording(context);
    const low = gelu(cx, x);
    cx.tape.watch(low);
    const middle = gelu(cx, low);
    gelu(cx, gelu(cx, middle));
    const before = gpu.counts().dispatches;
    const gradients = cx.tape.backward(cx, {
      seeds: [[middle, upload(cx.arena, randomRef([2, 2], 2))]],
      wanted: new Set([low, x]),
    });
    assert.equal(gpu.counts().dispatches - before, 1);
    assert.deepEqual([...gradients.keys()], [low]);
  },
);

gpuTest("Tape.backward() gives no gradient of what the seed does not depend on", ({ context }) => {
  const [a, b] = [1, 2].map((seed) => upload(context.arena, randomRef([3], seed)));
  const cx = recording(context, [a!, b!]);
  const y = scale(cx, a!, 2);
  scale(cx, b!, 2);
  const seed = upload(cx.arena, randomRef([3], 3));
  const gradients = cx.tape.backward(cx, { seeds: [[y, seed]], wanted: new Set([a!, b!]) });
  assert.deepEqual([...gradients.keys()], [a]);
});

gpuTest(
  "Tape.backward() twice gives the same bits, and so do two runs",
  async ({ gpu, context }) => {
    const x = upload(context.arena, randomRef([5, 33], 1));
    const cx = recording(context, [x]);
    const w = upload(cx.arena, randomRef([33, 9], 2));
    const y = gelu(cx, linear(cx, add(cx, x, mul(cx, x, x)), { w }));
    const seed = upload(cx.arena, randomRef([5, 9], 3));
    const backward = () =>
      cx.tape.backward(cx, { seeds: [[y, seed]], wanted: new Set([x]) }).get(x)!;
    const [first, second] = await readBits([backward(), backward()]);
    assert.deepEqual(first, second);
    assert.deepEqual(await blockBits(gpu), await blockBits(gpu));
  },
);

gpuTest(
  "Tape.forwardMode() and Tape.backward() agree: <dy, J t> = <Jᵀ dy, t>",
  async ({ context }) => {
    const x = upload(context.arena, randomRef([4, 16], 1));
    const t = upload(context.arena, randomRef([4, 16], 2));
    const dy = upload(context.arena, randomRef([4, 16], 3));
    const cx = recording(context, [x]);
    const [gain, bias] = [4, 5].map((seed) => upload(cx.arena, randomRef([16], seed)));
    const normed = normApply(cx, x, { scale: normScale(cx, x, 1e-5), gain: gain!, bias: bias! });
    const y = add(cx, gelu(cx, normed), mul(cx, x, normed));
    const tangents = [[x, t]] as const;
    const ty = cx.tape.forwardMode(cx, { tangents, output: y })!;
    const dx = cx.tape.backward(cx, { seeds: [[y, dy]], wanted: new Set([x]) }).get(x)!;
    assert.equal(cx.tape.forwardMode(cx, { tangents, output: gain! }), undefined);
    const [left, right] = await readRefs([rowDot(context, dy, ty), rowDot(context, dx, t)]);
    const total = ({ data }: { data: Float64Array }) => data.reduce((sum, value) => sum + value, 0);
    assertClose([total(left!)], [total(right!)], { rel: 1e-5 });
  },
);

gpuTest(
  "Tape leaves no memory behind: a forward and backward pass in an arena gives all of it back",
  ({ gpu }) => {
    const before = gpu.memory().live;
    {
      using arena = new Arena(gpu);
      block({ gpu, arena });
      assert.ok(gpu.memory().live > before);
    }
    assert.equal(gpu.memory().live, before);
  },
);

gpuTest(
  "Tape.backward() gives the memory of gradients back once they have been used",
  ({ gpu, arena }) => {
    const x = upload(arena, randomRef([64, 64], 1));
    const cx = recording({ gpu, arena }, [x]);
    let y = x;
    for (let i = 0; i < 12; i++) y = gelu(cx, y);
    const seed = upload(arena, randomRef([64, 64], 2));
    const before = gpu.memory().live;
    const gradients = cx.tape.backward(cx, { seeds: [[y, seed]], wanted: new Set([x]) });
    assert.equal(gpu.memory().live - before, gradients.get(x)!.block.bytes);
    const forgotten = cx.tape.backward(cx, { seeds: [[y, seed]], wanted: new Set() });
    assert.equal(forgotten.size, 0);
    assert.equal(gpu.memory().live - before, gradients.get(x)!.block.bytes);
  },
);

gpuTest(
  "a thousand small runs end with as much memory as one, live and pooled",
  async ({ gpu }) => {
    const run = () => {
      using arena = new Arena(gpu);
      block({ gpu, arena });
    };
    run();
    await gpu.finish();
    const { live, pooled } = gpu.memory();
    for (let i = 0; i < 1000; i++) run();
    await gpu.finish();
    const after = gpu.memory();
    assert.deepEqual({ live: after.live, pooled: after.pooled }, { live, pooled });
  },
);

gpuTest(
  "Tape.backward() gives sums made in the kernels of the gradients the bits of later sums",
  async ({ context }) => {
    const upTo = (seed: number, ...shape: number[]) =>
      upload(context.arena, randomRef(shape, seed));
    const [x, gain, bias] = [upTo(1, 5, 12), upTo(2, 12), upTo(3, 12)];
    const [w, wide, turned] = [upTo(4, 12, 12), upTo(5, 12, 36), upTo(6, 12, 12)];
    const readers: ((cx: Context, x: Tensor) => Tensor)[] = [
      (cx, x) => scale(cx, x, 3),
      (cx, x) => linear(cx, x, { w, bias }),
      (cx, x) => linear(cx, x, { w: wide, columns: { start: 12, count: 12 }, alpha: 0.3 }),
      (cx, x) => linear(cx, x, { w: turned, transposed: true }),
    ];
    const gradientOf = (separate: boolean) => {
      const cx = recording(context, [x]);
      // A view's gradient is a tensor of its own, which the tape adds.
      const read = (x: Tensor) => separate ? reshape(cx, x, x.shape) : x;
      const ys = readers.map((reader) => reader(cx, read(x)));
      const s = normScale(cx, read(x), 1e-5);
      ys.push(normApply(cx, read(x), { scale: s, gain, bias }));
      const seeds = ys.map((y, i) => [y, upTo(7 + i, 5, 12)] as const);
      return cx.tape.backward(cx, { seeds, wanted: new Set([x]) }).get(x)!;
    };
    const before = context.gpu.counts().dispatches;
    const inKernels = gradientOf(false);
    const between = context.gpu.counts().dispatches;
    const afterwards = gradientOf(true);
    const after = context.gpu.counts().dispatches;
    assert.ok(between - before < after - between, "nothing was added in a kernel");
    const [got, want] = await readBits([inKernels, afterwards]);
    assert.deepEqual(got, want);
  },
);
