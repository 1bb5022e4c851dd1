/**
 * What holds of every kernel of the matrix product.
 *
 * @module
 */

import assert from "node:assert/strict";

import type { AdapterFacts } from "../../../engine/gpu/adapter.ts";
import { openGpu } from "../../../engine/gpu/gpu.ts";
import { map } from "../../../engine/tape/ops/map.ts";
import { matmul } from "../../../engine/tape/ops/matmul.ts";
import { type Layout, layouts } from "../../../engine/tape/ops/matmul_launch.ts";
import { Arena } from "../../../engine/tape/tensor.ts";
import type { Ref } from "../../reference/mod.ts";
import { assertClose } from "../../support/assert_close.ts";
import { gpuTest, readBits, readRefs, upload } from "../../support/gpu.ts";
import { randomRef } from "../../support/random.ts";

const sizes = [
  [1, 1, 1],
  [1, 7, 64],
  [5, 97, 40],
  [17, 129, 63],
  [16, 128, 32],
  [65, 130, 257],
  [131, 36, 13],
  [128, 9, 68],
];

/** A B in float64, for each layout. */
function product(layout: Layout, { a, b }: { a: Ref; b: Ref }, [m, n, k]: readonly number[]) {
  const out = new Float64Array(m! * n!);
  for (let i = 0; i < m!; i++) {
    for (let j = 0; j < n!; j++) {
      for (let s = 0; s < k!; s++) {
        const x = a.data[layout === "TN" ? s * m! + i : i * k! + s]!;
        out[i * n! + j]! += x * b.data[layout === "NT" ? j * k! + s : s * n! + j]!;
      }
    }
  }
  return out;
}

/** What leads to a kernel. */
export interface Path {
  /** Whether the second operand is a weight. */
  readonly constant: boolean;
  /** Of the adapter, instead of its own. */
  readonly facts: Partial<AdapterFacts>;
}

/**
 * What leads to each kernel. What is not a weight is packed into textures for weight
 * gradients and where there are many rows.
 */
export const paths = {
  texture: { constant: true, facts: { class: "cpu" } },
  "packed texture": { constant: false, facts: { class: "cpu" } },
  direct: { constant: false, facts: { class: "cpu", maxTextureSide: 0 } },
  staged: { constant: false, facts: { class: "gpu" } },
} as const satisfies Record<string, Path>;

/** Tests the kernel that a path leads to. */
export function testMatmul(path: keyof typeof paths): void {
  const { constant, facts } = paths[path];
  gpuTest(`matmul() by ${path} matches the reference in every layout`, async ({ t }) => {
    using gpu = await openGpu();
    using arena = new Arena(gpu);
    using weights = new Arena(gpu, { constant });
    Object.assign(gpu.facts, facts);
    for (const size of sizes) {
      const [m, n, k] = size as [number, number, number];
      await t.step(`m=${m} n=${n} k=${k}`, async () => {
        for (const layout of layouts) {
          const a = randomRef(layout === "TN" ? [k, m] : [m, k], 1);
          const b = randomRef(layout === "NT" ? [n, k] : [k, n], 2);
          const c = matmul({ gpu, arena }, {
            layout,
            m,
            n,
            k,
            a: upload(arena, a),
            b: upload(weights, b),
          });
          const [got] = await readRefs([c]);
          assertClose(got!.data, product(layout, { a, b }, size), { op: "linear", label: layout });
        }
      });
    }
  });

  // B [1033, 13] and [132, 68] take more than one piece where a binding spans 20 KiB.
  for (const maxBindingBytes of [undefined, 4096 * 5]) {
    const where = maxBindingBytes === undefined ? "" : " where B is bound in pieces";
    gpuTest(
      `matmul() by ${path} gives gelu and addend the bits of further kernels${where}`,
      async ({ t }) => {
        using gpu = await openGpu(maxBindingBytes === undefined ? {} : { maxBindingBytes });
        using arena = new Arena(gpu);
        using weights = new Arena(gpu, { constant });
        Object.assign(gpu.facts, facts);
        const cx = { gpu, arena };
        for (const [m, rows, width] of [[1, 5, 7], [3, 1033, 13], [17, 132, 68]] as const) {
          await t.step(`m=${m}, B [${rows}, ${width}]`, async () => {
            for (const layout of ["NN", "NT"] as const) {
              const [n, k] = layout === "NT" ? [rows, width] : [width, rows];
              const a = upload(arena, randomRef([m, k], 1, { scale: 0.1 }));
              const b = upload(weights, randomRef([rows, width], 2));
              const bias = upload(arena, randomRef([n], 3));
              const addend = upload(arena, randomRef([m, n], 4));
              const product = { layout, m, n, k, a, b, bias };
              const plain = matmul(cx, product);
              const bent = map(cx, "gelu", { a: plain });
              const [added, gelu, both, ...got] = await readBits([
                map(cx, "add", { a: addend, b: plain }),
                bent,
                map(cx, "add", { a: addend, b: bent }),
                matmul(cx, { ...product, addend }),
                matmul(cx, { ...product, gelu: true }),
                matmul(cx, { ...product, addend, gelu: true }),
              ]);
              assert.deepEqual(got, [added, gelu, both], layout);
            }
          });
        }
      },
    );
  }
}
