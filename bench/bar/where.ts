/**
 * In which kernels the time goes.
 *
 * @module
 */

import { openGpu } from "../../engine/gpu/gpu.ts";
import { batchedTdb } from "../../server/answer.ts";
import { openSession } from "../../server/session.ts";
import { debuggerRequest } from "../support/debugger_request.ts";
import { runForward, runForwardBackward } from "../support/forward_work.ts";
import { randomModel, someTokens } from "../support/random_model.ts";

const length = 64;
const shown = 14;

/** Prints a table for each kind of run. Each dispatch is waited for, so all takes longer. */
export async function printWhere(): Promise<void> {
  using gpu = await openGpu({ timings: true });
  using model = randomModel(gpu, "gpt2");
  const session = await openSession(model);
  const tokens = someTokens(length);
  const request = debuggerRequest(tokens);
  const works: Record<string, () => unknown> = {
    "forward, last logits": () => runForward(model, { tokens, logits: "last" }),
    "forward, last logits, and backward": () => runForwardBackward(model, tokens),
    "debugger request": () => batchedTdb(session, request),
  };
  for (const [name, work] of Object.entries(works)) {
    await work(); // compiles and packs
    await gpu.finish();
    gpu.timings();
    const started = performance.now();
    await work();
    await gpu.finish();
    const whole = performance.now() - started;
    const times = gpu.timings();
    const inKernels = times.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    const dispatches = times.reduce((sum, each) => sum + each.dispatches, 0);
    console.log(
      `\n${name}: ${whole.toFixed(0)} ms, ${inKernels.toFixed(0)} ms of it in ${dispatches} ` +
        "dispatches, the rest on the host and in reads",
    );
    for (const { kernel, dispatches, milliseconds } of times.slice(0, shown)) {
      console.log(
        `${milliseconds.toFixed(1).padStart(8)} ms ${`${dispatches}`.padStart(5)} × ${kernel}`,
      );
    }
  }
}
