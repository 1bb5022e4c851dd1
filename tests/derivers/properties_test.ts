import assert from "node:assert/strict";

import type { AblationSpec } from "../../derivers/request.ts";
import type { Model } from "../../engine/model/model.ts";
import type { LocationName, PassType } from "../../engine/tape/locations.ts";
import { assertClose } from "../support/assert_close.ts";
import { createRandom } from "../support/random.ts";
import { derive, lossFnConfig, onEach, T, type Values } from "./derive_values.ts";

function forEachLayer(model: Model, check: (layer: number) => void): void {
  for (let layer = 0; layer < model.config.nLayers; layer++) check(layer);
}

/** Sums of `count` values that lie `stride` apart. */
function sums(x: Values, { rows, count, width }: { rows: number; count: number; width: number }) {
  const out = new Float64Array(rows * width);
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < count; i++) {
      for (let c = 0; c < width; c++) out[r * width + c]! += x[(r * count + i) * width + c]!;
    }
  }
  return out;
}

const ablation = (
  activationLocationType: LocationName,
  tensorIndices: AblationSpec["index"]["tensorIndices"],
  options: { layerIndex?: number | null; value: number; passType?: PassType },
): AblationSpec => {
  const { layerIndex = null, value, passType = "forward" } = options;
  return {
    index: { activationLocationType, passType, tensorIndices, layerIndex },
    value,
  };
};

onEach("the writes of all heads and the bias are what attention writes", async (model) => {
  const { dModel, nHeads } = model.config;
  const run = await derive(model, {
    dsts: ["attn_write", "attn_write_sum_heads", "resid_delta_attn"],
  });
  for (const [layer, weights] of model.weights.layers.entries()) {
    const bias = await weights["attn.bO"].read();
    const want = run.get(`resid_delta_attn/${layer}`).map((value, i) => value - bias[i % dModel]!);
    const perHead = run.get(`attn_write/${layer}`);
    assertClose(sums(perHead, { rows: T, count: T * nHeads, width: dModel }), want);
    const perPair = run.get(`attn_write_sum_heads/${layer}`);
    assertClose(sums(perPair, { rows: T, count: T, width: dModel }), want);
  }
});

onEach("the writes of all neurons and the bias are what the MLP writes", async (model) => {
  const { dModel, dMlp } = model.config;
  const run = await derive(model, {
    dsts: ["mlp_write", "resid_delta_mlp", "resid_delta_mlp_from_mlp_post_act"],
  });
  for (const [layer, weights] of model.weights.layers.entries()) {
    const bias = await weights["mlp.bOut"].read();
    const want = run.get(`resid_delta_mlp/${layer}`).map((value, i) => value - bias[i % dModel]!);
    assertClose(sums(run.get(`mlp_write/${layer}`), { rows: T, count: dMlp, width: dModel }), want);
    assertClose(run.get(`resid_delta_mlp_from_mlp_post_act/${layer}`), want);
  }
});

onEach(
  "a layer's residual is the one before it, what attention wrote and what the MLP wrote",
  async (model) => {
    const run = await derive(model, {
      dsts: [
        "previous_layer_resid_post_mlp",
        "resid_delta_attn",
        "resid_delta_mlp",
        "resid_post_mlp",
      ],
    });
    forEachLayer(model, (layer) => {
      const attn = run.get(`resid_delta_attn/${layer}`);
      const mlp = run.get(`resid_delta_mlp/${layer}`);
      const sum = run.get(`previous_layer_resid_post_mlp/${layer}`)
        .map((value, i) => value + attn[i]! + mlp[i]!);
      assertClose(run.get(`resid_post_mlp/${layer}`), sum, { rel: 1e-6 });
    });
  },
);

onEach("the pattern of each query and head sums to 1, and nothing looks ahead", async (model) => {
  const { nHeads } = model.config;
  const run = await derive(model, { dsts: ["attn_qk_probs"] });
  forEachLayer(model, (layer) => {
    const probs = run.get(`attn_qk_probs/${layer}`);
    const total = sums(probs, { rows: T, count: T, width: nHeads });
    assertClose(total, total.map(() => 1), { rel: 1e-6 });
    probs.forEach((value, i) => {
      const [q, k] = [Math.floor(i / nHeads / T), Math.floor(i / nHeads) % T];
      if (k > q) assert.equal(value, 0);
    });
  });
});

onEach("gradients are the slopes of the loss between ablated values", async (model) => {
  const { nLayers, dModel, dMlp } = model.config;
  const locations = ["resid.post_emb", "resid.post_mlp", "mlp.post_act", "attn.v"] as const;
  const plain = await derive(model, { lossFnConfig, save: locations, gradients: locations });
  const random = createRandom(5);
  for (const location of locations) {
    const layer = location === "resid.post_emb" ? null : random.integer(nLayers);
    const width = location === "mlp.post_act" ? dMlp : dModel;
    const at = [random.integer(T), random.integer(width)] as const;
    const key = `${location}/${layer ?? "none"}`;
    const place = at[0] * width + at[1];
    const value = plain.get(key)[place]!;
    const { dHead } = model.config;
    const indices = location === "attn.v"
      ? [at[0], Math.floor(at[1] / dHead), at[1] % dHead]
      : [...at];
    const h = 0.05;
    const lossAt = async (to: number) => {
      const ablationSpecs = [ablation(location, indices, { layerIndex: layer, value: to })];
      return (await derive(model, { lossFnConfig, ablationSpecs })).loss!;
    };
    // fourth order, so that the step can be large beside the rounding of the loss
    const slope = (8 * (await lossAt(value + h) - await lossAt(value - h)) -
      (await lossAt(value + 2 * h) - await lossAt(value - 2 * h))) / (12 * h);
    assertClose([slope], [plain.get(`gradient of ${key}`)[place]!], {
      rel: 2e-3,
      abs: 1e-4,
      label: `${key}[${indices}]`,
    });
  }
});

