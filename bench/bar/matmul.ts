/**
 * Matrix products against a kernel that only multiplies and adds.
 *
 * @module
 */

import { fmaWork } from "../support/fma.ts";
import { matmulWork } from "../support/matmul_work.ts";
import { cpuRatios, measure, median, ratios, spread } from "../support/measure.ts";
import { matmulShapes, nameOf } from "../support/shapes.ts";
import type { BarOptions, Row } from "./row.ts";

/** One row for each shape. */
export async function matmulRows({ gpu, quick }: BarOptions): Promise<Row[]> {
  const rows: Row[] = [];
  for (const shape of matmulShapes) {
    using product = await matmulWork(gpu, shape);
    using fma = await fmaWork(gpu, { flop: Math.max(product.flop, 1e8) });
    const measured = await measure(gpu, { product: product.run, fma: fma.run }, {
      rounds: quick ? 3 : 9,
      least: quick ? 20 : 40,
    });
    // Both as operations a second.
    const share = (ratio: number) => ratio * product.flop / fma.flop;
    const shares = ratios(measured, "fma", "product").map(share);
    const byCpu = median(cpuRatios(measured, "fma", "product").map(share));
    const cores = (name: "product" | "fma") => median(measured.cores[name]).toFixed(1);
    const rate = (name: "product" | "fma", flop: number) =>
      (flop / median(measured.milliseconds[name]) / 1e6).toFixed(1);
    const textured = shape.constant && shape.layout !== "TN";
    rows.push({
      question: `${nameOf(shape)} over fma`,
      value: median(shares),
      spread: spread(shares),
      bar: shape.m === 1
        ? null // moves its weights once and computes next to nothing
        : { atLeast: gpu.facts.class === "gpu" ? 0.5 : textured ? 0.25 : 0.15 },
      detail: `${rate("product", product.flop)} of ${rate("fma", fma.flop)} GFLOP/s` +
        (gpu.facts.class === "cpu"
          ? ` on ${cores("product")} and ${cores("fma")} cores; by CPU time ${byCpu.toFixed(2)}`
          : ""),
    });
  }
  return rows;
}
