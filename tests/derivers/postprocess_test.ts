import assert from "node:assert/strict";

import { type DerivedRun, deriveScalars } from "../../derivers/derive.ts";
import {
  postprocessorNeeds,
  residualReads,
  residualWrites,
  tokenPairAttributions,
  tokenReads,
  tokenWrites,
} from "../../derivers/postprocess.ts";
import type { DstRequest, NodeIndex } from "../../derivers/request.ts";
import { loadModel, type Model } from "../../engine/model/model.ts";
import { assertClose } from "../support/assert_close.ts";
import { goldenModelPath } from "../support/golden.ts";
import { gpuTest } from "../support/gpu.ts";

const tokens = [5, 17, 3, 60, 22, 41];
const attnTopK = "ae_resid_delta_attn_topk";
const mlpTopK = "ae_mlp_post_act_topk";

function node(
  nodeType: NodeIndex["nodeType"],
  layerIndex: number | null,
  tensorIndices: NodeIndex["tensorIndices"],
): NodeIndex {
  return { nodeType, layerIndex, tensorIndices, passType: "forward" };
}

async function runWith(
  model: Model,
  { names = [], dsts = [], locations }: {
    names?: string[];
    dsts?: DstRequest[];
    locations?: string[];
  } = {},
): Promise<DerivedRun> {
  const autoencoders = names.map((name) => ({ name }));
  using empty = await deriveScalars(model, { tokens, autoencoders, dsts: [] });
  const needed = new Set(postprocessorNeeds(empty.run.facts).map(({ location }) => location));
  const saveActivations = [...needed]
    .filter((location) => locations?.includes(location) ?? true)
    .map((activationLocationType) => ({ activationLocationType, passType: "forward" as const }));
  return await deriveScalars(model, { tokens, autoencoders, dsts, saveActivations });
}

gpuTest(
  "residualWrites() of all neurons and heads of a layer add up to its writes",
  async ({ gpu }) => {
    using model = await loadModel(goldenModelPath("tiny"), { gpu });
    using run = await runWith(model, {
      dsts: [
        { dst: "resid_delta_mlp_from_mlp_post_act", config: {} },
        { dst: "attn_write_sum_heads", config: {} },
      ],
    });
    const { nHeads, dMlp, dModel } = model.config;
    const [t, k, layerIndex] = [4, 2, 1];
    const neurons = Array.from({ length: dMlp }, (_, n) => node("mlp_neuron", layerIndex, [t, n]));
    const heads = Array.from(
      { length: nHeads },
      (_, h) => node("attention_head", layerIndex, [t - tokens.length, k, h]),
    );
    const total = async (nodes: NodeIndex[]) => {
      const writes = await residualWrites(run.run, nodes).read();
      const sum = new Float64Array(dModel);
      writes.forEach((value, i) => sum[i % dModel]! += value);
      return sum;
    };
    const wanted = await run.scalars.read();
    const mlp = wanted.get(
      run.scalars.get({ dst: "resid_delta_mlp_from_mlp_post_act", layerIndex }),
    )!;
    const attn = wanted.get(run.scalars.get({ dst: "attn_write_sum_heads", layerIndex }))!;
    assertClose(await total(neurons), mlp.subarray(t * dModel, (t + 1) * dModel));
    const row = t * tokens.length + k;
    assertClose(await total(heads), attn.subarray(row * dModel, (row + 1) * dModel));
  },
);

gpuTest(
  "postprocessors keep the order of nodes of mixed kinds, repeated ones too",
  async ({ gpu }) => {
    using model = await loadModel(goldenModelPath("odd"), { gpu });
    using run = await runWith(model, { names: [mlpTopK, attnTopK] });
    const nodes = [
      node("mlp_autoencoder_latent", 1, [3, 4]),
      node("mlp_neuron", 0, [5, 99]),
      node("attention_autoencoder_latent", 0, [2, 7]),
      node("mlp_neuron", 1, [-1, 3]),
      node("mlp_neuron", 0, [1, 0]),
      node("mlp_autoencoder_latent", 1, [3, 4]),
      node("mlp_neuron", 0, [5, 99]),
    ];
    for (const process of [residualWrites, tokenWrites, residualReads, tokenReads]) {
      const together = process(run.run, nodes);
      const values = await together.read();
      for (const [i, each] of nodes.entries()) {
        const alone = await process(run.run, [each]).read();
        const row = values.subarray(i * together.width, (i + 1) * together.width);
        assertClose(row, alone, { label: `${process.name} ${i}`, rel: 1e-6, abs: 1e-7 });
      }
    }
  },
);

gpuTest("residualReads() of a neuron agree with central differences", async ({ gpu }) => {
  using model = await loadModel(goldenModelPath("tiny"), { gpu });
  using run = await runWith(model);
  const { dModel, dMlp, layerNormEpsilon } = model.config;
  const [layer, t, n] = [1, 3, 77];
  const w = model.weights.layers[layer]!;
  const [gain, wIn, x] = await Promise.all([
    w["ln2.gain"].read(),
    w["mlp.wIn"].read(),
    run.run.activation({ location: "resid.post_attn", layer, pass: "forward" }).read(),
  ]);
  const row = Float64Array.from(x.subarray(t * dModel, (t + 1) * dModel));
  const mean = (v: Float64Array) => v.reduce((a, b) => a + b, 0) / dModel;
  const m = mean(row);
  const scale = Math.sqrt(mean(row.map((v) => (v - m) ** 2)) + layerNormEpsilon);
  const pre = (v: Float64Array) =>
    v.reduce((sum, each, c) => sum + (each - mean(v)) / scale * gain[c]! * wIn[c * dMlp + n]!, 0);
  const want = Float64Array.from(row, (_, c) => {
    const [up, down] = [row.slice(), row.slice()];
    up[c]! += 1e-3;
    down[c]! -= 1e-3;
    return (pre(up) - pre(down)) / 2e-3;
  });
  assertClose(await residualReads(run.run, [node("mlp_neuron", layer, [t, n])]).read(), want);
});

