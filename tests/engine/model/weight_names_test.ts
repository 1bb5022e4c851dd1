import assert from "node:assert/strict";
import { SafetensorsError } from "../../../engine/errors.ts";
import { type Checkpoint, openCheckpoint } from "../../../engine/model/checkpoint.ts";
import { type ModelConfig, parseModelConfig } from "../../../engine/model/config.ts";
import { folderOf, readJson } from "../../../engine/model/source.ts";
import {
  globalWeightNames,
  layerWeightNames,
  resolveWeights,
} from "../../../engine/model/weight_names.ts";
import { craft, entry, openBytes } from "./craft.ts";

const config: ModelConfig = {
  nLayers: 2,
  nHeads: 2,
  dModel: 4,
  dHead: 2,
  dMlp: 6,
  dVocab: 5,
  nCtx: 3,
  layerNormEpsilon: 1e-5,
  tiedUnembedding: false,
};

/** Shapes of all tensors of a model of that size, under Hugging Face's names. */
function allShapes(): Record<string, number[]> {
  const shapes: Record<string, number[]> = { "wte.weight": [5, 4], "wpe.weight": [3, 4] };
  for (const l of [0, 1]) {
    shapes[`h.${l}.ln_1.weight`] = [4];
    shapes[`h.${l}.ln_1.bias`] = [4];
    shapes[`h.${l}.attn.c_attn.weight`] = [4, 12];
    shapes[`h.${l}.attn.c_attn.bias`] = [12];
    shapes[`h.${l}.attn.c_proj.weight`] = [4, 4];
    shapes[`h.${l}.attn.c_proj.bias`] = [4];
    shapes[`h.${l}.ln_2.weight`] = [4];
    shapes[`h.${l}.ln_2.bias`] = [4];
    shapes[`h.${l}.mlp.c_fc.weight`] = [4, 6];
    shapes[`h.${l}.mlp.c_fc.bias`] = [6];
    shapes[`h.${l}.mlp.c_proj.weight`] = [6, 4];
    shapes[`h.${l}.mlp.c_proj.bias`] = [4];
  }
  return { ...shapes, "ln_f.weight": [4], "ln_f.bias": [4], "lm_head.weight": [5, 4] };
}

/** A checkpoint with tensors of these shapes; F32 unless it says otherwise. */
async function checkpointOf(
  shapes: Record<string, number[]>,
  dtypes: Record<string, string> = {},
): Promise<Checkpoint> {
  const bytesOf: Record<string, number> = { F32: 4, F16: 2, BF16: 2, I64: 8, U8: 1, BOOL: 1 };
  let end = 0;
  const header = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const dtype = dtypes[name] ?? "F32";
      const begin = end;
      end += shape.reduce((product, dim) => product * dim, bytesOf[dtype]!);
      return [name, entry(dtype, shape, begin, end)];
    }),
  );
  const file = await openBytes(craft(header, { data: new Uint8Array(end) }));
  return {
    path: "model.safetensors",
    tensors: new Map([...file.tensors].map(([name, info]) => [name, { file, info }])),
  };
}

/** Asserts that loading fails with exactly these problems. */
async function assertRefused(
  { checkpoint, problems }: { checkpoint: Checkpoint; problems: string },
  modelConfig = config,
): Promise<void> {
  await assert.rejects(
    () => Promise.try(resolveWeights, checkpoint, modelConfig),
    (error) => {
      assert.ok(error instanceof SafetensorsError);
      assert.equal(error.message, `Cannot load weights from "model.safetensors": ${problems}`);
      return true;
    },
  );
}

const without = (...names: string[]) =>
  Object.fromEntries(Object.entries(allShapes()).filter(([name]) => !names.includes(name)));

Deno.test("resolveWeights() finds every weight under its Hugging Face name", async () => {
  const weights = resolveWeights(await checkpointOf(allShapes()), config);
  assert.deepEqual(weights.global, {
    wE: "wte.weight",
    wPos: "wpe.weight",
    "lnF.gain": "ln_f.weight",
    "lnF.bias": "ln_f.bias",
    wU: "lm_head.weight",
  });
  assert.equal(weights.layers.length, 2);
  assert.deepEqual(weights.layers[1], {
    "ln1.gain": "h.1.ln_1.weight",
    "ln1.bias": "h.1.ln_1.bias",
    "attn.wQkv": "h.1.attn.c_attn.weight",
    "attn.bQkv": "h.1.attn.c_attn.bias",
    "attn.wO": "h.1.attn.c_proj.weight",
    "attn.bO": "h.1.attn.c_proj.bias",
    "ln2.gain": "h.1.ln_2.weight",
    "ln2.bias": "h.1.ln_2.bias",
    "mlp.wIn": "h.1.mlp.c_fc.weight",
    "mlp.bIn": "h.1.mlp.c_fc.bias",
    "mlp.wOut": "h.1.mlp.c_proj.weight",
    "mlp.bOut": "h.1.mlp.c_proj.bias",
  });
});

