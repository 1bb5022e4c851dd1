import assert from "node:assert/strict";

import { openGpu } from "../../../engine/gpu/gpu.ts";
import { add, gelu } from "../../../engine/tape/ops/elementwise.ts";
import { linear } from "../../../engine/tape/ops/linear.ts";
import { Arena, type Tensor } from "../../../engine/tape/tensor.ts";
import { reference } from "../../reference/mod.ts";
import { assertClose } from "../../support/assert_close.ts";
import { gpuTest, readBits, readRefs, recording, upload } from "../../support/gpu.ts";
import { caseOf, checkOp } from "../../support/gpu_ops.ts";
import { randomRef } from "../../support/random.ts";

// Rows, inputs, outputs: 1, primes, one off a tile, more than one tile.
const sizes = [
  [1, 257, 63],
  [64, 1, 65],
  [65, 63, 1],
  [17, 65, 255],
  [129, 31, 67],
  [1, 5003, 3],
  [3, 5, 1000],
] as const;

gpuTest("linear() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = sizes.flatMap(([N, K, M]) => {
    const label = `N=${N} K=${K} M=${M}`;
    const columns = { start: M >> 2, count: (M >> 1) + 1 };
    const [x, bias] = [randomRef([N, K], 1), randomRef([M], 3)];
    return [
      caseOf("linear", [x, randomRef([K, M], 2), bias], { attrs: {}, label }),
      caseOf("linear", [x, randomRef([M, K], 2)], {
        attrs: { transposed: true },
        label: `${label} transposed`,
      }),
      caseOf("linear", [x, randomRef([K, M], 2), bias], {
        attrs: { columns, alpha: -2 },
        label: `${label} columns ${columns.start} to ${columns.start + columns.count - 1}`,
      }),
      caseOf("linear", [x, randomRef([M, K], 2), bias], {
        attrs: { columns, transposed: true },
        label: `${label} transposed columns ${columns.start} to ${
          columns.start + columns.count - 1
        }`,
      }),
    ];
  });
  return checkOp(context, "linear", { t, more });
});

gpuTest(
  "linear() gives a result of the shape asked for, and its gradient x's shape",
  async ({ context }) => {
    const x = upload(context.arena, randomRef([5, 2, 3], 1));
    const w = upload(context.arena, randomRef([6, 8], 2));
    const cx = recording(context, [x]);
    const y = linear(cx, x, { w, shape: [5, 4, 2] });
    assert.deepEqual(y.shape, [5, 4, 2]);
    const dy = upload(context.arena, randomRef([5, 4, 2], 3));
    const dx = cx.tape.backward(cx, { seeds: [[y, dy]], wanted: new Set([x]) }).get(x)!;
    assert.deepEqual(dx.shape, [5, 2, 3]);
    await readRefs([y, dx]);
  },
);

gpuTest(
  "linear() refuses a weight whose inner dimension does not fit, naming both",
  ({ context }) => {
    const x = upload(context.arena, randomRef([4, 7], 1), "resid");
    const w = upload(context.arena, randomRef([5, 3], 2), "weight");
    assert.throws(() => linear(context, x, { w }), {
      name: "ShapeError",
      message: 'Cannot multiply "resid" by "weight" as inner dimensions must be equal: current ' +
        "shapes are [4,7] and [5,3]",
    });
  },
);

gpuTest(
  "linear() of a row gives the same bits whatever rows are beside it",
  async ({ context, t }) => {
    for (const [N, K, M] of [[70, 65, 67], [5, 129, 300]] as const) {
      for (const transposed of [false, true]) {
        await t.step(`N=${N} K=${K} M=${M}${transposed ? " transposed" : ""}`, async () => {
          const x = randomRef([N, K], 4);
          const w = upload(context.arena, randomRef(transposed ? [M, K] : [K, M], 5));
          const bias = upload(context.arena, randomRef([M], 6));
          const whole = linear(context, upload(context.arena, x), { w, bias, transposed });
          const rows = [0, 1, N >> 1, N - 1];
          const alone = rows.map((n) =>
            linear(
              context,
              upload(context.arena, { shape: [1, K], data: x.data.slice(n * K, (n + 1) * K) }),
              { w, bias, transposed },
            )
          );
          const [all, ...each] = await readBits([whole, ...alone]);
          rows.forEach((n, i) => assert.deepEqual(each[i], all!.slice(n * M, (n + 1) * M), `${n}`));
        });
      }
    }
  },
);

