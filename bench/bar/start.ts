/**
 * How long it takes from nothing to a first result.
 *
 * @module
 */

import { median, spread } from "../support/measure.ts";
import type { BarOptions, Row } from "./row.ts";

// As ./run has it: Deno would load OpenGL as well, and then take Vulkan.
const env = Deno.build.os === "linux" ? { DENO_WEBGPU_BACKEND: "vulkan" } : {};

/** Rows about the start. */
export async function startRows({ quick }: BarOptions): Promise<Row[]> {
  const whole: number[] = [];
  const inside: number[] = [];
  for (let i = 0; i < (quick ? 3 : 9); i++) {
    const started = performance.now();
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--allow-all",
        "--no-check",
        new URL("start_child.ts", import.meta.url).pathname,
      ],
      stdout: "piped",
      env,
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const { value = "" } = await reader.read();
    const seconds = (performance.now() - started) / 1000;
    reader.releaseLock();
    if (!(await child.status).success) throw new Error("Cannot measure the start: it failed");
    if (i === 0) continue; // compiles, and fills the driver's cache
    whole.push(seconds);
    inside.push(Number(value) / 1000);
  }
  return [{
    question: "start to first result of models/recall, in seconds",
    value: median(whole),
    spread: spread(whole),
    bar: { atMost: 0.2 },
    detail: `of a new process; ${(1000 * median(inside)).toFixed(0)} ms since its first module`,
  }];
}
