/**
 * Benches for `deno bench`: of work that is enqueued many times and waited for once.
 *
 * @module
 */

import type { Gpu } from "../../engine/gpu/gpu.ts";
import { median, type Work } from "./measure.ts";

/** What one repetition gets through, and the unit in which that is told per second. */
export interface Amount {
  readonly value: number;
  readonly unit: "GFLOP/s" | "GB/s" | "tokens/s";
}

/** A bench. */
export interface BenchOptions {
  readonly name: string;
  readonly work: Work;
  /** The thing compared. */
  readonly group: string;
  readonly baseline?: boolean;
  readonly amount: Amount;
  /** Repetitions in one iteration; as many as take 20 ms unless given. */
  readonly times?: number;
}

const iterations = 10; // as Deno takes at least
const warmup = 2;

/**
 * Registers a bench. An iteration enqueues the work several times; its name says how
 * often, and one line on standard error what that is per second.
 */
export async function register(
  gpu: Gpu,
  { name, work, group, baseline = false, amount, times }: BenchOptions,
): Promise<number> {
  const count = times ?? await repetitions(gpu, work);
  const seconds: number[] = [];
  Deno.bench(`${name}, ${count} times`, { group, baseline, n: iterations, warmup }, async () => {
    const started = performance.now();
    for (let i = 0; i < count; i++) await work();
    await gpu.finish();
    seconds.push((performance.now() - started) / 1000 / count);
    if (seconds.length !== iterations + warmup) return;
    const scale = amount.unit === "tokens/s" ? 1 : 1e-9;
    const rate = scale * amount.value / median(seconds.slice(warmup));
    console.error(`${name}: ${rate.toFixed(1)} ${amount.unit}`);
  });
  return count;
}

/** How often the work is done in 20 ms. */
async function repetitions(gpu: Gpu, work: Work): Promise<number> {
  for (let i = 0; i < 2; i++) { // the first compiles
    await work();
    await gpu.finish();
  }
  const started = performance.now();
  await work();
  await gpu.finish();
  return Math.min(Math.max(Math.ceil(20 / (performance.now() - started)), 1), 1000);
}
