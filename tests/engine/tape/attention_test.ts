import assert from "node:assert/strict";

import { qkLogits, qkProbs } from "../../../engine/tape/ops/attention.ts";
import { pack } from "../../../engine/tape/packing.ts";
import { ref, reference } from "../../reference/mod.ts";
import { assertClose } from "../../support/assert_close.ts";
import { gpuTest, readRefs, upload } from "../../support/gpu.ts";
import { caseOf, checkOp } from "../../support/gpu_ops.ts";
import { randomRef } from "../../support/random.ts";
import { testAttention } from "./attention_kernels.ts";

const sizes = [
  { lengths: [1], H: 3, e: 64 },
  { lengths: [17, 1, 5], H: 2, e: 7 },
  { lengths: [5, 65], H: 1, e: 3 },
  { lengths: [131], H: 2, e: 2 },
  // Four positions at a time: see attention_tiles_test.ts for what else holds of those
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

// Channels that cannot be taken by fours, nor positions by tiles
testAttention(5);
