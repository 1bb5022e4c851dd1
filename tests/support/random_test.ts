import assert from "node:assert/strict";

import { createRandom, randomRef } from "./random.ts";

Deno.test("createRandom() repeats itself for a seed, and differs between seeds", () => {
  const [a, again, other] = [7, 7, 8].map((seed) => {
    const random = createRandom(seed);
    return Array.from({ length: 20 }, () => random.uniform());
  });
  assert.deepEqual(a, again);
  assert.notDeepEqual(a, other);
});

Deno.test("createRandom() has the mean and variance of its distributions", () => {
  const random = createRandom(1);
  const n = 20_000;
  const moments = (draw: () => number) => {
    const values = Array.from({ length: n }, draw);
    const mean = values.reduce((sum, value) => sum + value, 0) / n;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n;
    return [mean, variance] as const;
  };
  for (
    const [draw, mean, variance] of [
      [() => random.uniform(-1, 3), 1, 16 / 12],
      [() => random.normal(), 0, 1],
      [() => random.integer(5), 2, 2],
    ] as const
  ) {
    const [gotMean, gotVariance] = moments(draw);
    assert.ok(Math.abs(gotMean - mean) < 0.04, `${gotMean} for ${mean}`);
    assert.ok(
      Math.abs(gotVariance - variance) < 0.08,
      `${gotVariance} for ${variance}`,
    );
  }
});

Deno.test("createRandom().integer() gives every whole number below its bound and no other", () => {
  const random = createRandom(3);
  const seen = new Set(Array.from({ length: 200 }, () => random.integer(4)));
  assert.deepEqual([...seen].sort(), [0, 1, 2, 3]);
});

Deno.test("randomRef() gives float32 numbers of the asked shape and scale", () => {
  const x = randomRef([3, 5], 1, { distribution: "uniform", scale: 0.5 });
  assert.deepEqual(x.shape, [3, 5]);
  assert.equal(x.data.length, 15);
  for (const value of x.data) {
    assert.equal(value, Math.fround(value));
    assert.ok(Math.abs(value) <= 0.5);
  }
});