onEach("activations times gradients sum to the directional derivative", async (model) => {
  // along the embedding itself: d loss((1 + s) x) / ds, by ablating one row to (1 ± h) times it
  const { dModel } = model.config;
  const plain = await derive(model, {
    lossFnConfig,
    dsts: ["token_attribution"],
    save: ["resid.post_emb"],
  });
  const row = 3;
  const x = plain.get("resid.post_emb/none").subarray(row * dModel, (row + 1) * dModel);
  const lossAt = async (factor: number) => {
    const ablationSpecs = [...x].map((value, c) =>
      ablation("resid.post_emb", [row, c], { value: factor * value })
    );
    return (await derive(model, { lossFnConfig, ablationSpecs })).loss!;
  };
  const h = 0.02;
  const slope = (8 * (await lossAt(1 + h) - await lossAt(1 - h)) -
    (await lossAt(1 + 2 * h) - await lossAt(1 - 2 * h))) / (12 * h);
  assertClose([slope], [plain.get("token_attribution/none")[row]!], { rel: 2e-3, abs: 2e-4 });
});

onEach("ablating a neuron or a head that writes 0 changes nothing", async (model) => {
  const dsts = ["resid_post_mlp", "logits"] as const;
  // above the diagonal a head writes nothing; a neuron set to 0 stays at 0
  const zero = ablation("mlp.post_act", [2, 5], { layerIndex: 0, value: 0 });
  const ahead = ablation("attn.qk_probs", [1, 4, "All"], { value: 0 });
  const plain = await derive(model, { dsts });
  const same = await derive(model, { dsts, ablationSpecs: [ahead] });
  const once = await derive(model, { dsts, ablationSpecs: [zero] });
  const twice = await derive(model, { dsts, ablationSpecs: [zero, zero] });
  assert.deepEqual(twice.get("logits/none"), once.get("logits/none"));
  assertClose(same.get("logits/none"), plain.get("logits/none"), { rel: 2e-6 });
  forEachLayer(model, (layer) =>
    assertClose(
      same.get(`resid_post_mlp/${layer}`),
      plain.get(`resid_post_mlp/${layer}`),
      { rel: 2e-6 },
    ));
});

onEach("the last of several ablations of an entry counts", async (model) => {
  const whole = ablation("resid.post_attn", [1, "All"], { layerIndex: 0, value: 3 });
  const one = ablation("resid.post_attn", [-5, -1], { layerIndex: 0, value: -2 });
  const dsts = ["resid_post_attn"] as const;
  const { dModel } = model.config;
  const rowOf = async (ablationSpecs: AblationSpec[]) =>
    (await derive(model, { dsts, ablationSpecs })).get("resid_post_attn/0")
      .subarray(dModel, 2 * dModel);
  const threes = new Float32Array(dModel).fill(3);
  assert.deepEqual(await rowOf([one, whole]), threes);
  assert.deepEqual(await rowOf([whole, one]), threes.with(-1, -2));
});

onEach("what is ablated at a position leaves those before it as they were", async (model) => {
  const dsts = ["logits", "resid_post_mlp"] as const;
  const { dVocab } = model.config;
  const plain = await derive(model, { dsts });
  const ablated = await derive(model, {
    dsts,
    ablationSpecs: [ablation("attn.v", [4, "All", 0], { value: 2 })],
  });
  const before = (values: Values) => values.subarray(0, 4 * dVocab);
  assert.deepEqual(before(ablated.get("logits/none")), before(plain.get("logits/none")));
  assert.notDeepEqual(ablated.get("logits/none"), plain.get("logits/none"));
});

onEach("a gradient after the final residual counts along it at its own token", async (model) => {
  const { dModel, dMlp, nHeads, nLayers } = model.config;
  const run = await derive(model, {
    lossFnConfig,
    ablationSpecs: [ablation("logits", [0, 3], { value: 0.5, passType: "backward" })],
    dsts: [
      "mlp_write",
      "attn_write",
      "mlp_write_to_final_residual_grad",
      "unflattened_attn_write_to_final_residual_grad",
    ],
    gradients: ["resid.post_mlp"],
  });
  const g = run.get(`gradient of resid.post_mlp/${nLayers - 1}`).subarray(0, dModel);
  assert.ok(g.some((each) => each !== 0));
  const along = (writes: Values, rows: number) =>
    sums(writes.subarray(0, rows * dModel).map((x, i) => x * g[i % dModel]!), {
      rows,
      count: dModel,
      width: 1,
    });
  forEachLayer(model, (layer) => {
    assertClose(
      run.get(`mlp_write_to_final_residual_grad/${layer}`).subarray(0, dMlp),
      along(run.get(`mlp_write/${layer}`), dMlp),
    );
    assertClose(
      run.get(`unflattened_attn_write_to_final_residual_grad/${layer}`).subarray(0, T * nHeads),
      along(run.get(`attn_write/${layer}`), T * nHeads),
    );
  });
});
