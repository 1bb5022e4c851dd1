import assert from "node:assert/strict";

import { openGpu } from "../../../engine/gpu/gpu.ts";
import { matmul } from "../../../engine/tape/ops/matmul.ts";
import { layouts } from "../../../engine/tape/ops/matmul_launch.ts";
import { Arena } from "../../../engine/tape/tensor.ts";
import { gpuTest, readBits, upload } from "../../support/gpu.ts";
import { randomRef } from "../../support/random.ts";
import { type Path, paths } from "./matmul_kernels.ts";

const sizes = [[1, 64, 7], [17, 63, 129], [65, 257, 130], [131, 512, 36]] as const;

async function productsBy({ constant, facts }: Path): Promise<Uint32Array[]> {
  using gpu = await openGpu();
  using arena = new Arena(gpu);
  using weights = new Arena(gpu, { constant });
  Object.assign(gpu.facts, facts);
  return await readBits(sizes.flatMap(([m, k, n]) =>
    layouts.map((layout) => {
      const a = upload(arena, randomRef(layout === "TN" ? [k, m] : [m, k], 1));
      const b = upload(weights, randomRef(layout === "NT" ? [n, k] : [k, n], 2));
      return matmul({ gpu, arena }, { layout, m, n, k, a, b });
    })
  ));
}

gpuTest("matmul() gives the same bits by every kernel", async () => {
  const { direct, ...others } = paths;
  const want = await productsBy(direct);
  for (const [name, path] of Object.entries(others)) {
    assert.deepEqual(await productsBy(path), want, name);
  }
});
