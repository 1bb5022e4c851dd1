/**
 * How things are timed: never one dispatch, but so many that the wait for them does not
 * count; and what is compared in turn, so that a busy machine slows both alike.
 *
 * @module
 */

import type { Gpu } from "../../engine/gpu/gpu.ts";

/** Records or does one repetition of what is timed. */
export type Work = () => unknown;

/** Milliseconds of one repetition of each work, round by round. */
export interface Rounds<Name extends string> {
  readonly milliseconds: Readonly<Record<Name, readonly number[]>>;
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

/** Milliseconds of `count` repetitions, until the GPU has done them all. */
async function timeOf(gpu: Gpu, work: Work, count: number): Promise<number> {
  await gpu.finish();
  const started = performance.now();
  for (let i = 0; i < count; i++) await work();
  await gpu.finish();
  return performance.now() - started;
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
    const once = await timeOf(gpu, works[name], 1);
    counts.set(name, Math.min(Math.max(Math.ceil(least / once), 1), 1000));
  }
  const milliseconds = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<
    Name,
    number[]
  >;
  for (let round = 0; round < rounds; round++) {
    // Every other round the other way round, so that none always comes first.
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const count = counts.get(name)!;
      milliseconds[name].push(await timeOf(gpu, works[name], count) / count);
    }
  }
  return { milliseconds };
}

/** The ratio of two works in each round. */
export function ratios<Name extends string>(
  { milliseconds }: Rounds<Name>,
  over: Name,
  under: Name,
): number[] {
  return milliseconds[over].map((time, round) => time / milliseconds[under][round]!);
}
