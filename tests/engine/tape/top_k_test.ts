import assert from "node:assert/strict";

import { topK } from "../../../engine/tape/ops/top_k.ts";
import { ref } from "../../reference/mod.ts";
import { gpuTest, readRefs, upload } from "../../support/gpu.ts";
import { caseOf, checkOp } from "../../support/gpu_ops.ts";
import { createRandom, randomRef } from "../../support/random.ts";

const shapes = [[67, 3], [1, 63], [3, 129], [5, 257], [2, 1000], [1, 5003]] as const;

gpuTest("topK() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = shapes.flatMap(([N, M]) =>
    [8, M - 1].map((k) =>
      caseOf("top_k", [randomRef([N, M], 1)], { attrs: { k }, label: `N=${N} M=${M} k=${k}` })
    )
  );
  return checkOp(context, "top_k", { t, more });
});

gpuTest("topK() keeps the lower index of equals", ({ context, t }) => {
  const random = createRandom(2);
  const more = [1, 5, 40, 128, 129, 500].map((k) => {
    // Four values only, so that the k-th largest always occurs many times.
    const x = ref([3, 129], Array.from({ length: 387 }, () => random.integer(4) - 1));
    return caseOf("top_k", [x], { attrs: { k }, label: `M=129 k=${k}` });
  });
  return checkOp(context, "top_k", { t, more });
});

gpuTest(
  "topK() keeps k of more positives, takes -0 for 0, and nothing where none is positive",
  async ({ context }) => {
    const x = upload(context.arena, ref([3, 4], [3, 1, 2, 5, -0, 0, -0, 4, -1, -2, -3, -4]));
    const [y] = await readRefs([topK(context, x, 2)]);
    assert.deepEqual([...y!.data].map((v) => v + 0), [3, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 0]);
  },
);
