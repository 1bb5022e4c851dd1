/** Many clients at once, some of them wrong and some of them gone. */

import assert from "node:assert/strict";

import { loadModel } from "../../engine/model/model.ts";
import { createApp } from "../../server/app.ts";
import { listen } from "../../server/serve.ts";
import { openSession } from "../../server/session.ts";
import { goldenModelPath, readGoldenJson } from "../support/golden.ts";
import { gpuTest } from "../support/gpu.ts";
import { assertResponse, type Json } from "./compare.ts";

interface WireCase {
  readonly route: string;
  readonly request: Json;
  readonly response: Json;
}

const nClients = 50;

/** Requests that are right with the autoencoders that are loaded. */
const good = [
  "odd_req_tdb_latents",
  "odd_req_tdb_two_ae_neurons",
  "odd_req_batched_scored_tokens_latents",
  "odd_req_mtk_per_token",
  "odd_req_das_write_norm",
];

const bad = [
  "odd_req_err_bad_layer",
  "odd_req_err_multi_token_target",
  "odd_req_err_ablation_rank",
];

function golden(name: string): WireCase {
  return readGoldenJson(`requests/${name}.json`) as WireCase;
}

gpuTest(
  `server gives ${nClients} clients at once each its answer, and its memory back`,
  async ({ gpu }) => {
    using model = await loadModel(goldenModelPath("odd"), { gpu });
    const session = await openSession(model, ["ae_mlp_post_act", "ae_resid_delta_attn"]);
    const faults: unknown[] = [];
    const server = listen(session, {
      port: 0,
      maxWaiting: nClients,
      onInternalError: (error) => faults.push(error),
    });
    const send = ({ route, request }: WireCase, init: RequestInit = {}) =>
      fetch(`${server.url}/${route}`, { method: "POST", body: JSON.stringify(request), ...init });
    try {
      for (const name of good) {
        assert.equal(
          (await (await send(golden(name))).json()).message,
          undefined,
        );
      }
      const { live } = gpu.memory();

      let gone = 0;
      const clients = Array.from({ length: nClients }, async (_, client) => {
        const { route, request, response } = golden(good[client % good.length]!);
        switch (client % 5) {
          case 2: { // a mistake
            const wrong = golden(bad[client % bad.length]!);
            const answer = await send(wrong);
            assert.equal(answer.status, 400);
            assert.equal(typeof (await answer.json()).message, "string");
            return;
          }
          case 4: { // gone before it has its answer
            const init = { signal: AbortSignal.timeout(client) };
            try {
              await (await send({ route, request, response }, init)).arrayBuffer();
            } catch (error) {
              assert.equal((error as Error).name, "TimeoutError");
              gone++;
            }
            return;
          }
          default: {
            const answer = await send({ route, request, response });
            assert.equal(answer.status, 200);
            assertResponse(await answer.json(), response, `client ${client}`);
          }
        }
      });
      await Promise.all(clients);
      assert.ok(gone > 0, "a client went away");
      // What those who went away had begun may still be at work: the queue ends with this.
      const last = golden("odd_req_tdb_latents");
      assertResponse(await (await send(last)).json(), last.response);
      assert.equal(gpu.memory().live, live, "bytes in use");
      assert.deepEqual(faults, []);
    } finally {
      await server.stop();
      await server.finished;
    }
  },
);

gpuTest("createApp() takes a body that ends too early for its client's doing", async ({ gpu }) => {
  const faults: unknown[] = [];
  using model = await loadModel(goldenModelPath("odd"), { gpu });
  const app = createApp(await openSession(model), { onInternalError: (e) => faults.push(e) });
  for (const headers of [{ "Content-Length": "1000" }, { "Transfer-Encoding": "chunked" }]) {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('{"inferenceRequestSpec": '));
      },
      pull(controller) {
        controller.error(new Deno.errors.BadResource("the client has gone"));
      },
    });
    const answer = await app.request("/derived_scalars", { method: "POST", headers, body });
    assert.equal(answer.status, 400);
    assert.match((await answer.json()).message, /body ended before/);
  }
  assert.deepEqual(faults, []);
});
