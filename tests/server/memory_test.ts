import assert from "node:assert/strict";

import { openGpu } from "../../engine/gpu/gpu.ts";
import { loadModel } from "../../engine/model/model.ts";
import { createApp } from "../../server/app.ts";
import { openSession } from "../../server/session.ts";
import { goldenModelPath, readGoldenJson } from "../support/golden.ts";
import { gpuTest } from "../support/gpu.ts";

gpuTest("server answers what needs more memory than there is with 413, and how much", async () => {
  const path = goldenModelPath("tiny");
  let weights: number;
  {
    using gpu = await openGpu();
    using _model = await loadModel(path, { gpu });
    weights = gpu.memory().live;
  }
  using gpu = await openGpu({ maxMemoryBytes: weights + 2 ** 16 });
  using model = await loadModel(path, { gpu });
  const app = createApp(await openSession(model), {
    onInternalError: (error) => assert.fail(String(error)),
  });
  const { route, request } = readGoldenJson("requests/tiny_req_batched_unequal_ablation.json") as {
    route: string;
    request: unknown;
  };
  const answer = await app.request(`/${route}`, {
    method: "POST",
    body: JSON.stringify(request),
    headers: { "Content-Type": "application/json" },
  });
  assert.equal(answer.status, 413);
  assert.match((await answer.json()).message, /^Cannot run the request as it needs \d+ bytes/);
  assert.equal(gpu.memory().live, weights);
});
