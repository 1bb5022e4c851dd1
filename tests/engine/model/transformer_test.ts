import assert from "node:assert/strict";

import { RequestError } from "../../../engine/errors.ts";
import type { Gpu } from "../../../engine/gpu/gpu.ts";
import { loadModel } from "../../../engine/model/model.ts";
import { locationNames, locations } from "../../../engine/tape/locations.ts";
import { rowLosses } from "../../../engine/tape/ops/loss.ts";
import { scale } from "../../../engine/tape/ops/elementwise.ts";
import { overwrite } from "../../../engine/tape/ops/slice.ts";
import { type Hook, type SlotKey, slotKey } from "../../../engine/tape/slots.ts";
import { Tape } from "../../../engine/tape/tape.ts";
import { readTensors } from "../../../engine/tape/tensor.ts";
import { runRefModel } from "../../reference/model.ts";
import { readRefModel } from "../../reference/model_weights.ts";
import { assertClose } from "../../support/assert_close.ts";
import { goldenModelPath } from "../../support/golden.ts";
import { gpuTest, readBits } from "../../support/gpu.ts";

const tokens = [11, 3, 3, 60, 7];

const load = (gpu: Gpu, name = "tiny") => loadModel(goldenModelPath(name), { gpu });

/** A hook everywhere that an activation of the model itself is, none of them changing it. */
function watchers(seen: string[]): Hook[] {
  return locationNames.filter((name) => !name.includes("autoencoder")).map((location) => ({
    location,
    pass: "forward",
    run(_, point) {
      seen.push(slotKey(point.location, point.layer));
    },
  }));
}

const ofLayer = (layer: number) =>
  [
    "attn_ln.scale",
    "resid.post_mlp_ln",
    "attn.q",
    "attn.k",
    "attn.v",
    "attn.qk_logits",
    "attn.qk_probs",
    "attn.v_out",
    "resid.delta_attn",
    "resid.post_attn",
    "mlp_ln.scale",
    "resid.post_attn_ln",
    "mlp.pre_act",
    "mlp.post_act",
    "resid.delta_mlp",
    "resid.post_mlp",
  ].map((name) => `${name}/${layer}`);

const around = (layers: readonly string[]) => [
  "resid.post_emb/none",
  ...layers,
  "resid.ln_f.scale/none",
  "resid.post_ln_f/none",
  "logits/none",
];

for (const [name, nLayers] of [["odd", 2], ["tiny", 3]] as const) {
  gpuTest(`Model.forward() visits its slots in this order: ${nLayers} layers`, async ({ gpu }) => {
    using model = await load(gpu, name);
    const seen: string[] = [];
    using _run = model.forward(tokens, { hooks: watchers(seen) });
    const layers = Array.from({ length: nLayers }, (_, layer) => ofLayer(layer)).flat();
    assert.deepEqual(seen, around(layers));
  });
}

for (const name of ["odd", "tiny"]) {
  gpuTest(`Model.forward() agrees with the float64 model at every slot: ${name}`, async (test) => {
    using model = await load(test.gpu, name);
    const want = runRefModel(readRefModel(name), { tokens, ablations: [], autoencoders: [] });
    const save = new Set([...want.activations.keys()] as SlotKey[]);
    using run = model.forward(tokens, { save });
    assert.deepEqual([...run.slots.saved.keys()], [...save]);
    const values = await readTensors([...run.slots.saved.values()]);
    [...save].forEach((key, i) =>
      assertClose(values[i]!, want.activations.get(key)!.data, { label: key })
    );
    assertClose(await run.logits.read(), want.logits.data, { label: "logits" });
  });
}

gpuTest(
  "Model.forward() gives the fused attention what it gives when somebody looks",
  async (test) => {
    using model = await load(test.gpu);
    using fused = model.forward(tokens);
    using watched = model.forward(tokens, { hooks: watchers([]) });
    assertClose(await fused.logits.read(), await watched.logits.read(), { rel: 2e-6 });
  },
);

