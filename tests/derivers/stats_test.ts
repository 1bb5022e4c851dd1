import assert from "node:assert/strict";

import { type DerivedRun, deriveScalars, type LayerDispatches } from "../../derivers/derive.ts";
import type { DeriveRequestInput } from "../../derivers/request.ts";
import { gpuTest } from "../support/gpu.ts";
import { goldenModel } from "./golden_cases.ts";

type Asked = DeriveRequestInput["sequences"][number]["dsts"];

function requestOf(sequences: readonly (readonly number[])[], dsts: Asked): DeriveRequestInput {
  return {
    sequences: sequences.map((tokens) => ({
      tokens: [...tokens],
      lossFnConfig: { name: "logit_minus_mean", targetTokens: ["<3>"] },
      dsts,
    })),
  };
}

function column(
  { stats: { dispatchesByLayer } }: DerivedRun,
  which: keyof LayerDispatches,
): number[] {
  return dispatchesByLayer.map((layer) => layer[which]);
}

gpuTest(
  "RunStats counts launches by layer, those of the model the same for any batch",
  async (test) => {
    const model = await goldenModel(test.gpu, "tiny");
    const dsts = [{ dst: "mlp_act_times_grad", config: {} }];
    const { nLayers } = model.config;
    { // what is computed from the weights alone is there from now on
      using _run = await deriveScalars(model, requestOf([[1, 2]], dsts));
    }
    using alone = await deriveScalars(model, requestOf([[1, 2]], dsts));
    using batch = await deriveScalars(model, requestOf([[1, 2], [3, 4, 5], [6]], dsts));
    for (const which of ["forward", "backward"] as const) {
      assert.equal(column(alone, which).length, nLayers);
      assert.deepEqual(column(batch, which), column(alone, which));
    }
    const [first, ...others] = column(alone, "forward");
    assert.ok(first! > 0);
    for (const each of others) assert.equal(each, first);
    const inLayers = alone.stats.dispatchesByLayer.flatMap((layer) => Object.values(layer));
    assert.ok(inLayers.reduce((sum, count) => sum + count) < alone.stats.dispatches);
  },
);

gpuTest(
  "RunStats counts no backward launches below the lowest gradient wanted",
  async ({ gpu }) => {
    const model = await goldenModel(gpu, "tiny");
    const last = model.config.nLayers - 1;
    const inLast = { dst: "mlp_act_times_grad", config: { layerIndices: [last] } };
    using run = await deriveScalars(model, requestOf([[1, 2, 3]], [inLast]));
    for (const which of ["backward", "scalars"] as const) {
      const counts = column(run, which);
      assert.ok(counts[last]! > 0);
      assert.deepEqual(counts.slice(0, last), Array(last).fill(0));
    }
    using forward = await deriveScalars(model, requestOf([[1]], [{ dst: "mlp_write_norm" }]));
    assert.deepEqual(column(forward, "backward"), Array(last + 1).fill(0));
  },
);

gpuTest("deriveScalars() reads what is asked for alongside in its own transfer", async (test) => {
  const model = await goldenModel(test.gpu, "tiny");
  const request = requestOf([[1, 2, 3], [4, 5]], [{ dst: "mlp_act_times_grad" }]);
  const { reads } = test.gpu.counts();
  using run = await deriveScalars(model, request, {
    alongside: (sequences) => Promise.all(sequences.map(({ scalars }) => scalars.topk(3))),
  });
  assert.equal(test.gpu.counts().reads, reads + 1);
  for (const [s, { loss, scalars }] of run.sequences.entries()) {
    assert.ok(Number.isFinite(loss));
    assert.deepEqual(run.alongside[s], await scalars.topk(3));
  }
});

gpuTest("deriveScalars() gives its memory back if what is alongside fails", async (test) => {
  const model = await goldenModel(test.gpu, "tiny");
  const { live } = test.gpu.memory();
  const fault = new Error("no");
  for (const alongside of [() => Promise.reject(fault), () => raise(fault)]) {
    await assert.rejects(deriveScalars(model, requestOf([[1]], []), { alongside }), fault);
    assert.equal(test.gpu.memory().live, live);
  }
});

function raise(fault: Error): never {
  throw fault;
}
