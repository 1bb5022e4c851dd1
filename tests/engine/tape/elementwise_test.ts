import assert from "node:assert/strict";

import { add, mul, relu, sub } from "../../../engine/tape/ops/elementwise.ts";
import { map } from "../../../engine/tape/ops/map.ts";
import { ref } from "../../reference/mod.ts";
import { assertClose } from "../../support/assert_close.ts";
import { gpuTest, readRefs, recording, upload } from "../../support/gpu.ts";
import { caseOf, checkOp } from "../../support/gpu_ops.ts";
import { randomRef } from "../../support/random.ts";

// One element, a workgroup of 64 and one off, more than all threads of a CPU's grid (1024).
const shapes = [[1, 63], [64, 1], [5, 13], [1, 257], [31, 37], [3, 1000], [1, 5003]] as const;

for (const op of ["add", "sub", "mul"] as const) {
  gpuTest(`${op}() matches the reference, as do its derivatives`, ({ context, t }) => {
    const more = shapes.map((s) =>
      caseOf(op, [randomRef(s, 1), randomRef(s, 2)], { attrs: {} as never })
    );
    return checkOp(context, op, { t, more });
  });
}

for (const op of ["gelu", "relu", "identity"] as const) {
  gpuTest(`${op}() matches the reference, as do its derivatives`, ({ context, t }) => {
    const more = shapes.map((s) => caseOf(op, [randomRef(s, 3, { scale: 3 })], { attrs: {} }));
    return checkOp(context, op, { t, more });
  });
}

gpuTest("scale() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = shapes.map((s) => caseOf("scale", [randomRef(s, 4)], { attrs: { alpha: 0.125 } }));
  return checkOp(context, "scale", { t, more });
});

gpuTest("mul() by one value a column matches the reference, as do its derivatives", ({
  context,
  t,
}) => {
  const more = shapes.map(([N, F]) =>
    caseOf("scale_columns", [randomRef([N, F], 5), randomRef([F], 6)], { attrs: {} })
  );
  return checkOp(context, "scale_columns", { t, more });
});

gpuTest("mul() by one value a row matches the reference, as do its derivatives", ({
  context,
  t,
}) => {
  const more = shapes.map(([N, F]) =>
    caseOf("scale_rows", [randomRef([N, F], 7), randomRef([N, 1], 8)], { attrs: {} })
  );
  return checkOp(context, "scale_rows", { t, more });
});

gpuTest(
  "add(), sub() and mul() spread b over columns, rows or everything, with gradients and tangents",
  async ({ context, t }) => {
    const a = randomRef([3, 5], 9);
    const seed = randomRef([3, 5], 10);
    const spreads = {
      perColumn: { size: 5, at: (i: number) => i % 5 },
      perRow: { size: 3, at: (i: number) => Math.floor(i / 5) },
      single: { size: 1, at: () => 0 },
    };
    const ops = {
      add: { op: add, value: (x: number, y: number) => x + y, slope: () => 1 },
      sub: { op: sub, value: (x: number, y: number) => x - y, slope: () => -1 },
      mul: { op: mul, value: (x: number, y: number) => x * y, slope: (x: number) => x },
    };
    for (const [name, { op, value, slope }] of Object.entries(ops)) {
      for (const broadcast of ["perColumn", "perRow", "single"] as const) {
        await t.step(`${name} ${broadcast}`, async () => {
          const { size, at } = spreads[broadcast];
          const b = randomRef([size], 11);
          const tb = randomRef([size], 12);
          const xs = [upload(context.arena, a), upload(context.arena, b)] as const;
          const cx = recording(context, xs);
          const y = op(cx, ...xs, { broadcast });
          const db = cx.tape.backward(cx, {
            seeds: [[y, upload(cx.arena, seed)]],
            wanted: new Set(xs),
          }).get(xs[1])!;
          const ty = cx.tape.forwardMode(cx, {
            tangents: [[xs[1], upload(cx.arena, tb)]],
            output: y,
          })!;
          const [gotY, gotDb, gotTy] = await readRefs([y, db, ty]);
          const wantDb = new Float64Array(size);
          a.data.forEach((x, i) => wantDb[at(i)]! += seed.data[i]! * slope(x));
          assertClose(gotY!.data, a.data.map((x, i) => value(x, b.data[at(i)]!)));
          assert.deepEqual(db.shape, xs[1].shape);
          assertClose(gotDb!.data, wantDb);
          assertClose(gotTy!.data, a.data.map((x, i) => tb.data[at(i)]! * slope(x)));
        });
      }
    }
  },
);

gpuTest("relu() keeps a NaN and makes a negative zero or infinity 0", async ({ context }) => {
  const x = ref([1, 5], [NaN, -0, -Infinity, Infinity, -1]);
  const [y] = await readRefs([relu(context, upload(context.arena, x))]);
  assert.deepEqual([...y!.data], [NaN, 0, 0, Infinity, 0]);
});

gpuTest("map() divides, and gives 0 where the divisor is 0", async ({ context }) => {
  const a = upload(context.arena, ref([4], [1, 0, -3, 5]));
  const b = upload(context.arena, ref([4], [2, 0, 0, -2]));
  const [y, absolute, nonzero] = await readRefs([
    map(context, "div", { a, b }),
    map(context, "abs", { a }),
    map(context, "nonzero", { a }),
  ]);
  assert.deepEqual([...y!.data], [0.5, 0, 0, -2.5]);
  assert.deepEqual([...absolute!.data], [1, 0, 3, 5]);
  assert.deepEqual([...nonzero!.data], [1, 0, 1, 1]);
});
gpuTest("add() refuses operands of different shapes, naming both", ({ context }) => {
  const a = upload(context.arena, randomRef([2, 3], 1), "left");
  const b = upload(context.arena, randomRef([3, 2], 1), "right");
  assert.throws(() => add(context, a, b), {
    name: "ShapeError",
    message: 'Cannot run add() as b must be [2, 3]: "right" is [3, 2]',
  });
  assert.throws(() => mul(context, a, b, { broadcast: "perRow" }), /b must be \[2\]: "right"/);
});
