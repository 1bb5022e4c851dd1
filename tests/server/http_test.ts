import assert from "node:assert/strict";

import { loadModel } from "../../engine/model/model.ts";
import { listen, type ListenOptions } from "../../server/serve.ts";
import { createApp } from "../../server/app.ts";
import { modelInfoResponseSchema } from "../../server/responses.ts";
import { openSession, type SessionAutoencoder } from "../../server/session.ts";
import { goldenModelPath, readGoldenJson } from "../support/golden.ts";
import { type GpuTest, gpuTest } from "../support/gpu.ts";
import { assertResponse, type Json } from "./compare.ts";

interface WireCase {
  readonly name: string;
  readonly autoencoders: SessionAutoencoder[];
  readonly route: string;
  readonly request: Json;
  readonly response: Json;
  readonly error?: { readonly mustName: readonly string[] };
}

interface Server {
  readonly url: string;
  post(route: string, body?: unknown, init?: RequestInit): Promise<Response>;
}

const autoencoders = ["ae_mlp_post_act", "ae_resid_delta_attn"];

function golden(name: string): WireCase {
  return readGoldenJson(`requests/${name}.json`) as WireCase;
}

/** Tests a server of the small golden model; it must have no fault of its own. */
function serverTest(
  name: string,
  options: ListenOptions & { autoencoders?: readonly string[] },
  work: (server: Server, test: GpuTest) => Promise<void>,
): void {
  gpuTest(name, async (test) => {
    const faults: unknown[] = [];
    using model = await loadModel(goldenModelPath("tiny"), { gpu: test.gpu });
    const session = await openSession(model, options.autoencoders ?? []);
    const onInternalError = (error: unknown) => faults.push(error);
    const server = listen(session, { port: 0, onInternalError, ...options });
    try {
      const post = (route: string, body?: unknown, init: RequestInit = {}) =>
        fetch(`${server.url}/${route}`, {
          method: "POST",
          ...(body !== undefined && {
            body: typeof body === "string" ? body : JSON.stringify(body),
            headers: { "Content-Type": "application/json" },
          }),
          ...init,
        });
      await work({ url: server.url, post }, test);
    } finally {
      await server.stop();
      await server.finished;
    }
    assert.deepEqual(faults, []);
  });
}

async function messageOf(response: Response): Promise<string> {
  assert.match(response.headers.get("Content-Type")!, /^application\/json/);
  const body = await response.json();
  assert.deepEqual(Object.keys(body), ["message"]);
  return body.message;
}

serverTest(
  "server answers golden requests, and user mistakes with 400",
  { autoencoders },
  async ({ post }) => {
    for (const name of ["tiny_req_tdb_latents", "tiny_req_batched_scored_tokens_latents"]) {
      const { route, request, response } = golden(name);
      const answer = await post(route, request);
      assert.equal(answer.status, 200);
      assertResponse(await answer.json(), response, name);
    }
    for (const name of ["tiny_req_err_generic_with_two_autoencoders", "tiny_req_err_no_target"]) {
      const { route, request, error } = golden(name);
      const answer = await post(route, request);
      assert.equal(answer.status, 400);
      const message = await messageOf(answer);
      for (const part of error!.mustName) assert.ok(message.includes(part), message);
    }
  },
);

serverTest(
  "server tells specs apart by their fields where clients leave out specType",
  {},
  async ({ post }) => {
    const names = [
      "batched_scored_tokens",
      "batched_unequal_ablation",
      "das_write_norm",
      "ds_mlp_grad",
    ];
    for (const name of names) {
      const { route, request, response } = golden(`tiny_req_${name}`);
      const withoutTypes = JSON.parse(
        JSON.stringify(request),
        (field, value) => field === "specType" || value === null ? undefined : value,
      );
      assert.doesNotMatch(JSON.stringify(withoutTypes), /specType/);
      const answer = await post(route, withoutTypes);
      assert.equal(answer.status, 200, name);
      assertResponse(await answer.json(), response, name);
    }
  },
);

