/**
 * Matrix products, ready to be launched.
 *
 * @module
 */

import type { Gpu } from "../../engine/gpu/gpu.ts";
import { matmul } from "../../engine/tape/ops/matmul.ts";
import { Arena, type Tensor } from "../../engine/tape/tensor.ts";
import { elements } from "./elements.ts";
import { randomTensor } from "./random_model.ts";
import { flopOf, type MatmulShape, nameOf, operandShapes } from "./shapes.ts";

/** A product, ready to be launched. */
export interface MatmulWork extends Disposable {
  run(): void;
  readonly flop: number;
}

/** Makes operands, checks a few elements of the product, and gives the launch. */
export async function matmulWork(gpu: Gpu, shape: MatmulShape): Promise<MatmulWork> {
  const arena = new Arena(gpu);
  const weights = new Arena(gpu, { constant: shape.constant });
  const sizes = operandShapes(shape);
  const { layout, m, n, k } = shape;
  // Two left operands in turn, as a packed one is kept for the products that follow.
  const lefts = [1, 2].map((seed) => randomTensor(arena, sizes.a, { seed }));
  const b = randomTensor(weights, sizes.b, { seed: 3 });
  const out = arena.tensor([m, n], "product");
  let turn = 0;
  const run = () => {
    matmul({ gpu, arena }, { layout, m, n, k, a: lefts[turn]!, b, out });
    turn = 1 - turn;
  };
  run();
  await check(shape, { a: lefts[0]!, b, c: out });
  return {
    run,
    flop: flopOf(shape),
    [Symbol.dispose]() {
      arena[Symbol.dispose]();
      weights[Symbol.dispose]();
    },
  };
}

/** Checks elements of the first and the last rows of C. */
async function check(
  shape: MatmulShape,
  { a, b, c }: { a: Tensor; b: Tensor; c: Tensor },
): Promise<void> {
  const { layout, m, n, k } = shape;
  // Of a transposed B the first rows, as one gather cannot span the whole unembedding.
  const width = layout === "NT" ? 16 : n;
  for (let at = 0; at < 4; at++) {
    const [i, j] = [(m - 1) * (at % 2), (at * 104729) % width];
    const steps = Array.from({ length: k }, (_, step) => step);
    const x = await elements(a, steps.map((step) => layout === "TN" ? step * m + i : i * k + step));
    const y = layout === "NT"
      ? (await firstRows(b, width)).subarray(j * k, (j + 1) * k)
      : await elements(b, steps.map((step) => step * n + j));
    const [got] = await elements(c, [i * n + j]);
    const sum = x.reduce((total, value, step) => total + value * y[step]!, 0);
    if (Math.abs(got! - sum) <= 1e-4 * (Math.sqrt(k) + Math.abs(sum))) continue;
    throw new Error(`Cannot time ${nameOf(shape)}: element [${i}, ${j}] is ${got}, want ${sum}`);
  }
}

async function firstRows(x: Tensor, rows: number): Promise<Float32Array> {
  const [bytes] = await x.gpu.read([{ block: x.block, bytes: 4 * rows * x.width }]);
  return new Float32Array(bytes!);
}
