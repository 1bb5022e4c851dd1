import assert from "node:assert/strict";

import {
  storeFromJson,
  storesFromSafetensors,
  storesToSafetensors,
  storeTensors,
  storeToJson,
} from "../../derivers/serialise.ts";
import type { ScalarStore, ScalarTensor } from "../../derivers/scalar_store.ts";
import { nestedSum, sumOf } from "../../derivers/sums.ts";
import { writeSafetensors } from "../../engine/model/safetensors_write.ts";
import { gpuTest } from "../support/gpu.ts";
import { gpuStore, hostStore, madeUp } from "./stores.ts";

// Not in the order of the table: the order of the request is kept.
const scalars = [
  madeUp("token_attribution", null, { shape: [2, 1], value: (i) => i + 0.1 }),
  madeUp("mlp_post_act", 1, { shape: [2, 3], value: (i) => i }),
  madeUp("mlp_post_act", 0, { shape: [2, 3], value: (i) => -1 - i }),
  madeUp("mlp_post_act", 0, { shape: [2, 3], value: () => 7, passType: "backward" }),
  madeUp("attn_qk_logits", 0, {
    shape: [2, 2, 1],
    value: (i) => [1, -Infinity, Infinity, NaN][i]!,
  }),
];

async function contentOf(store: ScalarStore<ScalarTensor>) {
  const values = await store.read();
  return store.entries.map(({ tensor, ...key }) => ({
    ...key,
    shape: [...tensor.shape],
    values: [...values.get(tensor)!],
  }));
}

gpuTest("storesToSafetensors() and back keeps everything, order included", async ({ arena }) => {
  const stores = [gpuStore(arena, scalars), hostStore(scalars.slice(0, 2))];
  const more = [["b0/loss", { shape: [], data: Float32Array.of(0.5) }]] as const;
  const bytes = await storesToSafetensors(stores, more);
  const back = await storesFromSafetensors(bytes);
  assert.equal(back.length, 2);
  for (const [i, store] of stores.entries()) {
    assert.deepEqual(await contentOf(back[i]!), await contentOf(store));
  }
});

gpuTest("storeToJson() and back keeps everything, through text", async ({ arena }) => {
  const store = gpuStore(arena, scalars);
  const json = await storeToJson(store);
  assert.deepEqual(json.scalars[4]!.values, [1, "-inf", "inf", "nan"]);
  assert.deepEqual(
    await contentOf(storeFromJson(JSON.parse(JSON.stringify(json)))),
    await contentOf(store),
  );
});

Deno.test("a store read from a file gives values, top entries and sums", async () => {
  const finite = hostStore(scalars.slice(0, 4));
  const [store] = await storesFromSafetensors(await storesToSafetensors([finite]));
  assert.deepEqual([...store!.get({ dst: "mlp_post_act", layerIndex: 1 }).values], [
    0,
    1,
    2,
    3,
    4,
    5,
  ]);
  assert.deepEqual(await store!.topk(2), await finite.topk(2));
  assert.deepEqual(
    (await store!.topk(1, { largest: false })).map(({ node, value }) => [node, value]),
    [[
      {
        nodeType: "mlp_neuron",
        layerIndex: 0,
        tensorIndices: [1, 2],
        passType: "forward",
      },
      -6,
    ]],
  );
  assert.equal(nestedSum(await sumOf(store!, { dsts: ["mlp_post_act"] })), -6);
});

Deno.test("storeTensors() names tensors as the golden data does, with a prefix", async () => {
  const store = hostStore(scalars.slice(0, 2));
  const names = async (options?: { prefix: string }) =>
    (await storeTensors(store, options)).map(([name]) => name);
  assert.deepEqual(await names(), [
    "b0/token_attribution/forward/none",
    "b0/mlp_post_act/forward/1",
  ]);
  assert.equal((await names({ prefix: "run/b3" }))[0], "run/b3/token_attribution/forward/none");
});

Deno.test("storesFromSafetensors() reads files of others, in the order of the table", async () => {
  const data = Float32Array.of(1, 2);
  const shape = [1, 2];
  const bytes = writeSafetensors([
    ["b0/mlp_post_act/forward/10", { shape, data }],
    ["b0/mlp_post_act/forward/9", { shape, data }],
    ["b0/logits/forward/none", { shape, data }],
    ["b0/raw/mlp.post_act/forward/0", { shape, data }],
    ["b0/loss", { shape: [], data: Float32Array.of(1) }],
    ["something else", { shape, data }],
  ]);
  const [store] = await storesFromSafetensors(bytes);
  assert.deepEqual(
    store!.entries.map(({ dst, layerIndex }) => [dst, layerIndex]),
    [["logits", null], ["mlp_post_act", 9], ["mlp_post_act", 10]],
  );
});

Deno.test("storesFromSafetensors() refuses an order that is not that of the file", async () => {
  const tensor = { shape: [1, 1], data: Float32Array.of(1) };
  for (const order of ["[]", "not JSON", '["b0/logits/forward/none","b0/logits/forward/none"]']) {
    const bytes = writeSafetensors([["b0/logits/forward/none", tensor]], { scalars: order });
    await assert.rejects(storesFromSafetensors(bytes), {
      name: "SafetensorsError",
      message: /metadata "scalars" must list the 1 scalars/,
    });
  }
});

Deno.test("storeFromJson() refuses malformed JSON, naming all that is wrong", () => {
  const entry = { passType: "forward", layerIndex: null, shape: [2], values: [1] };
  assert.throws(() => storeFromJson({ scalars: [{ dst: "logitz", ...entry }] }, "a.json"), {
    name: "RequestError",
    code: "malformed_store",
    message: /"a.json".*logitz/,
  });
  assert.throws(() => storeFromJson({ scalars: [{ dst: "logits", ...entry }] }), {
    name: "RequestError",
    code: "malformed_store",
    message: /values/,
  });
});
