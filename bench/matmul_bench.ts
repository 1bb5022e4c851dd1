/**
 * How fast matrix products are, against a kernel that only multiplies and adds.
 *
 * @module
 */

import { fmaWork } from "./support/fma.ts";
import { matmulWork } from "./support/matmul_work.ts";
import { benchGpu } from "./support/random_model.ts";
import { register } from "./support/register.ts";
import { matmulShapes, nameOf } from "./support/shapes.ts";

const gpu = await benchGpu();

for (const shape of matmulShapes) {
  const group = nameOf(shape);
  const product = await matmulWork(gpu, shape);
  const fma = await fmaWork(gpu, { flop: product.flop });
  const times = await register(gpu, {
    name: group,
    work: product.run,
    group,
    amount: { value: product.flop, unit: "GFLOP/s" },
  });
  await register(gpu, {
    name: "fma, as many operations",
    work: fma.run,
    group,
    baseline: true,
    times,
    amount: { value: fma.flop, unit: "GFLOP/s" },
  });
}