gpuTest(
  "Model.forward() gives the same bits whoever looks between a product and what follows it",
  async ({ gpu, arena }) => {
    using model = await load(gpu);
    const gradients = new Set<SlotKey>(["resid.post_emb/none"]);
    const coefficients = Float32Array.from({ length: model.config.dVocab }, (_, v) => v % 5);
    const resultsOf = async (hooks: Hook[], withTape: boolean) => {
      const tape = withTape ? { tape: new Tape(), gradients } : {};
      using run = model.forward(tokens, { hooks, ...tape });
      if (tape.tape === undefined) return await readBits([run.logits]);
      const loss = rowLosses(run.context, run.logits, [{ row: 4, kind: "linear", coefficients }]);
      const embedded = run.slots.watched.get("resid.post_emb/none")!;
      const found = tape.tape.backward(run.context, {
        seeds: [[loss, arena.upload(Float32Array.of(1), [1], "seed")]],
        wanted: new Set([embedded]),
      });
      return await readBits([run.logits, found.get(embedded)!]);
    };
    const between = ["resid.delta_attn", "mlp.pre_act", "resid.delta_mlp"] as const;
    const looking = between.map((location): Hook => ({ location, pass: "forward", run() {} }));
    for (const withTape of [false, true]) {
      const fused = await resultsOf([], withTape);
      for (const hooks of [looking, ...looking.map((hook) => [hook])]) {
        assert.deepEqual(await resultsOf(hooks, withTape), fused);
      }
    }
  },
);

gpuTest(
  "Model.forward() computes the logits of all positions, the last ones, or none",
  async (test) => {
    using model = await load(test.gpu);
    const batch = [tokens, [1], [2, 4]];
    const { dVocab } = model.config;
    using all = model.forward(batch);
    using last = model.forward(batch, { logits: "last" });
    using none = model.forward(batch, { logits: "none" });
    assert.deepEqual(all.logits.shape, [8, dVocab]);
    assert.deepEqual(last.logits.shape, [3, dVocab]);
    assert.throws(() => none.logits, { message: /were not computed/ });
    const [whole, ends] = await readTensors([all.logits, last.logits]);
    for (const [s, row] of [4, 5, 7].entries()) {
      const want = whole!.subarray(row * dVocab, (row + 1) * dVocab);
      assertClose(ends!.subarray(s * dVocab, (s + 1) * dVocab), want, { rel: 1e-6, label: `${s}` });
    }
  },
);

gpuTest(
  "Model.forward() takes what a hook gives back for everything downstream, nothing upstream",
  async (test) => {
    using model = await load(test.gpu);
    const replaced = { location: "mlp.post_act", layer: 1 } as const;
    const double: Hook = { ...replaced, pass: "forward", run: (x, at) => scale(at.context, x, 2) };
    const all = new Set(
      around(Array.from({ length: 3 }, (_, layer) => ofLayer(layer)).flat()) as SlotKey[],
    );
    using plain = model.forward(tokens, { save: all });
    using hooked = model.forward(tokens, { save: all, hooks: [double] });
    const keys = [...plain.slots.saved.keys()];
    const before = await readTensors([...plain.slots.saved.values()]);
    const after = await readTensors([...hooked.slots.saved.values()]);
    const changed = keys.indexOf(slotKey("mlp.post_act", 1));
    keys.forEach((key, i) => {
      if (i < changed) assert.deepEqual(after[i], before[i], key);
      else assert.notDeepEqual(after[i], before[i], key);
    });
    assert.deepEqual(after[changed], before[changed]!.map((value) => 2 * value));
  },
);

