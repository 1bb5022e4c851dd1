/**
 * Runs the tests: `deno task test [arguments of deno test]`. The last line on
 * stdout is `N passed, N failed`; the exit code is that of `deno test`,
 * but 0 where the driver aborts the process after every test has passed.
 *
 * Not called test.ts, as `deno test` would then take it for a test and run itself without end.
 *
 * @module
 */

import { countTests } from "./test_report.ts";

const KEEP = 4096; // characters: the summary is one line, the last but one

/** Passes `stream` on to stdout as it comes and returns its end. */
async function forward(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let end = "";
  for await (const chunk of stream) {
    end = (end + decoder.decode(chunk, { stream: true })).slice(-KEEP);
    for (let from = 0; from < chunk.length;) from += await Deno.stdout.write(chunk.subarray(from));
  }
  return end;
}

// One file at a time: with several GPU devices in one process, Mesa 22 corrupts its heap in about
// one run of twenty as the threads end.
const env: Record<string, string> = {};
if (Deno.stdout.isTerminal() && !Deno.noColor) env.FORCE_COLOR = "1";
const child = new Deno.Command(Deno.execPath(), {
  args: ["test", "--allow-all", ...Deno.args],
  stdin: "null",
  stdout: "piped",
  stderr: "inherit",
  env,
}).spawn();
const output = await forward(child.stdout);
const { code } = await child.status;
const { passed, failed } = countTests(output, code);
if (code !== 0 && failed === 0) {
  console.error(`the driver aborted (${code}) as the process ended, after every test had passed`);
}
console.log(`${passed} passed, ${failed} failed`);
Deno.exit(failed === 0 ? 0 : code);
