import assert from "node:assert/strict";

import { type DerivedRun, deriveScalars } from "../../derivers/derive.ts";
import { deriveMultiPass, inputsOf } from "../../derivers/multi_pass.ts";
import { loadModel } from "../../engine/model/model.ts";
import { goldenModelPath } from "../support/golden.ts";
import { gpuTest, readRefs } from "../support/gpu.ts";

const dsts = ["mlp_post_act", "mlp_write_norm", "attn_qk_probs"] as const;

function passesOf({ sequences: [main, baseline] }: DerivedRun) {
  return { main: main!.run, baseline: baseline!.run };
}

gpuTest("deriveMultiPass() takes what is all of one pass from that pass", async ({ gpu }) => {
  using model = await loadModel(goldenModelPath("odd"), { gpu });
  using run = await deriveScalars(model, {
    sequences: [[1, 2, 3, 4, 5], [6, 7, 8]].map((tokens) => ({
      tokens,
      dsts: dsts.map((dst) => ({ dst, config: {} })),
    })),
  });
  const passes = passesOf(run);
  for (const [s, source] of (["main", "baseline"] as const).entries()) {
    const store = deriveMultiPass(passes, { dst: "mlp_write_norm", sources: [source] });
    for (const layerIndex of [0, 1]) {
      const key = { dst: "mlp_write_norm", layerIndex } as const;
      const [got, want] = await readRefs([store.get(key), run.sequences[s]!.scalars.get(key)]);
      assert.deepEqual(got, want);
    }
  }
  const one = deriveMultiPass(passes, { dst: "always_one", sources: [] });
  assert.deepEqual(one.get({ dst: "always_one" }).shape, [5, 1]);
});

gpuTest("deriveMultiPass() refuses what cannot be combined", async ({ gpu }) => {
  using model = await loadModel(goldenModelPath("odd"), { gpu });
  using run = await deriveScalars(model, {
    sequences: [[1, 2, 3], [4, 5]].map((tokens) => ({
      tokens,
      dsts: [{ dst: "mlp_write_norm", config: {} }],
    })),
  });
  const passes = passesOf(run);
  assert.throws(
    () => deriveMultiPass(passes, { dst: "mlp_write_norm", sources: ["main", "main"] }),
    {
      name: "RequestError",
      code: "wrong_number_of_sources",
      message: /"mlp_write_norm".*needs 1.*mlp\.post_act/,
    },
  );
  assert.throws(
    () => deriveMultiPass(passes, { dst: "mlp_write_norm", sources: ["subtract_baseline"] }),
    { name: "RequestError", code: "unequal_lengths", message: /"mlp_write_norm".*length.*3 and 2/ },
  );
  assert.throws(
    () => deriveMultiPass(passes, { dst: "mlp_act_times_grad", sources: ["main", "main"] }),
    { name: "RequestError", code: "not_kept", message: /gradient of "mlp\.post_act"/ },
  );
  assert.throws(
    () =>
      deriveMultiPass(passes, {
        dst: "mlp_write_norm",
        config: { layerIndices: [2] },
        sources: ["main"],
      }),
    { name: "RequestError", code: "no_such_layer", message: /layer 2/ },
  );
});

gpuTest("inputsOf() tells inputs in order", async ({ gpu }) => {
  using model = await loadModel(goldenModelPath("odd"), { gpu });
  using run = await deriveScalars(model, { tokens: [1], dsts: [] });
  const slots = inputsOf({ dst: "unflattened_attn_write_to_final_residual_grad" }, run.run)
    .map(({ slots: [slot] }) => [slot!.location, slot!.pass, slot!.layer]);
  assert.deepEqual(slots, [
    ["attn.qk_probs", "forward", 1],
    ["attn.v", "forward", 1],
    ["resid.post_mlp", "backward", 1],
  ]);
});
