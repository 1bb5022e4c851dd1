import assert from "node:assert/strict";

import { unravel } from "../../derivers/indices.ts";
import type { ScalarDimName } from "../../derivers/nodes.ts";
import {
  maxAbsOf,
  maxOf,
  nestedSum,
  numelOf,
  numNonzeroOf,
  sumAbsOf,
  sumOf,
} from "../../derivers/sums.ts";
import { type ScalarRow, scalarTable } from "../../derivers/table.ts";
import { assertClose } from "../support/assert_close.ts";
import { gpuTest } from "../support/gpu.ts";
import { createRandom } from "../support/random.ts";
import { gpuStore, hostStore, type MadeUp, madeUp } from "./stores.ts";

const q = "sequence_tokens";
const k = "attended_to_sequence_tokens";
const h = "attn_heads";

function bruteForce(
  scalars: readonly MadeUp[],
  { keep, each }: { keep: readonly ScalarDimName[]; each: (value: number) => number },
): number[] {
  const sums = new Map<string, number>();
  for (const { dst, shape, values } of scalars) {
    const { dims }: ScalarRow = scalarTable[dst];
    Float32Array.from(values).forEach((value, flat) => {
      const key = unravel(flat, shape).filter((_, dim) => keep.includes(dims[dim]!)).join();
      sums.set(key, (sums.get(key) ?? 0) + each(value));
    });
  }
  return [...sums.values()];
}

const order: ScalarDimName[] = [q, k, h];
const kept: ScalarDimName[][] = [[], [q], [k], [h], [q, k], [q, h], [k, h], [q, k, h]];

gpuTest("sums agree with brute force, whichever dimensions are kept", async ({ arena, t }) => {
  const random = createRandom(1);
  const value = () => random.integer(3) === 0 ? 0 : random.normal();
  // One that is reduced on the GPU, and one that is not.
  for (const shape of [[13, 11, 130], [5, 3, 2]]) {
    const scalars = [0, 1].map((layer) => madeUp("attn_qk_probs", layer, { shape, value }));
    for (const keep of kept) {
      await t.step(`[${shape}] keep ${keep.join(", ") || "none"}`, async () => {
        const sums = [
          [sumOf, (x: number) => x],
          [sumAbsOf, Math.abs],
          [numNonzeroOf, (x: number) => Number(x !== 0)],
        ] as const;
        for (const [sum, each] of sums) {
          const want = bruteForce(scalars, { keep, each });
          for (const store of [gpuStore(arena, scalars), hostStore(scalars)]) {
            const got = await sum(store, { dimsToKeep: keep });
            assert.deepEqual(got.dims, keep);
            assert.deepEqual(got.shape, shape.filter((_, i) => keep.includes(order[i]!)));
            assertClose(got.values, want);
          }
        }
      });
    }
  }
});

gpuTest("sumOf() sums more than 65535 numbers", async ({ arena }) => {
  const large = [madeUp("logits", null, { shape: [3, 70001], value: () => 1 })];
  const pairs = [madeUp("attn_write_norm", 0, { shape: [70000, 3], value: () => 1 })];
  assert.deepEqual(nestedSum(await sumOf(gpuStore(arena, large))), 210003);
  assert.deepEqual(nestedSum(await numNonzeroOf(gpuStore(arena, large), { dimsToKeep: [q] })), [
    70001,
    70001,
    70001,
  ]);
  assert.deepEqual(nestedSum(await sumOf(gpuStore(arena, pairs), { dimsToKeep: [h] })), [
    70000,
    70000,
    70000,
  ]);
});

gpuTest("sumOf() reads once, and only sums", async ({ arena }) => {
  const value = () => 1;
  const store = gpuStore(arena, [
    madeUp("mlp_post_act", 0, { shape: [30, 1000], value }),
    madeUp("mlp_post_act", 1, { shape: [30, 1000], value }),
    madeUp("attn_qk_probs", 1, { shape: [3, 3, 2], value }),
  ]);
  const { reads } = arena.gpu.counts();
  assert.equal(nestedSum(await sumOf(store)), 60018);
  assert.equal(arena.gpu.counts().reads, reads + 1);
  assert.equal(store.known(store.entries[0]!.tensor), undefined);
});

Deno.test("sums select by pass, type, layer and node type; numelOf() counts both passes", async () => {
  const shape = [2, 3];
  const store = hostStore([
    madeUp("mlp_post_act", 0, { shape, value: () => 1 }),
    madeUp("mlp_post_act", 1, { shape, value: () => 10 }),
    madeUp("mlp_post_act", 1, { shape, value: () => 100, passType: "backward" }),
    madeUp("token_attribution", null, { shape: [2, 1], value: () => -1000 }),
  ]);
  assert.equal(nestedSum(await sumOf(store)), -1934);
  assert.equal(nestedSum(await sumOf(store, { nodeType: "mlp_neuron" })), 66);
  assert.equal(nestedSum(await sumOf(store, { layerIndices: [1] })), -1940);
  assert.equal(nestedSum(await sumOf(store, { passType: "backward" })), 600);
  assert.deepEqual(nestedSum(await sumOf(store, { dimsToKeep: [q] })), [-967, -967]);
  assert.equal(numelOf(store), 20);
  assert.equal(numelOf(store, { passType: "forward" }), 14);
  assert.equal(numelOf(store, { nodeType: "layer" }), 2);
});

Deno.test("maxOf() and maxAbsOf() take the lower index of equals, then the lower layer", async () => {
  const shape = [1, 3];
  const store = hostStore([
    madeUp("mlp_post_act", 1, { shape, value: (i) => [2, -3, 3][i]! }),
    madeUp("mlp_post_act", 0, { shape, value: (i) => [2, 3, -3][i]! }),
    madeUp("mlp_pre_act", 0, { shape, value: (i) => [0, -3, 3][i]! }),
  ]);
  const max = await maxOf(store);
  assert.deepEqual([max.dst, max.layerIndex, max.tensorIndices, max.value], [
    "mlp_post_act",
    0,
    [0, 1],
    3,
  ]);
  const maxAbs = await maxAbsOf(store, { dsts: ["mlp_pre_act"] });
  assert.deepEqual([maxAbs.tensorIndices, maxAbs.value], [[0, 1], 3]);
  assert.equal((await maxAbsOf(store, { layerIndices: [1] })).value, 3);
  assert.deepEqual((await maxAbsOf(store, { layerIndices: [1] })).node.tensorIndices, [0, 1]);
});

Deno.test("sums refuse scalars that keep different dimensions, and nothing at all", async () => {
  const value = () => 1;
  const store = hostStore([
    madeUp("mlp_post_act", 0, { shape: [2, 3], value }),
    madeUp("attn_qk_probs", 0, { shape: [2, 2, 1], value }),
  ]);
  await assert.rejects(sumOf(store, { dimsToKeep: [q, k] }), {
    name: "RequestError",
    code: "dims_differ",
    message: /"mlp_post_act" and "attn_qk_probs".*sequence_tokens \(2\).*attended_to/,
  });
  assert.equal(nestedSum(await sumOf(store)), 10);
  for (const total of [sumOf, maxOf, maxAbsOf]) {
    await assert.rejects(async () => void await total(store, { nodeType: "layer" }), {
      name: "RequestError",
      code: "not_derived",
    });
  }
});