gpuTest(
  "tokenPairAttributions() add up to the latent's pre-activation less its biases",
  async ({ gpu }) => {
    using model = await loadModel(goldenModelPath("odd"), { gpu });
    using run = await runWith(model, {
      names: [attnTopK],
      dsts: [{ dst: "attention_autoencoder_latent", config: {} }],
    });
    const layerIndex = 1;
    const latents = run.scalars.get({ dst: "attention_autoencoder_latent", layerIndex });
    const values = await latents.read();
    const t = 3;
    const nodes = Array.from(
      { length: latents.width },
      (_, i) => node("attention_autoencoder_latent", layerIndex, [t, i]),
    );
    const attributions = await tokenPairAttributions(run.run, nodes);
    const weights = (await model.autoencoder(attnTopK, null)).layers.get(layerIndex)!;
    const [preBias, wEnc, latentBias, bO] = await Promise.all([
      weights.preBias.read(),
      weights.wEnc.read(),
      weights.latentBias.read(),
      model.weights.layers[layerIndex]!["attn.bO"].read(),
    ]);
    let active = 0;
    attributions.forEach((each, i) => {
      const value = values[t * latents.width + i]!;
      if (value <= 0) return assert.equal(each, "inactive");
      active++;
      assert.ok(Array.isArray(each));
      assert.deepEqual(each.slice(t + 1), [0, 0]);
      let want = value - latentBias[i]!;
      bO.forEach((bias, c) => want -= (bias - preBias[c]!) * wEnc[i * bO.length + c]!);
      assertClose([each.reduce((a, b) => a + b, 0)], [want], { rel: 1e-4, abs: 1e-5 });
    });
    assert.ok(active > 0 && active <= 8, `${active} active`);
    const generic = await tokenPairAttributions(
      run.run,
      nodes.map((each) => ({ ...each, nodeType: "autoencoder_latent" as const })),
    );
    assert.deepEqual(generic, attributions);
    assert.deepEqual(await tokenPairAttributions(run.run, []), []);
  },
);

gpuTest("postprocessors free what they made", async ({ gpu }) => {
  using model = await loadModel(goldenModelPath("odd"), { gpu });
  using run = await runWith(model, { names: [attnTopK] });
  const nodes = [node("mlp_neuron", 0, [0, 0]), node("attention_autoencoder_latent", 1, [2, 3])];
  const once = async () => {
    for (const process of [residualWrites, tokenWrites, residualReads, tokenReads]) {
      using result = process(run.run, nodes);
      await result.read();
    }
    await tokenPairAttributions(run.run, nodes.slice(1));
    return gpu.memory().live;
  };
  const live = await once();
  assert.equal(await once(), live);
});

gpuTest(
  "postprocessors refuse nodes that they are not defined for, or that are not there",
  async ({ gpu }) => {
    using model = await loadModel(goldenModelPath("odd"), { gpu });
    using run = await runWith(model, { names: ["ae_mlp_post_act", "ae_resid_delta_attn"] });
    const head = node("attention_head", 0, [1, 0, 2]);
    const refused: [(each: NodeIndex) => unknown, NodeIndex, string, RegExp][] = [
      [(each) => residualReads(run.run, [each]), head, "not_defined", /"attention_head"/],
      [
        (each) => tokenReads(run.run, [each]),
        node("layer", null, [1, 0]),
        "not_defined",
        /"layer"/,
      ],
      [(each) => tokenWrites(run.run, [each]), node("layer", 1, [1, 0]), "not_defined", /layer 1/],
      [
        (each) => residualWrites(run.run, [each]),
        node("qk_channel", 1, [1, 0, 0]),
        "not_defined",
        /"qk_channel"/,
      ],
      [
        (each) => tokenPairAttributions(run.run, [each]),
        node("mlp_autoencoder_latent", 1, [1, 0]),
        "not_defined",
        /"mlp_autoencoder_latent"/,
      ],
      [
        (each) => residualWrites(run.run, [each]),
        node("autoencoder_latent", 1, [1, 0]),
        "generic_name_with_two_autoencoders",
        /"autoencoder_latent"/,
      ],
      [
        (each) => residualWrites(run.run, [each]),
        node("mlp_neuron", 0, [6, 0]),
        "index_out_of_range",
        /index 6 /,
      ],
      [
        (each) => residualWrites(run.run, [each]),
        node("layer", null, [6, 0]),
        "index_out_of_range",
        /index 6 /,
      ],
      [
        (each) => residualWrites(run.run, [each]),
        node("layer", null, ["All", 0]),
        "indices_not_integers",
        /"layer"/,
      ],
      [
        (each) => residualWrites(run.run, [each]),
        node("mlp_neuron", 2, [0, 0]),
        "no_such_layer",
        /2/,
      ],
    ];
    for (const [process, each, code, message] of refused) {
      await assert.rejects(async () => void await process(each), {
        name: "RequestError",
        code,
        message,
      });
    }
  },
);

gpuTest("postprocessors name what the run did not keep", async ({ gpu }) => {
  using model = await loadModel(goldenModelPath("odd"), { gpu });
  using run = await runWith(model, { locations: ["resid.post_emb"] });
  assert.throws(() => residualWrites(run.run, [node("mlp_neuron", 0, [0, 0])]), {
    name: "RequestError",
    code: "not_kept",
    message: /"mlp\.post_act"/,
  });
});
