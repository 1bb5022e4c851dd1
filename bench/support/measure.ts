/**
 * How things are timed: never one dispatch, but so many that the wait for them does not
 * count; and what is compared in turn, so that a busy machine slows both alike.
 *
 * @module
 */

import process from "node:process";

import type { Gpu } from "../../engine/gpu/gpu.ts";

/** Records or does one repetition of what is timed. */
export type Work = () => unknown;

/** Milliseconds of one repetition of each work, round by round. */
export interface Rounds<Name extends string> {
  readonly milliseconds: Readonly<Record<Name, readonly number[]>>;
  /**
   * Cores that the process kept busy meanwhile. On a CPU rasteriser works compare by their time
   * only where they had as many: a busy or shared machine may give one of them half.
   */
  readonly cores: Readonly<Record<Name, readonly number[]>>;
}

/** How long to measure. */
export interface MeasureOptions {
  readonly rounds?: number;
  /** A work is repeated in each round until it takes so many milliseconds. */
  readonly least?: number;
}

/** The middle value. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Half the distance of the quartiles over the median: how much the values differ. */
export function spread(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number) => sorted[Math.round(part * (sorted.length - 1))]!;
  return (at(0.75) - at(0.25)) / 2 / median(values);
}

/** Milliseconds that `work` takes, and the cores that the process kept busy meanwhile. */
export async function timed(work: Work): Promise<{ time: number; cores: number }> {
  const before = process.cpuUsage();
  const started = performance.now();
  await work();
  const time = performance.now() - started;
  const { user, system } = process.cpuUsage(before); // in microseconds
  return { time, cores: (user + system) / 1000 / time };
}

/** Times `count` repetitions, until the GPU has done them all. */
async function timeOf(gpu: Gpu, work: Work, count: number) {
  await gpu.finish();
  return await timed(async () => {
    for (let i = 0; i < count; i++) await work();
    await gpu.finish();
  });
}

/** Times works one after the other, again and again. Each has run once before. */
export async function measure<Name extends string>(
  gpu: Gpu,
  works: Readonly<Record<Name, Work>>,
  { rounds = 5, least = 100 }: MeasureOptions = {},
): Promise<Rounds<Name>> {
  const names = Object.keys(works) as Name[];
  const counts = new Map<Name, number>();
  for (const name of names) {
    await timeOf(gpu, works[name], 1); // compiles and fills caches
    const { time } = await timeOf(gpu, works[name], 1);
    counts.set(name, Math.min(Math.max(Math.ceil(least / time), 1), 1000));
  }
  const perName = () =>
    Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, number[]>;
  const measured = { milliseconds: perName(), cores: perName() };
  for (let round = 0; round < rounds; round++) {
    // Every other round the other way round, so that none always comes first.
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const count = counts.get(name)!;
      const { time, cores } = await timeOf(gpu, works[name], count);
      measured.milliseconds[name].push(time / count);
      measured.cores[name].push(cores);
    }
  }
  return measured;
}

/** The ratio of two works in each round. */
export function ratios<Name extends string>(
  { milliseconds }: Rounds<Name>,
  over: Name,
  under: Name,
): number[] {
  return milliseconds[over].map((time, round) => time / milliseconds[under][round]!);
}

/** The ratio of two works by the time of all cores together: what it would be with as many each. */
export function cpuRatios<Name extends string>(
  rounds: Rounds<Name>,
  over: Name,
  under: Name,
): number[] {
  const { cores } = rounds;
  return ratios(rounds, over, under).map((ratio, round) =>
    ratio * cores[over][round]! / cores[under][round]!
  );
}

/** The cores that two works had, and their ratio by CPU time, for people. */
export function coresOf<Name extends string>(
  rounds: Rounds<Name>,
  over: Name,
  under: Name,
): string {
  const [a, b] = [over, under].map((name) => median(rounds.cores[name]).toFixed(1));
  return ` on ${a} and ${b} cores; by CPU time ${
    median(cpuRatios(rounds, over, under)).toFixed(2)
  }`;
}
