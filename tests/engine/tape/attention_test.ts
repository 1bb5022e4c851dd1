import assert from "node:assert/strict";

import { qkLogits, qkProbs, weightedSum } from "../../../engine/tape/ops/attention.ts";
import { pack } from "../../../engine/tape/packing.ts";
import { type Ref, ref, reference } from "../../reference/mod.ts";
import { assertClose } from "../../support/assert_close.ts";
import { gpuTest, readBits, readRefs, recording, upload } from "../../support/gpu.ts";
import { caseOf, checkOp } from "../../support/gpu_ops.ts";
import { randomRef } from "../../support/random.ts";

const sizes = [
  { lengths: [1], H: 3, e: 64 },
  { lengths: [17, 1, 5], H: 2, e: 7 },
  { lengths: [5, 65], H: 1, e: 3 },
  { lengths: [131], H: 2, e: 2 },
  // Widths for which four positions at a time are summed
  { lengths: [17, 1, 6], H: 3, e: 16 },
  { lengths: [9, 66], H: 2, e: 32 },
  { lengths: [7, 4], H: 2, e: 12 },
] as const;

const sum = (lengths: readonly number[]) => lengths.reduce((total, T) => total + T, 0);
const pairCount = (lengths: readonly number[]) => sum(lengths.map((T) => T * T));

gpuTest("qkLogits() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = sizes.flatMap(({ lengths, H, e }) =>
    [true, false].map((causal) => {
      const shape = [sum(lengths), H, e];
      return caseOf("qk_logits", [randomRef(shape, 1), randomRef(shape, 2)], {
        attrs: { lengths, causal },
        label: `T=${lengths} H=${H} e=${e}${causal ? " causal" : ""}`,
      });
    })
  );
  return checkOp(context, "qk_logits", { t, more });
});

gpuTest("qkProbs() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = sizes.map(({ lengths, H }) =>
    caseOf("softmax_keys", [randomRef([pairCount(lengths), H], 3, { scale: 5 })], {
      attrs: { lengths },
      label: `T=${lengths} H=${H}`,
    })
  );
  return checkOp(context, "softmax_keys", { t, more });
});

gpuTest("weightedSum() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = sizes.map(({ lengths, H, e }) =>
    caseOf("weighted_sum", [
      randomRef([pairCount(lengths), H], 4),
      randomRef([sum(lengths), H, e], 5),
    ], { attrs: { lengths }, label: `T=${lengths} H=${H} e=${e}` })
  );
  return checkOp(context, "weighted_sum", { t, more });
});

gpuTest(
  "qkProbs() of causal pairs is the softmax over all keys of masked scores, whatever lies behind the query",
  async ({ context }) => {
    const lengths = [5, 1, 4];
    const [q, k] = [randomRef([10, 2, 3], 9), randomRef([10, 2, 3], 10)];
    const packing = pack(context.arena, lengths);
    const [gq, gk] = [upload(context.arena, q), upload(context.arena, k)];
    const masked = qkLogits(context, { q: gq, k: gk }, { packing, causal: true });
    const unmasked = qkLogits(context, { q: gq, k: gk }, { packing, causal: false });
    const [logits, ...probs] = await readRefs([
      masked,
      qkProbs(context, masked, { packing, causal: false }),
      qkProbs(context, masked, { packing, causal: true }),
      qkProbs(context, unmasked, { packing, causal: true }),
    ]);
    const want = reference.softmax_keys.forward([logits!], { lengths });
    for (const got of probs) assertClose(got.data, want.data, { op: "softmax_keys" });
    assert.ok(logits!.data.includes(-Infinity));
  },
);

gpuTest("qkProbs() neither overflows nor divides by 0 for scores of 1e4", async ({ context }) => {
  const x = ref([4, 1], [1e4, -1e4, -1e4, -1e4]);
  const packing = pack(context.arena, [2]);
  const [p] = await readRefs([
    qkProbs(context, upload(context.arena, x), { packing, causal: false }),
  ]);
  assert.deepEqual([...p!.data], [1, 0, 0.5, 0.5]);
});

gpuTest(
  "weightedSum() of causal pairs leaves out the keys after the query",
  async ({ context }) => {
    const lengths = [3, 2];
    const probs = randomRef([13, 2], 11);
    const v = randomRef([5, 2, 3], 12);
    const below: Ref = ref(probs.shape, probs.data);
    let pair = 0;
    for (const T of lengths) {
      for (let q = 0; q < T; q++) {
        for (let k = 0; k < T; k++, pair++) if (k > q) below.data.fill(0, 2 * pair, 2 * pair + 2);
      }
    }
    const pairs = { packing: pack(context.arena, lengths), causal: true };
    const [gProbs, gv] = [upload(context.arena, probs), upload(context.arena, v)];
    const cx = recording(context, [gv]);
    const y = weightedSum(cx, { probs: gProbs, v: gv }, pairs);
    const dy = randomRef([5, 2, 3], 13);
    const dv = cx.tape.backward(cx, {
      seeds: [[y, upload(cx.arena, dy)]],
      wanted: new Set([gv]),
    }).get(gv)!;
    const [gotY, gotDv] = await readRefs([y, dv]);
    const want = reference.weighted_sum;
    assertClose(gotY!.data, want.forward([below, v], { lengths }).data);
    assertClose(gotDv!.data, want.vjp([below, v], { lengths }, dy)[1].data);
  },
);

gpuTest(
  "attention of a packed batch is that of each sequence by itself, to the last bit",
  async ({ context }) => {
    const lengths = [17, 1, 5];
    const [H, e] = [3, 5];
    const wholes = [14, 15, 16, 17].map((seed) => randomRef([sum(lengths), H, e], seed));
    const run = (part: readonly number[], start: number) => {
      const [q, k, v, seed] = wholes.map(({ data }) => {
        const rows = data.slice(start * H * e, (start + sum(part)) * H * e);
        return upload(context.arena, ref([sum(part), H, e], rows));
      });
      const pairs = { packing: pack(context.arena, part), causal: true };
      const cx = recording(context, [q!, k!, v!]);
      const logits = qkLogits(cx, { q: q!, k: k! }, pairs);
      const probs = qkProbs(cx, logits, pairs);
      const y = weightedSum(cx, { probs, v: v! }, pairs);
      const inputs = [q!, k!, v!];
      const gradients = cx.tape.backward(cx, { seeds: [[y, seed!]], wanted: new Set(inputs) });
      return [logits, probs, y, ...inputs.map((x) => gradients.get(x)!)];
    };
    const starts = [0, 17, 18];
    const all = [run(lengths, 0), ...lengths.map((T, s) => run([T], starts[s]!))];
    const bits = await readBits(all.flat());
    for (let i = 0; i < 6; i++) {
      const separate = lengths.flatMap((_, s) => [...bits[6 * (s + 1) + i]!]);
      assert.deepEqual(new Uint32Array(separate), bits[i], all[0]![i]!.label);
    }
  },
);
