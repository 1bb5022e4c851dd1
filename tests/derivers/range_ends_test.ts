import assert from "node:assert/strict";

import { ravel, unravel } from "../../derivers/indices.ts";
import { readEntries } from "../../derivers/range_ends.ts";
import type { ScalarStore, ScalarTensor } from "../../derivers/scalar_store.ts";
import { gpuTest } from "../support/gpu.ts";
import { createRandom } from "../support/random.ts";
import { gpuStore, hostStore, type MadeUp, madeUp } from "./stores.ts";

/** Everything, sorted as the specification says. */
function bruteForce(scalars: readonly MadeUp[], { largest }: { largest: boolean }) {
  const dsts = [...new Set(scalars.map(({ dst }) => dst))];
  const sign = largest ? -1 : 1;
  return scalars.flatMap(({ dst, layerIndex, shape, values }) =>
    Array.from(
      Float32Array.from(values),
      (value, flat) => ({ dst, layerIndex, shape, value, flat }),
    )
  ).sort((a, b) =>
    (a.value === b.value ? 0 : sign * (a.value - b.value)) || a.flat - b.flat ||
    (a.layerIndex ?? -1) - (b.layerIndex ?? -1) || dsts.indexOf(a.dst) - dsts.indexOf(b.dst)
  ).map(({ dst, layerIndex, shape, value, flat }) => ({
    dst,
    layerIndex,
    tensorIndices: unravel(flat, shape),
    value,
  }));
}

async function topkOf(
  store: ScalarStore<ScalarTensor>,
  k: number | null,
  options: { largest: boolean },
) {
  const top = await store.topk(k, options);
  return top.map(({ dst, layerIndex, tensorIndices, value }) => ({
    dst,
    layerIndex,
    tensorIndices,
    value,
  }));
}

/** Long and short scalars; with few different values, equals are everywhere. */
function scalarsOf(different: number | null): MadeUp[] {
  const random = createRandom(7);
  const value = () => different === null ? random.normal() : random.integer(different) - 2;
  return [
    madeUp("mlp_post_act", 0, { shape: [7, 3001], value }),
    madeUp("mlp_post_act", 2, { shape: [7, 3001], value }),
    madeUp("token_attribution", null, { shape: [7, 1], value }),
    madeUp("attn_qk_probs", 1, { shape: [7, 7, 130], value }),
    madeUp("mlp_pre_act", 2, { shape: [7, 3001], value }),
  ];
}

gpuTest("ScalarStore.topk() finds what sorting everything finds", async ({ arena, t }) => {
  for (const different of [null, 4]) {
    const scalars = scalarsOf(different);
    for (const largest of [true, false]) {
      const sorted = bruteForce(scalars, { largest });
      for (const k of [1, 10, 128, 129, null]) {
        await t.step(`${different ?? "all"} values, largest=${largest}, k=${k}`, async () => {
          const want = sorted.slice(0, k ?? undefined);
          assert.deepEqual(await topkOf(gpuStore(arena, scalars), k, { largest }), want);
          assert.deepEqual(await topkOf(hostStore(scalars), k, { largest }), want);
        });
      }
    }
  }
});

/** A scalar long enough to be searched on every adapter, and a short one. */
function longAndShort(value: (flat: number) => number): MadeUp[] {
  return [
    madeUp("mlp_post_act", 0, { shape: [350, 3001], value }),
    madeUp("token_attribution", null, { shape: [350, 1], value }),
  ];
}

gpuTest("ScalarStore.topk() finds in long scalars what it finds on the host", async ({ arena }) => {
  const random = createRandom(9);
  for (const value of [() => random.normal(), () => random.integer(9), (flat: number) => flat]) {
    const scalars = longAndShort(value);
    for (const largest of [true, false]) {
      const want = await hostStore(scalars).topk(13, { largest });
      assert.deepEqual(await gpuStore(arena, scalars).topk(13, { largest }), want);
    }
  }
});

gpuTest("ScalarStore.topk() reads candidates of long scalars, not values", async ({ arena }) => {
  const random = createRandom(10);
  const store = gpuStore(arena, longAndShort(() => random.normal()));
  const { reads } = arena.gpu.counts();
  await store.topk(10);
  assert.equal(arena.gpu.counts().reads, reads + 1);
  const known = store.entries.filter(({ tensor }) => store.known(tensor) !== undefined);
  assert.deepEqual(known.map(({ dst }) => dst), ["token_attribution"]);
});

gpuTest("ScalarStore.topk() puts infinities at the ends, and NaN at both", async ({ arena }) => {
  const special: Record<number, number> = { 5: NaN, 6: -Infinity, 5000: Infinity };
  const scalars = longAndShort((i) => special[i] ?? 1);
  for (const store of [gpuStore(arena, scalars), hostStore(scalars)]) {
    // One in each scalar, but for the one that only the long one has.
    const largest = (await store.topk(4)).map(({ value }) => value);
    assert.deepEqual(largest, [NaN, NaN, Infinity, 1]);
    const smallest = (await store.topk(5, { largest: false })).map(({ value }) => value);
    assert.deepEqual(smallest, [NaN, NaN, -Infinity, -Infinity, 1]);
  }
});

gpuTest("ScalarStore.topk() filters by pass, type, layer and node type", async ({ arena }) => {
  const shape = [1, 2];
  const store = gpuStore(arena, [
    madeUp("mlp_post_act", 0, { shape, value: (i) => i }),
    madeUp("mlp_post_act", 1, { shape, value: (i) => 10 + i }),
    madeUp("mlp_post_act", 0, { shape, value: (i) => 20 + i, passType: "backward" }),
    madeUp("token_attribution", null, { shape: [1, 1], value: () => 5 }),
  ]);
  const values = async (options: Parameters<typeof store.topk>[1]) =>
    (await store.topk(null, options)).map(({ value }) => value);
  assert.deepEqual(await values({}), [11, 10, 5, 1, 0]);
  assert.deepEqual(await values({ passType: "backward" }), [21, 20]);
  assert.deepEqual(await values({ layerIndices: [0] }), [5, 1, 0]);
  assert.deepEqual(await values({ dsts: ["mlp_post_act"], layerIndices: [1] }), [11, 10]);
  assert.deepEqual(await values({ nodeType: "layer" }), [5]);
  assert.deepEqual(await values({ nodeType: "vocab_token" }), []);
});

gpuTest(
  "readEntries() reads single entries of long scalars, in one transfer",
  async ({ arena }) => {
    const scalars = scalarsOf(null);
    const store = gpuStore(arena, scalars);
    const random = createRandom(8);
    const places = Array.from({ length: 60 }, (_, i) => {
      const entry = store.entries[i % 5]!;
      return { which: i % 5, tensor: entry.tensor, flat: random.integer(entry.tensor.size) };
    });
    const reads = arena.gpu.counts().reads;
    const got = await readEntries(store, [...places, places[0]!]);
    assert.equal(arena.gpu.counts().reads, reads + 1);
    const want = [...places, places[0]!].map(({ which, flat }) =>
      Math.fround(scalars[which]!.values[flat]!)
    );
    assert.deepEqual(got, want);
    assert.equal(ravel([1, 2], [7, 3001]), 3003);
  },
);
