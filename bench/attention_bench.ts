/**
 * How fast causal attention is where nobody looks in between, against scores, pattern and
 * weighted sum one by one, as they run where their slots are in use.
 *
 * @module
 */

import type { Context } from "../engine/tape/op.ts";
import { attention } from "../engine/tape/ops/attention_fused.ts";
import { qkLogits, qkProbs, weightedSum } from "../engine/tape/ops/attention.ts";
import { pack } from "../engine/tape/packing.ts";
import { Arena, type Tensor } from "../engine/tape/tensor.ts";
import { elements } from "./support/elements.ts";
import { benchGpu, randomTensor } from "./support/random_model.ts";
import { register } from "./support/register.ts";

const nHeads = 12;
const dHead = 64;
const lengths = [16, 64, 256, 1024];

const gpu = await benchGpu();
const arena = new Arena(gpu);
const context: Context = { gpu, arena };

for (const length of lengths) {
  const packing = pack(arena, [length]);
  const [q, k, v] = [1, 2, 3].map((seed) =>
    randomTensor(arena, [length, nHeads, dHead], { seed, deviation: dHead ** -0.25 })
  ) as [Tensor, Tensor, Tensor];
  const pairs = { packing, causal: true };
  const oneByOne = () => {
    const scores = qkLogits(context, { q, k }, pairs);
    const probs = qkProbs(context, scores, pairs);
    return weightedSum(context, { probs, v }, pairs);
  };
  const inOne = () => attention(context, { q, k, v }, packing);
  await expectEqual(oneByOne(), inOne());

  const group = `attention f32 t=${length} heads=${nHeads} d_head=${dHead}`;
  // Queries times keys and pattern times values, each over the pairs that count.
  const value = 2 * 2 * nHeads * dHead * length * (length + 1) / 2;
  const shared = { group, amount: { value, unit: "GFLOP/s" } } as const;
  const times = await register(gpu, {
    ...shared,
    name: `${group}, one by one`,
    work: () => freeing(oneByOne),
    baseline: true,
  });
  await register(gpu, {
    ...shared,
    name: `${group}, in one op`,
    work: () => freeing(inOne),
    times,
  });
}

/** Runs work and gives back all that it made. */
function freeing(work: () => Tensor): void {
  arena.tidy(() => {
    work();
    return undefined;
  });
}

async function expectEqual(a: Tensor, b: Tensor): Promise<void> {
  const places = Array.from({ length: 1000 }, (_, i) => (i * 104729) % a.size);
  const [x, y] = [await elements(a, places), await elements(b, places)];
  const at = x.findIndex((value, i) => !(Math.abs(value - y[i]!) < 1e-4));
  if (at < 0) return;
  throw new Error(`Cannot time attention: element ${places[at]} is ${x[at]} or ${y[at]}`);
}
