import assert from "node:assert/strict";

import { type DerivedRun, deriveScalars } from "../../derivers/derive.ts";
import type { OneSequenceInput } from "../../derivers/request.ts";
import { gpuTest, readBits } from "../support/gpu.ts";
import { goldenModel } from "./golden_cases.ts";

const scalars = [
  "mlp_write_norm",
  "mlp_act_times_grad",
  "attn_write_to_final_residual_grad",
] as const;

/** How the scalars are asked for: their forward value alone. */
const forwardOnly = (dst: (typeof scalars)[number]) => ({ dst, config: {} });

const small: OneSequenceInput = {
  tokens: [1, 2],
  lossFnConfig: { name: "logit_minus_mean", targetTokens: ["<3>"] },
  dsts: ["mlp_act_times_grad"],
};

const wide: OneSequenceInput = {
  ...small,
  autoencoders: [{ name: "ae_mlp_post_act" }, { name: "ae_resid_delta_attn" }],
  tokens: Array.from({ length: 24 }, (_, i) => 7 * i % 61),
  ablationSpecs: [{
    index: {
      activationLocationType: "attn.qk_probs",
      passType: "forward",
      tensorIndices: [-1, "All", 0],
      layerIndex: null,
    },
    value: 0.25,
  }],
  dsts: [...scalars.map(forwardOnly), "online_mlp_autoencoder_act_times_grad"],
};

function tensorsOf({ scalars: { entries } }: DerivedRun) {
  return entries.map(({ tensor }) => tensor);
}

gpuTest("deriveScalars() gives the same bits when it runs again", async ({ gpu }) => {
  const model = await goldenModel(gpu, "odd");
  using first = await deriveScalars(model, wide);
  using second = await deriveScalars(model, wide);
  assert.deepEqual(first.notComputable, []);
  assert.equal(first.loss, second.loss);
  const [one, two] = [await readBits(tensorsOf(first)), await readBits(tensorsOf(second))];
  assert.ok(one.length > 0);
  assert.deepEqual(one, two);
});

gpuTest("a thousand runs hold as much memory as the first few", async ({ gpu }) => {
  const model = await goldenModel(gpu, "tiny");
  const runOnce = async () => {
    using run = await deriveScalars(model, small);
    return run.loss;
  };
  for (let i = 0; i < 3; i++) await runOnce();
  const { live, pooled } = gpu.memory();
  for (let i = 0; i < 1000; i++) await runOnce();
  const after = gpu.memory();
  assert.deepEqual({ live: after.live, pooled: after.pooled }, { live, pooled });
});

gpuTest("disposing of a run gives all of its memory back", async ({ gpu }) => {
  const model = await goldenModel(gpu, "odd");
  { // what is computed from the weights alone stays with the model
    using _run = await deriveScalars(model, wide);
  }
  const { live } = gpu.memory();
  const run = await deriveScalars(model, wide);
  assert.ok(run.stats.heldBytes > 0);
  assert.equal(gpu.memory().live, live + run.stats.heldBytes);
  await run.scalars.topk(5);
  run.derive(["mlp_write_norm"]);
  run[Symbol.dispose]();
  assert.equal(gpu.memory().live, live);
});

gpuTest("a refused request holds no memory", async ({ gpu }) => {
  const model = await goldenModel(gpu, "tiny");
  const { live } = gpu.memory();
  await assert.rejects(deriveScalars(model, { ...small, tokens: [] }), { name: "RequestError" });
  await assert.rejects(deriveScalars(model, { ...small, tokens: [97] }), { name: "RequestError" });
  assert.equal(gpu.memory().live, live);
});

gpuTest("DerivedRun.derive() gives what asking at once gives", async ({ gpu }) => {
  const model = await goldenModel(gpu, "tiny");
  const kept = (["forward", "backward"] as const).flatMap((passType) =>
    (["mlp.post_act", "attn.qk_probs", "attn.v", "resid.post_mlp"] as const).map(
      (activationLocationType) => ({ activationLocationType, passType }),
    )
  );
  using later = await deriveScalars(model, { ...small, dsts: [], saveActivations: kept });
  using atOnce = await deriveScalars(model, { ...small, dsts: scalars.map(forwardOnly) });
  const derived = later.derive(scalars);
  const bits = await readBits(tensorsOf(atOnce));
  assert.deepEqual(await readBits(derived.entries.map(({ tensor }) => tensor)), bits);
  assert.deepEqual(
    derived.entries.map(({ dst, layerIndex, tensor }) => [dst, layerIndex, tensor.shape]),
    atOnce.scalars.entries.map(({ dst, layerIndex, tensor }) => [dst, layerIndex, tensor.shape]),
  );
});

gpuTest("DerivedRun.derive() derives for the sequence it is told", async ({ gpu }) => {
  const model = await goldenModel(gpu, "tiny");
  const { tokens: _, ...rest } = small;
  const sequences = [[1, 2], [5, 6, 7]].map((tokens) => ({ ...rest, tokens }));
  using run = await deriveScalars(model, { sequences });
  const entry = run.derive(["mlp_write_norm"], { sequence: 1 }).entries[0]!;
  assert.deepEqual(entry.tensor.shape, [3, model.config.dMlp]);
});

gpuTest("DerivedRun.derive() names what the run did not keep", async ({ gpu }) => {
  const model = await goldenModel(gpu, "tiny");
  using run = await deriveScalars(model, small);
  assert.throws(() => run.derive(["attn_write_norm"]), {
    name: "RequestError",
    code: "not_kept",
    message: /"attn\.qk_probs"/,
  });
  using noLoss = await deriveScalars(model, { tokens: [1], dsts: [forwardOnly("mlp_write_norm")] });
  assert.throws(() => noLoss.derive(["mlp_act_times_grad"]), {
    name: "RequestError",
    code: "gradients_without_objective",
    message: /"mlp_act_times_grad"/,
  });
});

gpuTest("ScalarStore.get() names what was derived in the place of what was not", async (test) => {
  const model = await goldenModel(test.gpu, "tiny");
  using run = await deriveScalars(model, {
    tokens: [1],
    dsts: [{ dst: "resid_post_mlp_norm", config: {} }],
  });
  assert.throws(() => run.scalars.get({ dst: "resid_post_mlp_norm", layerIndex: 9 }), {
    name: "RequestError",
    message: /forward, layer 0; forward, layer 1; forward, layer 2/,
  });
});