Deno.test("resolveWeights() accepts the prefix transformer. on all names but that of lm_head.weight", async () => {
  const shapes = Object.fromEntries(
    Object.entries({ ...allShapes(), "h.0.attn.bias": [1, 1, 3, 3] }).map(([name, shape]) => [
      name === "lm_head.weight" ? name : `transformer.${name}`,
      shape,
    ]),
  );
  const weights = resolveWeights(await checkpointOf(shapes), config);
  assert.equal(weights.global.wE, "transformer.wte.weight");
  assert.equal(weights.global.wU, "lm_head.weight");
  assert.equal(weights.layers[0]!["mlp.wIn"], "transformer.h.0.mlp.c_fc.weight");
});

Deno.test("resolveWeights() takes the embedding as a tied unembedding, whether lm_head.weight is there or not", async () => {
  const tied = { ...config, tiedUnembedding: true };
  for (const shapes of [allShapes(), without("lm_head.weight")]) {
    const { global } = resolveWeights(await checkpointOf(shapes), tied);
    assert.equal(global.wU, "wte.weight");
  }
});

Deno.test("resolveWeights() misses lm_head.weight if the unembedding is not tied", async () => {
  await assertRefused({
    checkpoint: await checkpointOf(without("lm_head.weight")),
    problems: 'missing tensors are "lm_head.weight"',
  });
});

Deno.test("resolveWeights() ignores causal masks of any dtype", async () => {
  const checkpoint = await checkpointOf({
    ...allShapes(),
    "h.0.attn.bias": [1, 1, 3, 3],
    "h.1.attn.bias": [1, 1, 3, 3],
    "h.1.attn.masked_bias": [],
  }, { "h.0.attn.bias": "BOOL", "h.1.attn.bias": "U8" });
  resolveWeights(checkpoint, config);
});

Deno.test("resolveWeights() accepts weights of F16 and BF16", async () => {
  const dtypes = { "wte.weight": "F16", "h.0.ln_1.bias": "BF16" };
  resolveWeights(await checkpointOf(allShapes(), dtypes), config);
});

Deno.test("resolveWeights() names all missing, extra, misshapen and integer tensors in one error", async () => {
  const shapes: Record<string, number[]> = {
    ...without("wpe.weight", "h.1.mlp.c_fc.bias"),
    "wte.weight": [4, 5],
    "h.0.attn.c_attn.weight": [12, 4],
    "h.2.ln_1.weight": [4],
    "score.weight": [2, 4],
  };
  await assertRefused({
    checkpoint: await checkpointOf(shapes, { "ln_f.bias": "I64" }),
    problems: 'missing tensors are "wpe.weight", "h.1.mlp.c_fc.bias"; ' +
      'extra tensors are "h.2.ln_1.weight", "score.weight"; ' +
      'misshapen tensors are "wte.weight" (current [4, 5], wanted [5, 4]), ' +
      '"h.0.attn.c_attn.weight" (current [12, 4], wanted [4, 12]); ' +
      'not float tensors are "ln_f.bias" (I64)',
  });
});

Deno.test("resolveWeights() counts the names that it does not show", async () => {
  const shapes = Object.fromEntries(
    Object.entries(allShapes()).filter(([name]) => !name.startsWith("h.1.")),
  );
  await assert.rejects(
    async () => resolveWeights(await checkpointOf(shapes), config),
    /missing tensors are "h\.1\.ln_1\.weight", .*"h\.1\.ln_2\.bias" \(\+4 more\)$/,
  );
});

Deno.test("resolveWeights() uses every tensor of the golden models once", async () => {
  for (const model of ["tiny", "odd"]) {
    const folder = folderOf(new URL(`../../golden/models/${model}/`, import.meta.url));
    const checkpoint = await openCheckpoint(folder);
    const json = await readJson((await folder.open("config.json"))!);
    const { global, layers } = resolveWeights(checkpoint, parseModelConfig(json, model));
    const used = [
      ...globalWeightNames.map((name) => global[name]),
      ...layers.flatMap((layer) => layerWeightNames.map((name) => layer[name])),
    ];
    assert.deepEqual(used.sort(), [...checkpoint.tensors.keys()].sort());
  }
});