serverTest("server reports time, memory and tokens", {}, async ({ post }) => {
  const { route, request } = golden("tiny_req_mtk_trace");
  const { inferenceAndTokenData: data } = await (await post(route, request)).json();
  assert.ok(data.inferenceTime > 0 && data.inferenceTime < 60);
  assert.ok(data.memoryUsedBefore > 100_000, `${data.memoryUsedBefore}`);
  assert.ok(data.memoryUsedAfter > data.memoryUsedBefore);
  assert.equal(data.loss, null);
  assert.equal(typeof data.activationValueForBackwardPass, "number");
  assert.deepEqual(data.tokensAsInts.map((token: number) => `<${token}>`), data.tokensAsStrings);
});

serverTest(
  "server answers /model_info with and without autoencoders",
  { autoencoders },
  async ({ post }) => {
    const answer = await post("model_info");
    assert.equal(answer.status, 200);
    assert.deepEqual(modelInfoResponseSchema.parse(await answer.json()), {
      modelName: "tiny",
      hasMlpAutoencoder: true,
      mlpAutoencoderName: "ae_mlp_post_act",
      hasAttentionAutoencoder: true,
      attentionAutoencoderName: "ae_resid_delta_attn",
      nLayers: 3,
    });
  },
);

serverTest("server answers quietly for data that it does not have", {}, async ({ post, url }) => {
  for (
    const [route, body] of [["neuron_datasets_metadata"], ["existing_explanations", {}]] as const
  ) {
    const answer = await post(route, body);
    assert.equal(answer.status, 200);
    assert.deepEqual(await answer.json(), []);
  }
  for (const route of ["neuron_record", "attention_head_record", "explain", "score"]) {
    const answer = await post(route, {});
    assert.equal(answer.status, 404);
    assert.match(await messageOf(answer), /this server has no (neuron|attention|expl|scores)/);
  }
  const unknown = await post("nothing", {});
  assert.equal(unknown.status, 404);
  assert.match(await messageOf(unknown), /"\/nothing": the routes are .*\/batched_tdb/);
  const get = await fetch(`${url}/model_info`);
  assert.equal(get.status, 405);
  assert.match(await messageOf(get), /must be POST/);
});

serverTest("server names the path of what is malformed", {}, async ({ post }) => {
  const { subRequests: [sub] } = golden("tiny_req_tdb_neurons").request as {
    subRequests: { [field: string]: Json }[];
  };
  const cases: [body: unknown, parts: string[]][] = [
    ["{", ["JSON"]],
    [{ subRequests: [] }, ["subRequests"]],
    [{ subRequests: [sub], other: 1 }, ["other"]],
    [{ subRequests: [{ ...sub, extra: 1 }] }, ["subRequests[0].extra"]],
    [{ subRequests: [{ ...sub, prompt: 5 }] }, ["subRequests[0].prompt", "5", "string"]],
    [{ subRequests: [{ ...sub, prompt: undefined }] }, ["subRequests[0].prompt", "missing"]],
    [
      { subRequests: [{ ...sub, componentTypeForMlp: "neurons" }] },
      ["componentTypeForMlp", "neurons", "autoencoder_latent"],
    ],
  ];
  for (const [body, parts] of cases) {
    const answer = await post("batched_tdb", body);
    assert.equal(answer.status, 400);
    const message = await messageOf(answer);
    for (const part of parts) assert.ok(message.includes(part), `"${message}" has no "${part}"`);
  }
  const spec = {
    inferenceSubRequests: [{
      inferenceRequestSpec: { prompt: "<1>" },
      processingRequestSpecByName: { a: { numTokens: 3 } },
    }],
  };
  const answer = await post("batched", spec);
  assert.match(
    await messageOf(answer),
    /processingRequestSpecByName\.a\.specType.*dstListByGroupId/,
  );
});

