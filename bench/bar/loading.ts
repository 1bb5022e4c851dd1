/**
 * What loading costs: host memory, and time beside the time of writing the same bytes.
 *
 * @module
 */

import { measureInChild } from "../support/child.ts";
import { median, spread } from "../support/measure.ts";
import { writeRandomCheckpoint } from "../support/random_checkpoint.ts";
import type { BarOptions, Row } from "./row.ts";

/** What the child process prints. */
export interface LoadingReport {
  /** Of the file's tensors. */
  readonly bytes: number;
  /** The most host memory beyond the uploaded weights and what was there before. */
  readonly peakBytes: number;
  /** Seconds to load, and to write as many bytes from memory, in turn. */
  readonly loads: readonly number[];
  readonly writes: readonly number[];
}

/** Rows about loading. */
export async function loadingRows({ gpu, quick }: BarOptions): Promise<Row[]> {
  const folder = await Deno.makeTempDir({ prefix: "hooktape_bench_" });
  try {
    await writeRandomCheckpoint(folder, { nLayers: quick ? 2 : 12 });
    const { bytes, peakBytes, loads, writes } = await measureInChild<LoadingReport>(
      new URL("loading_child.ts", import.meta.url),
      [folder, quick ? "2" : "4"],
    );
    const shares = writes.map((seconds, i) => seconds / loads[i]!);
    const rate = (seconds: readonly number[]) => (bytes / median(seconds) / 1e9).toFixed(2);
    return [
      {
        question: "loading: peak host memory over the size of the weights",
        value: peakBytes / bytes,
        bar: { atMost: 0.15 },
        detail: `${(peakBytes / 2 ** 20).toFixed(0)} of ${(bytes / 2 ** 20).toFixed(0)} MiB` +
          (gpu.facts.class === "cpu" ? ", the driver's copies of the weights not counted" : ""),
      },
      {
        question: "loading: upload rate over writeBuffer's own",
        value: median(shares),
        spread: spread(shares),
        bar: { atLeast: 0.5 },
        detail: `${rate(loads)} of ${rate(writes)} GB/s`,
      },
    ];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
