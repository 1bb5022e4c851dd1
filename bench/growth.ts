/**
 * How time and memory grow with the length of the prompt: a Markdown table and a plot under
 * `results/`. `deno run --allow-all bench/growth.ts [--quick]`.
 *
 * @module
 */

import { openGpu } from "../engine/gpu/gpu.ts";
import { batchedTdb } from "../server/answer.ts";
import { maxPromptTokens } from "../server/plan_batch.ts";
import { openSession } from "../server/session.ts";
import { debuggerRequest } from "./support/debugger_request.ts";
import { runForward, runForwardBackward } from "./support/forward_work.ts";
import { median, timed, type Work } from "./support/measure.ts";
import { randomModel, someTokens } from "./support/random_model.ts";
import { circumstances, headOf, load, writeResult } from "./support/results.ts";

const lengths = [16, 64, 256, 1024];
const shapes = ["gpt2", "gpt2-medium"] as const;
const secondsAtMost = 60; // of a point: what would take longer is left out

/** One measurement. */
interface Point {
  readonly shape: string;
  readonly work: string;
  readonly length: number;
  readonly milliseconds: number;
  /** Most bytes in use at a time beside the weights. */
  readonly bytes: number;
  /** That the process kept busy: see `support/measure.ts`. */
  readonly cores: number;
}

const quick = Deno.args.includes("--quick");
const loadBefore = load();
const points: Point[] = [];
const skipped: string[] = [];
for (const shape of quick ? shapes.slice(0, 1) : shapes) await measureShape(shape);
await report();

async function measureShape(shape: (typeof shapes)[number]): Promise<void> {
  using gpu = await openGpu();
  using model = randomModel(gpu, shape);
  const session = await openSession(model);
  const worksOf = (tokens: readonly number[]): Record<string, Work> => ({
    "forward": () => runForward(model, { tokens, logits: "last" }),
    "forward and backward": () => runForwardBackward(model, tokens),
    "debugger request": () => batchedTdb(session, debuggerRequest(tokens)),
  });
  runForwardBackward(model, someTokens(16)); // the weights' own textures are no part of a run
  await gpu.finish();
  for (const [name, _] of Object.entries(worksOf([]))) {
    let last: Point | undefined;
    for (const length of quick ? lengths.slice(0, 2) : lengths) {
      const what = `${shape}, ${name}, ${length} tokens`;
      if (name === "debugger request" && length > maxPromptTokens) {
        skipped.push(`${what}: a prompt may have at most ${maxPromptTokens}`);
        continue;
      }
      // Between linear and quadratic, and run twice.
      const expected = 2 * (last?.milliseconds ?? 0) * (length / (last?.length ?? 1)) ** 1.3 / 1000;
      if (expected > secondsAtMost) {
        skipped.push(`${what}: would take about ${expected.toFixed(0)} s`);
        continue;
      }
      const work = worksOf(someTokens(length))[name]!;
      last = { shape, work: name, length, ...await measurePoint(work) };
      points.push(last);
      console.error(`${what}: ${last.milliseconds.toFixed(0)} ms`);
    }
  }

  async function measurePoint(
    work: Work,
  ): Promise<Pick<Point, "milliseconds" | "bytes" | "cores">> {
    await work();
    await gpu.finish();
    gpu.trim(); // and forgets the peak
    const { live } = gpu.memory();
    await work();
    await gpu.finish();
    const bytes = gpu.memory().peak - live;
    const times: number[] = [];
    const busy: number[] = [];
    // Now that memory is pooled again: up to five times, or two seconds.
    for (const until = performance.now() + 2000; times.length < 5;) {
      const { time, cores } = await timed(async () => {
        await work();
        await gpu.finish();
      });
      times.push(time);
      busy.push(cores);
      if (performance.now() > until) break;
    }
    return { milliseconds: median(times), bytes, cores: median(busy) };
  }
}

async function report(): Promise<void> {
  using gpu = await openGpu();
  const about = await circumstances(gpu, loadBefore);
  const lines = points.map(({ shape, work, length, milliseconds, bytes, cores }) =>
    `| ${shape} | ${work} | ${length} | ${milliseconds.toFixed(0)} | ` +
    `${(bytes / 2 ** 20).toFixed(1)} | ${cores.toFixed(1)} |`
  );
  const markdown = [
    headOf("Growth with the length of the prompt", about),
    "Forward passes give the last position's logits. Bytes are those in use at a time at most, " +
    "beside the weights.\n",
    "| shape | work | tokens | ms | MiB | cores |",
    "|---|---|---:|---:|---:|---:|",
    ...lines,
    ...(skipped.length > 0 ? ["\nLeft out:\n", ...skipped.map((each) => `- ${each}`)] : []),
    ...(quick ? [] : ["\n![Time and bytes against tokens](growth.svg)"]),
  ].join("\n");
  console.log(markdown);
  if (quick) return;
  await writeResult("growth", { markdown, data: { about, points, skipped } });
  const plot = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--no-check",
      new URL("plots/growth.ts", import.meta.url).pathname,
    ],
  }).output();
  if (!plot.success) throw new Error(`Cannot plot: ${new TextDecoder().decode(plot.stderr)}`);
}