serverTest(
  "server lets pages of this machine read every answer, and no others",
  {},
  async ({ post, url }) => {
    const origins = [
      ["http://localhost:1234", true],
      ["http://127.0.0.1:8000", true],
      ["http://localhost.example.com", false],
      ["https://example.com", false],
    ] as const;
    for (const [origin, isAllowed] of origins) {
      const preflight = await fetch(`${url}/batched_tdb`, {
        method: "OPTIONS",
        headers: {
          Origin: origin,
          "Access-Control-Request-Method": "POST",
          "Access-Control-Request-Headers": "content-type",
        },
      });
      const answers = [
        preflight,
        await post("model_info", undefined, { headers: { Origin: origin } }),
        await post("batched_tdb", "{", { headers: { Origin: origin } }),
        await post("explain", {}, { headers: { Origin: origin } }),
        await post("nothing", {}, { headers: { Origin: origin } }),
        await post("batched", "x".repeat(2 << 20), { headers: { Origin: origin } }),
      ];
      assert.deepEqual(answers.map(({ status }) => status), [204, 200, 400, 404, 404, 413]);
      for (const answer of answers) {
        const allowed = answer.headers.get("Access-Control-Allow-Origin");
        assert.equal(allowed, isAllowed ? origin : null, `${answer.status} for ${origin}`);
        await answer.body?.cancel();
      }
      if (!isAllowed) continue;
      assert.match(preflight.headers.get("Access-Control-Allow-Methods")!, /POST/);
      assert.match(preflight.headers.get("Access-Control-Allow-Headers")!, /content-type/i);
    }
  },
);

serverTest(
  "server refuses what is too much",
  { maxBodyBytes: 4096 },
  async ({ post }) => {
    const large = await post("batched_tdb", JSON.stringify({ a: "x".repeat(5000) }));
    assert.equal(large.status, 413);
    assert.match(await messageOf(large), /at most 4096 bytes/);
    const long = await post("derived_scalars", {
      inferenceRequestSpec: { prompt: "<1>".repeat(501) },
      derivedScalarsRequestSpec: { dst: "mlp_post_act", layerIndex: 0, activationIndex: 0 },
    });
    assert.equal(long.status, 400);
    assert.match(await messageOf(long), /501 tokens.*500/);
  },
);

gpuTest("createApp() answers 503 with Retry-After while too many wait", async ({ gpu }) => {
  using model = await loadModel(goldenModelPath("tiny"), { gpu });
  const app = createApp(await openSession(model), { maxWaiting: 2 });
  const { route, request } = golden("tiny_req_tdb_neurons");
  const post = () => app.request(`/${route}`, { method: "POST", body: JSON.stringify(request) });
  // In one turn of the event loop, so that none is answered before the last has come.
  const answers = await Promise.all(Array.from({ length: 6 }, post));
  assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200, 503, 503, 503]);
  for (const refused of answers.slice(3)) {
    assert.match(refused.headers.get("Retry-After")!, /^\d+$/);
    assert.match(await messageOf(refused), /2 wait already/);
  }
  assert.equal((await post()).status, 200);
});

gpuTest("createApp() answers 500 without internals for a fault of its own", async ({ gpu }) => {
  const faults: unknown[] = [];
  const fault = new TypeError("Internal error: secret");
  using model = await loadModel(goldenModelPath("tiny"), { gpu });
  const forward = () => {
    throw fault;
  };
  const session = await openSession({ ...model, forward });
  const app = createApp(session, { onInternalError: (error) => faults.push(error) });
  const { route, request } = golden("tiny_req_mtk_trace");
  const { live } = gpu.memory();
  const answer = await app.request(`/${route}`, {
    method: "POST",
    body: JSON.stringify(request),
    headers: { Origin: "http://localhost:1234" },
  });
  assert.equal(answer.status, 500);
  assert.equal(answer.headers.get("Access-Control-Allow-Origin"), "http://localhost:1234");
  assert.doesNotMatch(await messageOf(answer), /secret|Internal/);
  assert.deepEqual(faults, [fault]);
  assert.equal(gpu.memory().live, live);
});
