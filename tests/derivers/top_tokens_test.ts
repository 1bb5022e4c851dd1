import assert from "node:assert/strict";

import { topTokens, topTokensOfValues } from "../../derivers/top_tokens.ts";
import { gpuTest } from "../support/gpu.ts";
import { createRandom } from "../support/random.ts";

Deno.test("topTokensOfValues() takes the lower token of equals and scales by the larger end", () => {
  assert.deepEqual(topTokensOfValues([1, -4, 2, 2, 0, -4], 3), {
    top: [
      { token: 2, scalar: 2, normalizedScalar: 0.5 },
      { token: 3, scalar: 2, normalizedScalar: 0.5 },
      { token: 0, scalar: 1, normalizedScalar: 0.25 },
    ],
    bottom: [
      { token: 1, scalar: -4, normalizedScalar: -1 },
      { token: 5, scalar: -4, normalizedScalar: -1 },
      { token: 4, scalar: 0, normalizedScalar: 0 },
    ],
  });
});

Deno.test("topTokensOfValues() gives 0 for a vector of zeros", () => {
  const { top, bottom } = topTokensOfValues([0, 0], 1);
  assert.deepEqual(top, [{ token: 0, scalar: 0, normalizedScalar: 0 }]);
  assert.deepEqual(bottom, top);
  assert.deepEqual(topTokensOfValues([1, 2], 0), { top: [], bottom: [] });
});

gpuTest(
  "topTokens() finds the same as on the host, however many rows",
  async ({ arena, t }) => {
    const random = createRandom(1);
    for (const [rows, width] of [[3, 97], [21, 50257], [1, 4096]] as const) {
      for (const equals of [false, true]) {
        for (const k of [1, 10, 20]) {
          await t.step(
            `rows=${rows} V=${width} t=${k}${equals ? ", few values" : ""}`,
            async () => {
              const value = () => equals ? random.integer(5) - 2 : random.normal();
              const values = Float32Array.from({ length: rows * width }, value);
              const x = arena.upload(values, [rows, width], "rows");
              const want = Array.from(
                { length: rows },
                (_, r) => topTokensOfValues(values.subarray(r * width, (r + 1) * width), k),
              );
              assert.deepEqual(await topTokens(x, k), want);
            },
          );
        }
      }
    }
  },
);

gpuTest("topTokens() of no rows is nothing", async ({ arena }) => {
  assert.deepEqual(await topTokens(arena.tensor([0, 5], "no rows"), 2), []);
});

gpuTest("topTokens() refuses more tokens than there are", async ({ arena }) => {
  const x = arena.upload(Float32Array.of(1, 2), [1, 2], "row");
  for (const t of [3, -1, 1.5]) {
    await assert.rejects(topTokens(x, t), {
      name: "RequestError",
      code: "index_out_of_range",
      message: new RegExp(`top ${t} tokens.*from 0 to 2`),
    });
  }
});
