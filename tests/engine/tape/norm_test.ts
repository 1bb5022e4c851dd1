import assert from "node:assert/strict";

import { normApply, normScale } from "../../../engine/tape/ops/norm.ts";
import { mapRef, type Ref, ref, reference } from "../../reference/mod.ts";
import { assertClose } from "../../support/assert_close.ts";
import { gpuTest, readRefs, recording, upload } from "../../support/gpu.ts";
import { caseOf, checkOp } from "../../support/gpu_ops.ts";
import { randomRef } from "../../support/random.ts";

// More rows than a CPU's grid has workgroups (64), widths around the lanes of a row.
const shapes = [[67, 3], [1, 63], [2, 127], [3, 129], [5, 257], [2, 1000], [1, 5003]] as const;

const positive = (shape: readonly number[], seed: number): Ref =>
  mapRef(randomRef(shape, seed), (value) => Math.fround(0.5 + Math.abs(value)));

gpuTest("normScale() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = shapes.map((s) =>
    caseOf("norm_scale", [randomRef(s, 1)], { attrs: { eps: Math.fround(1e-5) } })
  );
  return checkOp(context, "norm_scale", { t, more });
});

gpuTest("normApply() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = shapes.map(([N, d]) =>
    caseOf(
      "norm_apply",
      [randomRef([N, d], 2), positive([N, 1], 3), randomRef([d], 4), randomRef([d], 5)],
      { attrs: {} },
    )
  );
  return checkOp(context, "norm_apply", { t, more });
});

gpuTest(
  "normApply() of normScale() is layer norm where the mean is far larger than the spread",
  async ({ context }) => {
    // A residual stream of mean 100: one pass (E[x²] - E[x]²) would lose half the digits.
    const x = mapRef(randomRef([3, 257], 6), (value) => Math.fround(100 + value));
    const [gain, bias] = [randomRef([257], 7), randomRef([257], 8)];
    const seed = randomRef(x.shape, 9);
    const [gx, ggain, gbias] = [x, gain, bias].map((each) => upload(context.arena, each)) as [
      ReturnType<typeof upload>,
      ReturnType<typeof upload>,
      ReturnType<typeof upload>,
    ];
    const cx = recording(context, [gx]);
    const scale = normScale(cx, gx, 1e-5);
    const y = normApply(cx, gx, { scale, gain: ggain, bias: gbias });
    const dx = cx.tape.backward(cx, {
      seeds: [[y, upload(cx.arena, seed)]],
      wanted: new Set([gx]),
    }).get(gx)!;
    const [gotScale, gotY, gotDx] = await readRefs([scale, y, dx]);

    const s = reference.norm_scale.forward([x], { eps: 1e-5 });
    const wantY = reference.norm_apply.forward([x, s, gain, bias], {});
    const [direct, ds] = reference.norm_apply.vjp([x, s, gain, bias], {}, seed);
    const [through] = reference.norm_scale.vjp([x], { eps: 1e-5 }, ds);
    assertClose(gotScale!.data, s.data);
    assertClose(gotY!.data, wantY.data, { rel: 1e-4 }); // x is known to 4e-6 of a spread of 1
    assertClose(gotDx!.data, direct.data.map((g, i) => g + through.data[i]!), { rel: 1e-4 });
  },
);

gpuTest(
  "normScale() of a constant row is the square root of epsilon, its gradient 0",
  async ({ context }) => {
    const x = upload(context.arena, ref([1, 64], new Float32Array(64).fill(3)));
    const cx = recording(context, [x]);
    const s = normScale(cx, x, 1e-5);
    const dx = cx.tape.backward(cx, {
      seeds: [[s, upload(cx.arena, ref([1, 1], [1]))]],
      wanted: new Set([x]),
    }).get(x)!;
    const [gotS, gotDx] = await readRefs([s, dx]);
    assertClose(gotS!.data, [Math.sqrt(1e-5)]);
    assert.deepEqual(new Set(gotDx!.data), new Set([0]));
  },
);

gpuTest(
  "normApply() gives the gradient of x, or of the scale, where the other is a constant",
  async ({ context }) => {
    const shape = [3, 5];
    const inputs = [randomRef(shape, 1), positive([3, 1], 2), randomRef([5], 3), randomRef([5], 4)];
    const dy = randomRef(shape, 5);
    const [x, scale, gain, bias] = inputs.map((each) => upload(context.arena, each)) as [
      ReturnType<typeof upload>,
      ReturnType<typeof upload>,
      ReturnType<typeof upload>,
      ReturnType<typeof upload>,
    ];
    const gradientOf = (only: typeof x) => {
      const cx = recording(context, [only]);
      const y = normApply(cx, x, { scale, gain, bias });
      const seeds = [[y, upload(cx.arena, dy)]] as const;
      return cx.tape.backward(cx, { seeds, wanted: new Set([only]) }).get(only)!;
    };
    const [dx, ds] = await readRefs([gradientOf(x), gradientOf(scale)]);
    const [wantDx, wantDs] = reference.norm_apply.vjp(inputs as never, {}, dy);
    assertClose(dx!.data, wantDx.data);
    assertClose(ds!.data, wantDs.data);
  },
);