gpuTest("Model.forward() keeps rows before an overwritten position as they were", async (test) => {
  using model = await load(test.gpu);
  const ablate: Hook = {
    location: "resid.post_attn",
    layer: 0,
    pass: "forward",
    run: (x, { context }) =>
      overwrite(context, x, {
        region: { start: 0, shape: x.shape, first: [3, 0], count: [1, 5] },
        value: 1,
      }),
  };
  using plain = model.forward(tokens);
  using ablated = model.forward(tokens, { hooks: [ablate] });
  const [before, after] = await readTensors([plain.logits, ablated.logits]);
  const { dVocab } = model.config;
  assert.deepEqual(after!.subarray(0, 3 * dVocab), before!.subarray(0, 3 * dVocab));
  for (const row of [3, 4]) {
    const part = [row * dVocab, (row + 1) * dVocab] as const;
    assert.notDeepEqual(after!.subarray(...part), before!.subarray(...part), `row ${row}`);
  }
});

gpuTest("Model.forward() with a tape passes gradients through backward hooks", async (test) => {
  const { context, arena } = test;
  using model = await load(test.gpu);
  const { dVocab } = model.config;
  const gradients = new Set<SlotKey>(["resid.post_mlp/0", "resid.post_mlp/1"]);
  const coefficients = Float32Array.from({ length: dVocab }, (_, v) => v === 9 ? 1 : 0);
  const gradientsWith = async (hooks: Hook[]) => {
    const tape = new Tape();
    using run = model.forward(tokens, { tape, gradients, hooks });
    const loss = rowLosses(run.context, run.logits, [{ row: 4, kind: "linear", coefficients }]);
    const wanted = [...run.slots.watched.values()];
    const found = tape.backward(context, {
      seeds: [[loss, arena.upload(Float32Array.of(1), [1], "seed")]],
      wanted: new Set(wanted),
    });
    run.slots.checkFired(["backward"]);
    return await readTensors(wanted.map((tensor) => found.get(tensor)!));
  };
  const [lower, upper] = await gradientsWith([]);
  const [halved, same] = await gradientsWith([{
    location: "resid.post_mlp",
    layer: 1,
    pass: "backward",
    run: (dy, at) => scale(at.context, dy, 0.5),
  }]);
  assert.deepEqual(same, upper);
  assertClose(halved!, lower!.map((value) => value / 2), { rel: 1e-6 });
});

gpuTest(
  "Model.forward() names a hook that never fired, and tokens that do not exist",
  async (test) => {
    using model = await load(test.gpu);
    const hooks: Hook[] = [{
      location: "online_mlp_autoencoder_latent",
      pass: "forward",
      run() {},
    }];
    assert.throws(() => model.forward(tokens, { hooks }), { message: /never fired.*online_mlp/s });
    for (const wrong of [[], [97], [-1], Array.from({ length: 33 }, () => 1)]) {
      assert.throws(() => model.forward(wrong), RequestError);
    }
  },
);

gpuTest(
  "Model.forward() visits every location of the table where all are asked for",
  async (test) => {
    using model = await load(test.gpu);
    const autoencoders = [
      await model.autoencoder("ae_mlp_post_act", null),
      await model.autoencoder("ae_resid_delta_attn", [1]),
    ];
    const seen: string[] = [];
    const hooks = locationNames.filter((name) => locations[name].perLayer).map((
      location,
    ): Hook => ({
      location,
      pass: "after",
      run(_, { layer }) {
        if (layer === 1) seen.push(location);
      },
    })).filter(({ location }) =>
      location !== "online_autoencoder_latent" &&
      location !== "online_residual_mlp_autoencoder_error"
    );
    using _run = model.forward(tokens, { hooks, autoencoders });
    const inOrder = ofLayer(1).map((key) => key.split("/")[0]!);
    inOrder.splice(
      inOrder.indexOf("resid.delta_attn") + 1,
      0,
      "online_attention_autoencoder_latent",
      "online_residual_attention_autoencoder_error",
    );
    inOrder.splice(
      inOrder.indexOf("mlp.post_act") + 1,
      0,
      "online_mlp_autoencoder_latent",
      "online_mlp_autoencoder_error",
    );
    assert.deepEqual(seen, inOrder);
  },
);
