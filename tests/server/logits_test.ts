import assert from "node:assert/strict";

import { deriveScalars } from "../../derivers/derive.ts";
import { createGroups, topNodes, valuesAtNodes } from "../../derivers/groups.ts";
import { ScalarStore } from "../../derivers/scalar_store.ts";
import { sumAbsOf, sumOf } from "../../derivers/sums.ts";
import { areLogitsOnDemand, beforeLogits, withLogits } from "../../server/logits.ts";
import { parseRequest } from "../../server/parse.ts";
import { goldenModel } from "../derivers/golden_cases.ts";
import { assertClose } from "../support/assert_close.ts";
import { gpuTest } from "../support/gpu.ts";

const groups = createGroups([{ groupId: "logits", scalars: ["logits"] }]);

gpuTest("withLogits() gives the logits and sums that were not computed", async ({ gpu }) => {
  const model = await goldenModel(gpu, "odd");
  using run = await deriveScalars(model, {
    tokens: [3, 1, 4, 1, 5],
    dsts: ["logits"],
    saveActivations: [beforeLogits],
    ablationSpecs: [{
      index: { ...beforeLogits, tensorIndices: ["All", 1], layerIndex: null },
      value: 3,
    }],
  });
  const [sequence] = run.sequences;
  const computed = sequence!.scalars;
  const onDemand = withLogits({ ...sequence!, scalars: new ScalarStore() });
  for (const tokenIndex of [0, 3, -1]) {
    const nodes = await topNodes({ groups, scalars: onDemand }, { topAndBottomK: 3, tokenIndex });
    const want = await topNodes({ groups, scalars: computed }, { topAndBottomK: 3, tokenIndex });
    assert.deepEqual(nodes, want);
    const [got, values] = await Promise.all(
      [onDemand, computed].map((scalars) => valuesAtNodes({ groups, scalars }, nodes)),
    );
    assertClose(got!.logits!, values!.logits!);
  }
  for (const dimsToKeep of [[], ["sequence_tokens"]] as const) {
    const options = { dsts: ["logits"], dimsToKeep } as const;
    const [got, want] = [await sumOf(onDemand, options), await sumOf(computed, options)];
    assert.deepEqual([got.dims, got.shape], [want.dims, want.shape]);
    assertClose(got.values, want.values);
  }
  await assert.rejects(sumAbsOf(onDemand, { dsts: ["logits"] }), /rows' sums only/);
});

Deno.test("areLogitsOnDemand() only where one token's logits and sums are looked at", () => {
  const topK = {
    specType: "multiple_top_k_derived_scalars_request_spec",
    dstListByGroupId: { logits: ["logits"] },
    tokenIndex: -1,
    topAndBottomK: 5,
  };
  const ablation = {
    index: { activationLocationType: "logits", passType: "forward", tensorIndices: [0, 0] },
    value: 1,
  };
  const unit = {
    specType: "derived_scalars_request_spec",
    dst: "logits",
    layerIndex: null,
    activationIndex: 2,
  };
  const isOnDemand = (specs: object[], ablationSpecs: object[] = []) => {
    const { inferenceSubRequests: [subRequest] } = parseRequest("batched", {
      inferenceSubRequests: [{
        inferenceRequestSpec: { prompt: "<1>", ablationSpecs },
        processingRequestSpecByName: Object.fromEntries(specs.map((spec, i) => [`${i}`, spec])),
      }],
    });
    return areLogitsOnDemand(subRequest!);
  };
  assert.equal(isOnDemand([topK]), true);
  assert.equal(isOnDemand([topK, { ...topK, tokenIndex: 0 }]), true);
  assert.equal(isOnDemand([topK], [ablation]), false);
  assert.equal(isOnDemand([topK, unit]), false);
  assert.equal(isOnDemand([{ ...topK, tokenIndex: null }]), false);
  assert.equal(isOnDemand([{ ...topK, passType: "backward" }]), false);
  assert.equal(
    isOnDemand([{ ...topK, dimensionsToKeepForIntermediateSum: ["vocab_size"] }]),
    false,
  );
});
