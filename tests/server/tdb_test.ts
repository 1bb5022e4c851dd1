import assert from "node:assert/strict";

import { attentionScalars } from "../../server/attention_scalars.ts";
import { parseRequest } from "../../server/parse.ts";
import type { RequestInput } from "../../server/requests.ts";
import { batchOfTdb } from "../../server/tdb.ts";

type TdbInput = RequestInput<"batched_tdb">["subRequests"][number];

type Node = NonNullable<TdbInput["nodeAblations"]>[number]["nodeIndex"];

function batchOf(fields: Partial<TdbInput> = {}) {
  const sub: TdbInput = {
    prompt: "a b",
    targetTokens: ["c"],
    distractorTokens: [],
    componentTypeForMlp: "neuron",
    componentTypeForAttention: "attention_head",
    topAndBottomKForNodeTable: 3,
    hideEarlyLayersWhenAblating: true,
    ...fields,
  };
  const { inferenceSubRequests } = batchOfTdb(parseRequest("batched_tdb", { subRequests: [sub] }));
  return inferenceSubRequests[0]!;
}

function head(tensorIndices: Node["tensorIndices"], layerIndex = 1): Node {
  return { nodeType: "attention_head", tensorIndices, layerIndex, passType: "forward" };
}

const neuron: Node = {
  nodeType: "mlp_neuron",
  tensorIndices: [2, 7],
  layerIndex: 0,
  passType: "forward",
};

Deno.test("batchOfTdb() ablates the whole row of a head, and keeps the final scale constant", () => {
  const nodeAblations = [
    { nodeIndex: head([2, 1, 3]), value: 0 },
    { nodeIndex: neuron, value: 1.5 },
    { nodeIndex: { ...neuron, nodeType: "attention_autoencoder_latent" as const }, value: 2 },
  ];
  const { inferenceRequestSpec } = batchOf({ nodeAblations });
  const forward = { passType: "forward" } as const;
  assert.deepEqual(inferenceRequestSpec.ablationSpecs, [
    {
      index: {
        activationLocationType: "attn.qk_probs",
        layerIndex: 1,
        tensorIndices: [2, "All", 3],
        ...forward,
      },
      value: 0,
    },
    {
      index: {
        activationLocationType: "mlp.post_act",
        layerIndex: 0,
        tensorIndices: [2, 7],
        ...forward,
      },
      value: 1.5,
    },
    {
      index: {
        activationLocationType: "online_attention_autoencoder_latent",
        layerIndex: 0,
        tensorIndices: [2, 7],
        ...forward,
      },
      value: 2,
    },
    {
      index: {
        activationLocationType: "resid.ln_f.scale",
        layerIndex: null,
        tensorIndices: ["All", "All"],
        passType: "backward",
      },
      value: 0,
    },
  ]);
});

Deno.test("batchOfTdb() drops the loss for a trace, but not for one of values towards nothing", () => {
  const loss = { name: "logit_diff", targetTokens: ["c"], distractorTokens: [] };
  const trace = (attentionTraceType: "Q" | "V") => ({
    nodeIndex: head([2, 1, 3]),
    attentionTraceType,
  });
  assert.deepEqual(batchOf().inferenceRequestSpec.lossFnConfig, loss);
  const { inferenceRequestSpec: byQuery, processingRequestSpecByName } = batchOf({
    upstreamNodeToTrace: trace("Q"),
  });
  assert.equal(byQuery.lossFnConfig, null);
  assert.deepEqual(byQuery.traceConfig, {
    nodeIndex: head([2, 1, 3]),
    preOrPostAct: "pre",
    detachLayerNormScale: true,
    attentionTraceType: "Q",
    downstreamTraceConfig: null,
  });
  const { topOutputTokenLogits } = processingRequestSpecByName;
  assert.equal("tokenIndex" in topOutputTokenLogits! && topOutputTokenLogits.tokenIndex, 2);
  const byValue = batchOf({ upstreamNodeToTrace: trace("V") }).inferenceRequestSpec;
  assert.deepEqual(byValue.lossFnConfig, loss);
  const downstreamNodeToTrace = { nodeIndex: neuron };
  const both = batchOf({ upstreamNodeToTrace: trace("V"), downstreamNodeToTrace })
    .inferenceRequestSpec;
  assert.equal(both.lossFnConfig, null);
  assert.deepEqual(both.traceConfig?.downstreamTraceConfig?.nodeIndex, neuron);
  assert.throws(() => batchOf({ downstreamNodeToTrace }), /downstreamNodeToTrace.*"V".*null/);
  assert.throws(
    () => batchOf({ upstreamNodeToTrace: trace("Q"), downstreamNodeToTrace }),
    /downstreamNodeToTrace.*"V".*"Q"/,
  );
});

Deno.test("batchOfTdb() makes the same batch whatever hideEarlyLayersWhenAblating says", () => {
  assert.deepEqual(
    batchOf({ hideEarlyLayersWhenAblating: false }),
    batchOf({ hideEarlyLayersWhenAblating: true }),
  );
});

Deno.test("batchOfTdb() refuses to ablate what is no single activation", () => {
  const refused = (nodeIndex: Node) => batchOf({ nodeAblations: [{ nodeIndex, value: 0 }] });
  assert.throws(() => refused({ ...neuron, nodeType: "layer" }), /nodeType "layer".*mlp_neuron/);
  assert.throws(() => refused(head([2, 3])), /\[2,3\].*"attention_head"/);
  assert.throws(() => refused(head([2, null, 3])), /\[2,null,3\].*"attention_head"/);
});

Deno.test("attentionScalars() sums rows in and columns out, and normalizes what is positive", () => {
  const x = [[4], [-1, 2], [3, -5, 1]];
  const [first, second, third] = attentionScalars(["a", "b", "c"], (q, k) => x[q]![k]!);
  assert.deepEqual(second!.scalars, [-1, 2]);
  assert.deepEqual([first!.totalScalarIn, second!.totalScalarIn, third!.totalScalarIn], [4, 1, -1]);
  assert.deepEqual([first!.maxScalarIn, second!.maxScalarIn, third!.maxScalarIn], [4, 2, 3]);
  assert.deepEqual([first!.totalScalarOut, second!.totalScalarOut], [6, -3]);
  assert.deepEqual([first!.maxScalarOut, second!.maxScalarOut], [4, 2]);
  assert.deepEqual(second!.normalizedScalars, [0, 2 / (4 - 1e-5)]);
  assert.equal(third!.normalizedTotalScalarIn, 0);
  assert.equal(first!.normalizedTotalScalarOut, 6 / (6 - 1e-5));
  for (const { normalizedScalars } of attentionScalars(["a", "b"], () => -1)) {
    assert.deepEqual(normalizedScalars.map(Math.abs).every((value) => value === 0), true);
  }
});
