/**
 * Reads what `deno test` says at its end.
 *
 * @module
 */

/** How many tests passed and failed. */
export interface TestCount {
  passed: number;
  failed: number;
}

// "ok | 12 passed (5 steps) | 0 failed | 1 ignored (3s)", or "FAILED | ..."
const SUMMARY = /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed/;
// deno-lint-ignore no-control-regex -- the escape sequences that colour the text
const COLOUR = /\x1b\[[\d;]*m/g;

/**
 * Counts the tests of a run. A run that fails without a failed test (the code
 * does not type-check, a module is missing) counts as one failure.
 *
 * @param output What `deno test` wrote to stdout; its end is enough.
 * @param exitCode What it exited with.
 * @returns The count. Steps and ignored tests are not in it.
 */
export function countTests(output: string, exitCode: number): TestCount {
  const lines = output.replace(COLOUR, "").split("\n");
  const count = { passed: 0, failed: 0 };
  for (const line of lines) {
    const [, passed, failed] = SUMMARY.exec(line) ?? [];
    if (passed === undefined || failed === undefined) continue;
    count.passed = Number(passed);
    count.failed = Number(failed);
  }
  if (exitCode !== 0 && count.failed === 0 && !abortedAtEnd(count, exitCode)) count.failed = 1;
  return count;
}

/**
 * Whether a process was aborted after its summary said that every test had passed. Mesa
 * 22's llvmpipe does that in rare runs, as its threads end after several GPU devices.
 */
export function abortedAtEnd({ passed, failed }: TestCount, exitCode: number): boolean {
  const aborts = [134, 139]; // 128 + SIGABRT, SIGSEGV
  return passed > 0 && failed === 0 && aborts.includes(exitCode);
}
