import assert from "node:assert/strict";

import { openGpu } from "../../../engine/gpu/gpu.ts";
import {
  maxRowTopK,
  type RowEnds,
  type RowEntries,
  rowTopK,
} from "../../../engine/tape/ops/row_top_k.ts";
import { Arena } from "../../../engine/tape/tensor.ts";
import { gpuTest, testGpu } from "../../support/gpu.ts";
import { createRandom } from "../../support/random.ts";

interface RowEntry {
  readonly index: number;
  readonly value: number;
}

function entriesOf({ values, indices }: RowEntries): RowEntry[] {
  return Array.from(values, (value, i) => ({ index: indices[i]!, value }));
}

/** The k first entries from one end, by sorting. */
function sorted(entries: readonly RowEntry[], sign: 1 | -1, k: number): RowEntry[] {
  const key = (value: number) => Number.isNaN(value) ? Infinity : sign * value;
  return [...entries]
    .sort((a, b) => key(a.value) === key(b.value) ? a.index - b.index : key(b.value) - key(a.value))
    .slice(0, k);
}

function rowsOf(values: Float32Array, width: number): number[][] {
  return Array.from(
    { length: values.length / width },
    (_, r) => [...values.subarray(r * width, (r + 1) * width)],
  );
}

async function check(
  arena: Arena,
  values: Float32Array<ArrayBuffer>,
  { rows, width, largest, smallest }: {
    rows: number;
    width: number;
    largest: number;
    smallest: number;
  },
) {
  const cx = { gpu: arena.gpu, arena };
  const x = arena.upload(values, [rows, width], "rows");
  const { candidates, ends } = rowTopK(cx, [{ x, rows, width }], { largest, smallest });
  const [got] = ends(await candidates.read());
  const firstOf = (row: RowEnds) => ({
    largest: sorted(entriesOf(row.largest), 1, largest),
    smallest: sorted(entriesOf(row.smallest), -1, smallest),
  });
  const want = rowsOf(values, width).map((row) => {
    const all = row.map((value, index) => ({ index, value }));
    return { largest: sorted(all, 1, largest), smallest: sorted(all, -1, smallest) };
  });
  assert.deepEqual(got!.map(firstOf), want);
}

gpuTest("rowTopK() finds what sorting finds, for all sizes", async ({ arena, t }) => {
  const random = createRandom(1);
  const cases = [[1, 1, 3], [3, 5, 2], [7, 63, 1], [2, 4097, 8], [1, 20011, 9], [2, 9000, 128]];
  for (const [rows = 1, width = 1, k = 1] of cases) {
    await t.step(`rows=${rows} width=${width} k=${k}`, () => {
      const values = Float32Array.from({ length: rows * width }, () => random.normal());
      return check(arena, values, { rows, width, largest: k, smallest: k });
    });
  }
});

gpuTest("rowTopK() keeps the lower index of equals, -0 and 0 among them", ({ arena }) => {
  const random = createRandom(2);
  const four = [-0, 0, 1, -1];
  const values = Float32Array.from({ length: 2 * 9001 }, () => four[random.integer(4)]!);
  return check(arena, values, { rows: 2, width: 9001, largest: 40, smallest: 17 });
});

gpuTest("rowTopK() puts infinities at the ends, and NaN at both", async ({ arena }) => {
  const row = [3, NaN, -Infinity, 0, Infinity, -2, NaN, Infinity, 1e-40, -1e-40];
  const values = Float32Array.from(row);
  await check(arena, values, { rows: 1, width: 10, largest: 8, smallest: 0 });
  await check(arena, values, { rows: 1, width: 10, largest: 0, smallest: 12 });
});

gpuTest("rowTopK() is right for rows that ascend or descend all the way", async ({ arena }) => {
  const up = Float32Array.from({ length: 9000 }, (_, i) => i);
  await check(arena, up, { rows: 1, width: 9000, largest: 30, smallest: 30 });
  await check(arena, up.toReversed(), { rows: 1, width: 9000, largest: 30, smallest: 30 });
});

gpuTest(
  "rowTopK() selects from several ranges at once, from where they start",
  async ({ context }) => {
    const x = context.arena.upload(Float32Array.from([9, 1, 5, 2, 8, 3]), [6], "x");
    const y = context.arena.upload(Float32Array.from([4, 7]), [2], "y");
    const { candidates, ends } = rowTopK(context, [
      { x, start: 1, rows: 2, width: 2 },
      { x: y, rows: 1, width: 2 },
      { x, rows: 0, width: 0 },
    ], { largest: 1, smallest: 1 });
    const found = ends(await candidates.read()).map((rows) =>
      rows.map(({ largest, smallest }) => [
        ...sorted(entriesOf(largest), 1, 1),
        ...sorted(entriesOf(smallest), -1, 1),
      ])
    );
    assert.deepEqual(found, [
      [
        [{ index: 1, value: 5 }, { index: 0, value: 1 }],
        [{ index: 1, value: 8 }, { index: 0, value: 2 }],
      ],
      [[{ index: 1, value: 7 }, { index: 0, value: 4 }]],
      [],
    ]);
  },
);

Deno.test("rowTopK() cuts tensors larger than a binding", async (t) => {
  if (await testGpu() === undefined) return;
  using gpu = await openGpu({ maxBindingBytes: 4096 });
  using arena = new Arena(gpu);
  const random = createRandom(3);
  for (const [rows, width] of [[1, 5000], [9, 300], [2, 1500]] as const) {
    await t.step(`rows=${rows} width=${width}`, () => {
      const values = Float32Array.from({ length: rows * width }, () => random.integer(50));
      return check(arena, values, { rows, width, largest: 5, smallest: 5 });
    });
  }
});

gpuTest("rowTopK() refuses more than it has room for", ({ context }) => {
  const x = context.arena.upload(Float32Array.of(1), [1], "x");
  assert.throws(
    () => rowTopK(context, [{ x, rows: 1, width: 1 }], { largest: maxRowTopK + 1, smallest: 0 }),
    { name: "RangeError", message: /129 entries.*at most 128/ },
  );
});
