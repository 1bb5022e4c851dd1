/**
 * Other libraries on the same adapter, from the latest run of `bench/peers`.
 *
 * @module
 */

import { slugOf } from "../support/results.ts";
import type { BarOptions, Row } from "./row.ts";

/** What `bench/peers/main.ts` writes. */
export interface PeersReport {
  readonly date: string;
  readonly load: readonly number[];
  readonly rows: readonly {
    readonly work: string;
    readonly peer: string;
    /** Milliseconds of theirs and of ours, medians. */
    readonly theirs: number;
    readonly ours: number;
    /** Median of theirs over ours in each round, and half the distance of its quartiles over it. */
    readonly times: number;
    readonly spread: number;
    /** The same by CPU time, and the cores that each had: see `support/measure.ts`. */
    readonly timesByCpu: number;
    readonly cores: { readonly theirs: number; readonly ours: number };
  }[];
  /** By peer, why it or part of it did not run. */
  readonly failures: Readonly<Record<string, string>>;
}

/** Rows about peers: against the fastest of them each; none if they were not measured here. */
export async function peersRows({ gpu }: BarOptions): Promise<Row[]> {
  const file = new URL(`../results/peers-${slugOf(gpu.facts.name)}.json`, import.meta.url);
  let report: PeersReport;
  try {
    report = JSON.parse(await Deno.readTextFile(file));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.error("peers: not measured on this adapter; bench/README.md says how");
    return [];
  }
  const byWork = Map.groupBy(report.rows, ({ work }) => work);
  return [...byWork].map(([work, all]): Row => {
    const fastest = all.toSorted((a, b) => a.theirs - b.theirs)[0]!;
    return {
      question: `${work}: times as fast as the fastest peer`,
      value: fastest.times,
      spread: fastest.spread,
      bar: { atLeast: 4 },
      detail:
        `${fastest.peer}: ${fastest.theirs.toFixed(1)} ms, ours ${fastest.ours.toFixed(1)} ms on ${
          fastest.cores.theirs.toFixed(1)
        } and ${fastest.cores.ours.toFixed(1)} cores; ` +
        `by CPU time ${fastest.timesByCpu.toFixed(2)} (${report.date})`,
    };
  });
}
