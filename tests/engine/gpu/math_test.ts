import assert from "node:assert/strict";

import type { Gpu } from "../../../engine/gpu/gpu.ts";
import { kernelFamily, variant } from "../../../engine/gpu/kernel.ts";
import type { Arena } from "../../../engine/tape/tensor.ts";
import math from "../../../shaders/lib/math.wgsl" with { type: "text" };
import { reference } from "../../reference/mod.ts";
import { gpuTest } from "../../support/gpu.ts";

const functions = ["exp_f32", "log_f32", "gelu", "gelu_slope"] as const;

const kernel = kernelFamily({
  name: "math",
  wgsl: [
    math,
    `override F: u32 = 0u;
struct Params { n: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn math(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.n; i += groups.x * 64u) {
    switch F {
${functions.map((f, i) => `      case ${i}u: { out[i] = ${f}(x[i]); }`).join("\n")}
      default: {}
    }
  }
}`,
  ],
  bindings: { x: "read", out: "readWrite" },
  uniforms: { n: "u32" },
})("math", ["x", "out"]);

async function evaluate(
  { gpu, arena }: { gpu: Gpu; arena: Arena },
  f: (typeof functions)[number],
  xs: Float32Array<ArrayBuffer>,
): Promise<Float32Array> {
  const x = arena.upload(xs, [xs.length], "x");
  const out = arena.tensor([xs.length], "f(x)");
  gpu.dispatch(variant(kernel, { F: functions.indexOf(f) }), {
    bind: { x: x.block, out: out.block },
    uniforms: { n: xs.length },
    workgroups: [16],
  });
  return await out.read();
}

/** Evenly spaced float32 numbers. */
function evenly(low: number, high: number): Float32Array<ArrayBuffer> {
  const n = 20_001;
  return Float32Array.from({ length: n }, (_, i) => low + (high - low) * i / (n - 1));
}

/** Numbers whose logarithms are evenly spaced. */
function geometrically(low: number, high: number): Float32Array<ArrayBuffer> {
  return evenly(Math.log(low), Math.log(high)).map(Math.exp);
}

/** Distance in units in the last place of `want`, or of 1, as a float32. */
function ulps(got: number, { want, ofOne }: { want: number; ofOne: boolean }): number {
  const exponent = ofOne ? 0 : Math.max(Math.floor(Math.log2(Math.abs(want))), -126);
  return Math.abs(got - want) / 2 ** (exponent - 23);
}

const geluSlope = (x: number) =>
  reference.gelu.vjp([{ shape: [1], data: Float64Array.of(x) }], {}, {
    shape: [1],
    data: Float64Array.of(1),
  })[0].data[0]!;
const gelu = (x: number) =>
  reference.gelu.forward([{ shape: [1], data: Float64Array.of(x) }], {}).data[0]!;

const ranges: readonly {
  f: (typeof functions)[number];
  want: (x: number) => number;
  name: string;
  xs: Float32Array<ArrayBuffer>;
  /** In units in the last place, or if `ofOne` in those of 1. */
  most: number;
  ofOne?: boolean;
}[] = [
  { f: "exp_f32", want: Math.exp, name: "-87 to 88.7", xs: evenly(-87, 88.7), most: 1.5 },
  { f: "exp_f32", want: Math.exp, name: "-1 to 1", xs: evenly(-1, 1), most: 1.5 },
  { f: "log_f32", want: Math.log, name: "all", xs: geometrically(1.2e-38, 3.4e38), most: 3 },
  { f: "log_f32", want: Math.log, name: "1/2 to 2", xs: evenly(0.5, 2), most: 3 },
  { f: "gelu", want: gelu, name: "-1 to 10", xs: evenly(-1, 10), most: 3 },
  // The argument of the exponential is up to 25, and so are its roundings.
  { f: "gelu", want: gelu, name: "-6 to -1", xs: evenly(-6, -1), most: 100 },
  { f: "gelu_slope", want: geluSlope, name: "0 to 10", xs: evenly(0, 10), most: 3 },
  { f: "gelu_slope", want: geluSlope, name: "-10 to 0", xs: evenly(-10, 0), most: 1, ofOne: true },
];

gpuTest("math.wgsl is within a few units in the last place", async ({ gpu, arena, t }) => {
  for (const { f, want, name, xs, most, ofOne = false } of ranges) {
    await t.step(`${f} on ${name}`, async () => {
      const got = await evaluate({ gpu, arena }, f, xs);
      let worst = 0;
      let at = 0;
      xs.forEach((x, i) => {
        const error = ulps(got[i]!, { want: want(x), ofOne });
        if (!(error <= worst)) [worst, at] = [error, x];
      });
      assert.ok(worst <= most, `${worst} units at ${at}, more than ${most}`);
    });
  }
});

gpuTest(
  "math.wgsl gives limits where the result is too large, too small or not a number",
  async ({ gpu, arena, t }) => {
    const limits = {
      exp_f32: [[-Infinity, 0], [-200, 0], [88.8, Infinity], [Infinity, Infinity], [0, 1]],
      log_f32: [[1, 0], [Infinity, Infinity]],
      gelu: [[0, 0], [100, 100], [-100, 0], [1e10, 1e10], [-1e10, 0]],
      gelu_slope: [[0, 0.5], [100, 1], [-100, 0], [1e10, 1], [-1e10, 0]],
    } as const;
    for (const f of functions) {
      await t.step(f, async () => {
        const xs = Float32Array.from([...limits[f].map(([x]) => x), NaN]);
        const got = await evaluate({ gpu, arena }, f, xs);
        const want = [...limits[f].map(([, y]) => y), NaN];
        want.forEach((y, i) => {
          const close = Math.abs(got[i]! - y) < 1e-8;
          assert.ok(close || Object.is(got[i], y), `${f}(${xs[i]}) = ${got[i]}, want ${y}`);
        });
      });
    }
  },
);
