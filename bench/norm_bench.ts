/**
 * How fast layer norm moves its rows, against adding two tensors, which is as little as
 * any kernel does with them.
 *
 * @module
 */

import { add } from "../engine/tape/ops/elementwise.ts";
import { normApply, normScale } from "../engine/tape/ops/norm.ts";
import { Arena, type Tensor } from "../engine/tape/tensor.ts";
import { elements } from "./support/elements.ts";
import { benchGpu, randomTensor } from "./support/random_model.ts";
import { register } from "./support/register.ts";

const shapes = [[64, 768], [256, 768], [1024, 768], [1024, 1024]] as const;
const eps = 1e-5; // GPT-2's layer_norm_epsilon

const gpu = await benchGpu();
const arena = new Arena(gpu);
const context = { gpu, arena };

for (const [rows, width] of shapes) {
  const x = randomTensor(arena, [rows, width], { seed: 1, mean: 1 });
  const other = randomTensor(arena, [rows, width], { seed: 4 });
  const gain = randomTensor(arena, [width], { seed: 2 });
  const bias = randomTensor(arena, [width], { seed: 3 });
  const norm = () => normApply(context, x, { scale: normScale(context, x, eps), gain, bias });
  await check(norm(), { x, gain, bias });

  const group = `norm f32 rows=${rows} width=${width}`;
  // Two tensors of that size read and one written; of the norm, one read twice.
  const shared = { group, amount: { value: 3 * 4 * rows * width, unit: "GB/s" } } as const;
  const times = await register(gpu, { ...shared, name: group, work: () => freeing(norm) });
  await register(gpu, {
    ...shared,
    name: `add f32 rows=${rows} width=${width}`,
    work: () => freeing(() => add(context, x, other)),
    baseline: true,
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

/** Checks the last row. */
async function check(
  y: Tensor,
  { x, gain, bias }: { x: Tensor; gain: Tensor; bias: Tensor },
): Promise<void> {
  const places = Array.from({ length: x.width }, (_, i) => x.size - x.width + i);
  const row = await elements(x, places);
  const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
  const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length;
  const [g, b] = [await gain.read(), await bias.read()];
  (await elements(y, places)).forEach((got, i) => {
    const want = (row[i]! - mean) / Math.sqrt(variance + eps) * g[i]! + b[i]!;
    if (Math.abs(got - want) < 1e-4) return;
    throw new Error(`Cannot time layer norm: value ${i} of the last row is ${got}, want ${want}`);
  });
}
