import assert from "node:assert/strict";

import { crossEntropy, logSoftmax } from "../../../engine/tape/ops/softmax.ts";
import { type Ref, ref } from "../../reference/mod.ts";
import { gpuTest, readBits, readRefs, recording, upload } from "../../support/gpu.ts";
import { caseOf, checkOp } from "../../support/gpu_ops.ts";
import { createRandom, randomRef } from "../../support/random.ts";

const shapes = [[67, 3], [1, 63], [3, 129], [5, 257], [2, 1000], [1, 5003]] as const;
/** Logits as of a language model: a spread of 10. */
const logitsOf = (shape: readonly number[], seed: number): Ref =>
  randomRef(shape, seed, { scale: 10 });

gpuTest("logSoftmax() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = shapes.map((s) => caseOf("log_softmax", [logitsOf(s, 1)], { attrs: {} }));
  return checkOp(context, "log_softmax", { t, more });
});

gpuTest("crossEntropy() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = shapes.map(([N, V]) => {
    const random = createRandom(N + V);
    const targets = Array.from({ length: N }, () => random.integer(V));
    // Rows without weight do not count, as at the end of a sequence.
    const weights = Array.from({ length: N }, (_, n) => n % 3 === 1 ? 0 : Math.fround(1 / N));
    return caseOf("cross_entropy", [logitsOf([N, V], 2)], { attrs: { targets, weights } });
  });
  return checkOp(context, "cross_entropy", { t, more });
});

gpuTest("crossEntropy() does not look at rows without weight", async ({ context }) => {
  const { arena } = context;
  const logits = upload(arena, ref([2, 2], [0, 0, NaN, Infinity]));
  const targets = arena.upload(new Uint32Array([1, 0]), [2], "targets");
  const weights = arena.upload(new Float32Array([1, 0]), [2], "weights");
  const [loss] = await readRefs([crossEntropy(context, logits, { targets, weights })]);
  assert.ok(Math.abs(loss!.data[0]! - Math.LN2) < 1e-7, String(loss!.data[0]));
});

gpuTest("logSoftmax() of logits of 1e4 and of minus infinity is exact", async ({ context }) => {
  const x = upload(context.arena, ref([2, 3], [1e4, -1e4, -Infinity, 0, 0, -Infinity]));
  const [y] = await readRefs([logSoftmax(context, x)]);
  assert.deepEqual([...y!.data.subarray(0, 3)], [0, -2e4, -Infinity]);
  assert.equal(y!.data[5], -Infinity);
  assert.ok(Math.abs(y!.data[3]! + Math.LN2) < 1e-7);
});

gpuTest(
  "logSoftmax() of a row with a NaN is NaN throughout, and of the other rows is not",
  async ({ context }) => {
    const x = ref([3, 17], new Float32Array(51).fill(1));
    x.data[17 + 3] = NaN;
    const [y] = await readRefs([logSoftmax(context, upload(context.arena, x))]);
    const counts = [0, 17, 34].map((at) => [...y!.data.subarray(at, at + 17)].filter(Number.isNaN));
    assert.deepEqual(counts.map(({ length }) => length), [0, 17, 0]);
  },
);

gpuTest(
  "logSoftmax() of a packed batch is that of each sequence by itself, to the last bit",
  async ({ context }) => {
    const [lengths, V] = [[17, 1, 5], 131];
    const whole = logitsOf([23, V], 3);
    const seed = randomRef([23, V], 4);
    const run = (start: number, T: number) => {
      const part = ({ data }: Ref) =>
        upload(context.arena, ref([T, V], data.slice(start * V, (start + T) * V)));
      const x = part(whole);
      const cx = recording(context, [x]);
      const y = logSoftmax(cx, x);
      const gradients = cx.tape.backward(cx, { seeds: [[y, part(seed)]], wanted: new Set([x]) });
      return [y, gradients.get(x)!];
    };
    const starts = [0, 17, 18];
    const bits = await readBits([...run(0, 23), ...lengths.flatMap((T, s) => run(starts[s]!, T))]);
    for (const i of [0, 1]) {
      const separate = lengths.flatMap((_, s) => [...bits[2 * (s + 1) + i]!]);
      assert.deepEqual(new Uint32Array(separate), bits[i]);
    }
  },
);
