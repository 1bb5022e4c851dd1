import assert from "node:assert/strict";

import { type DerivedRun, deriveScalars } from "../../derivers/derive.ts";
import type { DeriveRequestInput } from "../../derivers/request.ts";
import type { ScalarName } from "../../derivers/table.ts";
import { GpuError } from "../../engine/errors.ts";
import { openGpu } from "../../engine/gpu/gpu.ts";
import { loadModel } from "../../engine/model/model.ts";
import { goldenModelPath, listGolden, readGoldenCase } from "../support/golden.ts";
import { gpuTest } from "../support/gpu.ts";
import { goldenModel, requestOf } from "./golden_cases.ts";

/** A request for sequences of these lengths, each with the same scalars. */
function requestWith(
  lengths: readonly number[],
  dsts: readonly ScalarName[],
  autoencoders: readonly string[] = [],
): DeriveRequestInput {
  return {
    autoencoders: autoencoders.map((name) => ({ name })),
    sequences: lengths.map((length) => ({
      tokens: Array.from({ length }, (_, i) => 7 * i % 61),
      lossFnConfig: { name: "logit_diff", targetTokens: ["<3>"], distractorTokens: ["<5>"] },
      dsts: dsts.map((dst) => ({ dst, config: {} })),
    })),
  };
}

/** Of very different sizes and kinds. */
const requests: Readonly<Record<string, DeriveRequestInput>> = {
  "one token, forward": requestWith([1], ["mlp_write_norm"]),
  "forward": requestWith([24], ["mlp_write_norm", "attn_write_norm"]),
  "all logits": requestWith([24], ["logits", "mlp_write_norm"]),
  "backward": requestWith([24], ["mlp_act_times_grad"]),
  "every pair of tokens": requestWith([24], [
    "unflattened_attn_act_times_grad",
    "attn_write_to_final_residual_grad",
  ]),
  "a batch": requestWith([24, 3, 17, 1], ["mlp_act_times_grad", "attn_write_norm"]),
  "an autoencoder": requestWith([20], ["online_mlp_autoencoder_act_times_grad"], [
    "ae_mlp_post_act",
  ]),
};

function assertPredicted({ stats }: DerivedRun): void {
  assert.ok(stats.peakBytes > 0);
  assert.ok(stats.peakBytes >= stats.heldBytes);
  // By construction: the run is rehearsed with the sizes of the buffers that it will get.
  assert.equal(stats.predictedBytes, stats.peakBytes);
}

gpuTest(
  "deriveScalars() predicts the peak of a run, the model's first and later",
  async ({ t }) => {
    for (const name of ["tiny", "odd"]) {
      for (const [what, request] of Object.entries(requests)) {
        await t.step(`${name}: ${what}`, async () => {
          using gpu = await openGpu();
          using model = await loadModel(goldenModelPath(name), { gpu });
          for (const _ of ["first", "later"]) {
            using run = await deriveScalars(model, request);
            assert.deepEqual(run.sequences.flatMap(({ notComputable }) => notComputable), []);
            assertPredicted(run);
          }
        });
      }
    }
  },
);

gpuTest("deriveScalars() predicts the peak of every golden case", async ({ gpu, t }) => {
  for (const name of listGolden("cases")) {
    const golden = readGoldenCase(name);
    await t.step(name, async () => {
      using run = await deriveScalars(
        await goldenModel(gpu, golden.request.model),
        requestOf(golden),
      );
      assertPredicted(run);
    });
  }
});

gpuTest("deriveScalars() predicts nothing where it is told not to", async ({ gpu }) => {
  const model = await goldenModel(gpu, "tiny");
  using run = await deriveScalars(model, requests["backward"]!, { predict: false });
  assert.equal(run.stats.predictedBytes, null);
  assert.ok(run.stats.peakBytes > 0);
});

gpuTest(
  "deriveScalars() refuses a run that is one byte too large before it allocates",
  async () => {
    const request = requests["a batch"]!;
    let needed: number;
    let weights: number;
    {
      using gpu = await openGpu();
      using model = await loadModel(goldenModelPath("tiny"), { gpu });
      weights = gpu.memory().live;
      using run = await deriveScalars(model, request);
      needed = run.stats.peakBytes;
    }
    for (const room of [needed - 1, needed]) {
      using gpu = await openGpu({ maxMemoryBytes: weights + room });
      using model = await loadModel(goldenModelPath("tiny"), { gpu });
      if (room < needed) {
        const before = { ...gpu.counts(), ...gpu.memory() };
        await assert.rejects(deriveScalars(model, request, { predict: false }), (error) => {
          assert.ok(error instanceof GpuError);
          assert.equal(error.reason, "out-of-memory");
          const part = '(activations|gradients) at "[a-z_.]+" \\(\\d+ bytes\\)';
          assert.match(
            error.message,
            new RegExp(
              `^Cannot run the request as it needs ${needed} bytes of GPU memory beside the ` +
                `${weights} in use, and maxMemoryBytes is ${weights + room}: the most go to ` +
                `intermediate results \\(\\d+ bytes\\), ${part}, ${part}; ask for fewer scalars or ` +
                "activations, fewer layers, shorter prompts, fewer sequences at a time, or dispose " +
                "of earlier runs$",
            ),
          );
          return true;
        });
        assert.deepEqual({ ...gpu.counts(), ...gpu.memory() }, before);
        using small = await deriveScalars(model, requests["one token, forward"]!);
        assert.equal(typeof small.loss, "number");
      } else {
        using run = await deriveScalars(model, request);
        assertPredicted(run);
      }
    }
  },
);