gpuTest(
  "add() and gelu() of an affine map give the bits, gradients and tangents of two ops",
  async ({ context }) => {
    const [x, w, bias, addend, dy, t] = [[5, 13], [13, 8], [8], [5, 8], [5, 8], [5, 8]].map((
      shape,
      i,
    ) => upload(context.arena, randomRef(shape, 1 + i)));
    const affine = { x: x!, w: w!, bias: bias! };
    const inputs = [x!, w!, bias!, addend!];
    const resultsOf = (work: (cx: typeof context) => Tensor) => {
      const cx = recording(context, inputs);
      const y = work(cx);
      const gradients = cx.tape.backward(cx, { seeds: [[y, dy!]], wanted: new Set(inputs) });
      const tangent = cx.tape.forwardMode(cx, { tangents: [[addend!, t!]], output: y });
      const untaped = work(context);
      return [y, untaped, ...inputs.flatMap((input) => gradients.get(input) ?? []), tangent ?? y];
    };
    for (
      const [one, two] of [
        [
          (cx: typeof context) => add(cx, addend!, affine),
          (cx: typeof context) => add(cx, addend!, linear(cx, affine.x, affine)),
        ],
        [
          (cx: typeof context) => gelu(cx, affine),
          (cx: typeof context) => gelu(cx, linear(cx, affine.x, affine)),
        ],
      ] as const
    ) {
      assert.deepEqual(await readBits(resultsOf(one)), await readBits(resultsOf(two)));
    }
  },
);

gpuTest("linear() refuses an addend of another shape, naming it", ({ context }) => {
  const x = upload(context.arena, randomRef([4, 5], 1));
  const w = upload(context.arena, randomRef([5, 3], 2));
  const addend = upload(context.arena, randomRef([3, 4], 3), "residual");
  assert.throws(() => linear(context, x, { w, addend }), {
    name: "ShapeError",
    message: 'Cannot run linear() as addend must be [4, 3]: "residual" is [3, 4]',
  });
});

gpuTest(
  "linear() gives the same values and gradients where the weight is larger than one binding",
  async ({ t }) => {
    using gpu = await openGpu({ maxBindingBytes: 4096 * 5 });
    for (const transposed of [false, true]) {
      await t.step(transposed ? "transposed" : "not transposed", async () => {
        using arena = new Arena(gpu);
        const [N, K, M] = transposed ? [3, 13, 1033] : [3, 1033, 13];
        const refs = [
          randomRef([N, K], 7),
          randomRef(transposed ? [M, K] : [K, M], 8),
          randomRef([M], 9),
        ] as const;
        const [x, w, bias] = refs.map((each) => upload(arena, each));
        const cx = recording({ gpu, arena }, [x!]);
        const y = linear(cx, x!, { w: w!, bias, transposed });
        const dy = randomRef([N, M], 10);
        const dx = cx.tape.backward(cx, {
          seeds: [[y, upload(arena, dy)]],
          wanted: new Set([x!]),
        }).get(x!)!;
        assert.ok(gpu.counts().dispatches > 2, "the weight was bound in one piece");
        const [gotY, gotDx] = await readRefs([y, dx]);
        const inputs = [...refs] as [typeof refs[0], typeof refs[1], typeof refs[2]];
        assertClose(gotY!.data, reference.linear.forward(inputs, { transposed }).data);
        assertClose(gotDx!.data, reference.linear.vjp(inputs, { transposed }, dy)[0].data);
      });
    }
  },
);
