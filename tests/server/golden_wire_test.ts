/** Every wire request of the golden data, answered by the library's functions. */

import assert from "node:assert/strict";

import { RequestError } from "../../engine/errors.ts";
import type { Gpu } from "../../engine/gpu/gpu.ts";
import { loadModel, type Model } from "../../engine/model/model.ts";
import { answer } from "../../server/answer.ts";
import { parseRequest } from "../../server/parse.ts";
import type { InferenceRoute } from "../../server/requests.ts";
import { responseSchemas } from "../../server/responses.ts";
import { openSession, type SessionAutoencoder } from "../../server/session.ts";
import { goldenModelPath, listGolden, readGoldenJson } from "../support/golden.ts";
import { gpuTest } from "../support/gpu.ts";
import { assertResponse, type Json } from "./compare.ts";

interface WireCase {
  readonly name: string;
  readonly model: string;
  readonly autoencoders: SessionAutoencoder[];
  readonly route: InferenceRoute;
  readonly request: unknown;
  readonly response?: Json;
  readonly error?: { readonly status: number; readonly mustName: readonly string[] };
}

async function run(gpu: Gpu, model: Model, golden: WireCase): Promise<void> {
  const { route, request, response, error } = golden;
  const session = await openSession(model, golden.autoencoders);
  const { live } = gpu.memory();
  const answered = async () =>
    await answer(session, { route, request: parseRequest(route, request) });
  if (error === undefined) {
    const got = await answered();
    responseSchemas[route].parse(got);
    assertResponse(JSON.parse(JSON.stringify(got)), response!, golden.name);
    assertFieldOrder(JSON.parse(JSON.stringify(got)));
  } else {
    assert.equal(error.status, 400);
    await assert.rejects(answered(), (thrown) => {
      assert.ok(thrown instanceof RequestError, String(thrown));
      for (const name of error.mustName) {
        assert.ok(thrown.message.includes(name), `"${thrown.message}" must name "${name}"`);
      }
      return true;
    });
  }
  // Constants of the model, made at their first use, may have come; runs of it are gone.
  if (gpu.memory().live !== live) {
    const { live: withConstants } = gpu.memory();
    await answered().catch(() => {});
    assert.equal(gpu.memory().live, withConstants, "bytes in use after a second run");
  }
}

/** Clients compare nodes as text. */
function assertFieldOrder(json: Json): void {
  if (Array.isArray(json)) return json.forEach(assertFieldOrder);
  if (json === null || typeof json !== "object") return;
  if ("nodeType" in json) {
    assert.deepEqual(Object.keys(json), ["nodeType", "tensorIndices", "layerIndex", "passType"]);
  }
  Object.values(json).forEach(assertFieldOrder);
}

for (const name of ["tiny", "odd"]) {
  gpuTest(`answer() gives the golden response or error for "${name}"`, async ({ gpu, t }) => {
    using model = await loadModel(goldenModelPath(name), { gpu });
    for (const file of listGolden("requests")) {
      const golden = readGoldenJson(`requests/${file}.json`) as WireCase;
      if (golden.model !== name) continue;
      await t.step(`${golden.route}: ${file}`, () => run(gpu, model, golden));
    }
  });
}

gpuTest(
  "batchedTdb() has its eight keys in order, and the same nodes in the dependent ones",
  async ({ gpu }) => {
    const golden = readGoldenJson("requests/tiny_req_tdb_ablate_vs_clean.json") as WireCase;
    using model = await loadModel(goldenModelPath("tiny"), { gpu });
    const session = await openSession(model, golden.autoencoders);
    const request = parseRequest("batched_tdb", golden.request);
    const { inferenceSubResponses } = await answer(session, { route: "batched_tdb", request });
    const nodes: string[] = [];
    for (const { processingResponseDataByName: specs } of inferenceSubResponses) {
      assert.deepEqual(Object.keys(specs), [
        "topKComponents",
        "componentSumsForTokenDisplay",
        "upvotedOutputTokens",
        "inputTokensThatUpvoteMlp",
        "inputTokensThatUpvoteAttnQ",
        "inputTokensThatUpvoteAttnK",
        "tokenPairAttribution",
        "topOutputTokenLogits",
      ]);
      const {
        topKComponents,
        componentSumsForTokenDisplay: _,
        topOutputTokenLogits: __,
        ...others
      } = specs;
      for (const spec of [topKComponents!, ...Object.values(others)]) {
        nodes.push(JSON.stringify("nodeIndices" in spec && spec.nodeIndices));
      }
    }
    assert.equal(nodes.length, 12);
    assert.deepEqual(new Set(nodes).size, 1, "all list the nodes of both prompts in one order");
  },
);
