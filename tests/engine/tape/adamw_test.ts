import assert from "node:assert/strict";

import { type AdamWOptions, createAdamW } from "../../../engine/tape/ops/adamw.ts";
import type { Context } from "../../../engine/tape/op.ts";
import type { Tensor } from "../../../engine/tape/tensor.ts";
import type { Ref } from "../../reference/mod.ts";
import { gpuTest, readBits, readRefs, upload } from "../../support/gpu.ts";
import { randomRef } from "../../support/random.ts";

/** Shapes of more and of fewer elements than there are threads. */
const shapes = [[7, 5], [129, 33], [3], [1]];

const weightsAtStart = shapes.map((shape, i) => randomRef(shape, 10 + i));

/** Gradients of each step, shorter from step to step. */
const gradientsOf = (step: number) =>
  shapes.map((shape, i) => randomRef(shape, 100 * step + i, { scale: 0.1 / step }));

const rates = [1e-2, 2e-2, 5e-3];

/** The equations of Loshchilov & Hutter (2019), algorithm 2, in float64, and the norms. */
function specification(
  { betas: [beta1, beta2], eps = 1e-8, weightDecay = 0, maxNorm = 0 }: AdamWOptions,
): { weights: Float64Array[]; norms: number[] } {
  const weights = weightsAtStart.map(({ data }) => Float64Array.from(data));
  const means = weights.map(({ length }) => new Float64Array(length));
  const squares = weights.map(({ length }) => new Float64Array(length));
  const norms: number[] = [];
  rates.forEach((rate, index) => {
    const step = index + 1;
    const gradients = gradientsOf(step).map(({ data }) => data);
    const norm = Math.sqrt(gradients.flatMap((g) => [...g]).reduce((sum, g) => sum + g * g, 0));
    const factor = maxNorm > 0 && norm > maxNorm ? maxNorm / norm : 1;
    norms.push(norm);
    weights.forEach((w, p) => {
      const decay = shapes[p]!.length === 2 ? weightDecay : 0;
      for (let i = 0; i < w.length; i++) {
        const g = factor * gradients[p]![i]!;
        means[p]![i] = beta1 * means[p]![i]! + (1 - beta1) * g;
        squares[p]![i] = beta2 * squares[p]![i]! + (1 - beta2) * g * g;
        const mean = means[p]![i]! / (1 - beta1 ** step);
        const square = squares[p]![i]! / (1 - beta2 ** step);
        w[i]! -= rate * (mean / (Math.sqrt(square) + eps) + decay * w[i]!);
      }
    });
  });
  return { weights, norms };
}

async function train(
  context: Context,
  options: AdamWOptions,
): Promise<{ weights: Tensor[]; norms: number[] }> {
  const weights = weightsAtStart.map((w) => upload(context.arena, w));
  using optimizer = createAdamW(context, weights, options);
  const norms: number[] = [];
  for (const [index, rate] of rates.entries()) {
    const gradients = gradientsOf(index + 1).map((g) => upload(context.arena, g));
    optimizer.step(new Map(weights.map((w, p) => [w, gradients[p]!])), { rate });
    norms.push((await optimizer.clip.read())[1]!);
  }
  return { weights, norms };
}

/** Float32 rounding of three steps, each as large as the rate. */
const tolerance = 1e-6;

function assertNear(got: Ref, want: Float64Array): void {
  got.data.forEach((value, i) => {
    const error = Math.abs(value - want[i]!);
    assert.ok(error < tolerance * (1 + Math.abs(want[i]!)), `${i}: ${value}, wanted ${want[i]}`);
  });
}

gpuTest("AdamW.step() agrees with the paper's equations in float64", async ({ context, t }) => {
  const betas = [0.9, 0.98] as const;
  for (
    const [label, options] of Object.entries<AdamWOptions>({
      "no decay, no clipping": { betas },
      "decay of matrices only": { betas, weightDecay: 0.1 },
      "some steps clipped": { betas, weightDecay: 0.1, maxNorm: 4 },
      "a large eps": { betas, eps: 0.5 },
    })
  ) {
    await t.step(label, async () => {
      const want = specification(options);
      if (options.maxNorm) {
        const clipped = want.norms.filter((norm) => norm > options.maxNorm!).length;
        assert.ok(clipped > 0 && clipped < want.norms.length, `norms ${want.norms}`);
      }
      const got = await train(context, options);
      (await readRefs(got.weights)).forEach((w, p) => assertNear(w, want.weights[p]!));
      got.norms.forEach((norm, i) => {
        assert.ok(Math.abs(norm / want.norms[i]! - 1) < 1e-5, `norm ${norm}`);
      });
    });
  }
});

gpuTest("AdamW.step() gives the same bits again", async ({ context }) => {
  const options: AdamWOptions = { betas: [0.9, 0.98], weightDecay: 0.1, maxNorm: 1 };
  const first = await readBits((await train(context, options)).weights);
  const second = await readBits((await train(context, options)).weights);
  assert.deepEqual(first, second);
});

gpuTest("AdamW.step() names every weight without a gradient", ({ context }) => {
  const { arena } = context;
  const weights = ["left", "middle", "right"].map((label) =>
    arena.upload(new Float32Array(2), [2], label)
  );
  using optimizer = createAdamW(context, weights, { betas: [0.9, 0.98] });
  assert.throws(
    () => optimizer.step(new Map([[weights[1]!, weights[0]!]]), { rate: 1 }),
    new TypeError(
      'Cannot change weights without their gradient: missing are "left", "right"',
    ),
  );
});
