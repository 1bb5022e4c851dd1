import assert from "node:assert/strict";

import { deriveScalars } from "../../derivers/derive.ts";
import { readTensors } from "../../engine/tape/tensor.ts";
import { refKey } from "../reference/model.ts";
import { runRef } from "../reference/objective.ts";
import { assertClose } from "../support/assert_close.ts";
import { createRandom } from "../support/random.ts";
import { gpuTest } from "../support/gpu.ts";
import { goldenModel } from "./golden_cases.ts";
import { randomAutoencoders, randomModel, randomSequence } from "./random_request.ts";

// Ablated values make activations and gradients larger than those of the golden data.
const requests = 40;
const tolerance = { rel: 3e-5, abs: 1e-5 };

for (const name of ["tiny", "odd"] as const) {
  gpuTest(
    `deriveScalars() keeps the activations and gradients of the float64 model: ${name}`,
    async ({ gpu, t }) => {
      const model = await goldenModel(gpu, name);
      const reference = randomModel(name);
      for (let seed = 1; seed <= requests; seed++) {
        const random = createRandom(seed);
        const autoencoders = randomAutoencoders(random, reference);
        const sequence = randomSequence(random, { model: reference, autoencoders });
        await t.step(`seed ${seed}`, async () => {
          using run = await deriveScalars(model, {
            autoencoders: autoencoders.map(({ name, layers }) => ({
              name,
              layers: [...layers.keys()],
            })),
            ...sequence,
            dsts: [],
          });
          const { tokens, ablationSpecs: ablations, lossFnConfig: loss, traceConfig: trace } =
            sequence;
          const want = runRef(reference.ref, { tokens, ablations, autoencoders }, { loss, trace });
          const label = JSON.stringify({ ...sequence, saveActivations: undefined });
          const kept = [...run.activations];
          const values = await readTensors(kept.map(([, tensor]) => tensor));
          kept.forEach(([{ location, layer, pass }, { shape }], i) => {
            const key = refKey(location, layer);
            const activation = want.activations.get(key);
            assert.ok(activation, key);
            const wanted = pass === "forward"
              ? activation.data
              : want.gradients.get(key)?.data ?? new Float64Array(activation.data.length);
            assertClose(values[i]!, wanted, {
              ...tolerance,
              shape,
              label: `${key} ${pass} of ${label}`,
            });
          });
          const numbers = [[run.loss, want.loss], [
            run.activationValueForBackwardPass,
            want.traced,
          ]] as const;
          for (const [got, wanted] of numbers) {
            assert.equal(got === null, wanted === null);
            if (wanted !== null) assertClose([got!], [wanted], { ...tolerance, label });
          }
        });
      }
    },
  );
}
