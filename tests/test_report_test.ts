import assert from "node:assert/strict";

import { countTests } from "../tools/test_report.ts";

Deno.test("countTests() reads the last summary of a run", async (t) => {
  const cases: [name: string, output: string, exitCode: number, passed: number, failed: number][] =
    [
      ["plain", "a ... ok\n\nok | 12 passed | 0 failed (3s)\n\n", 0, 12, 0],
      ["with steps", "ok | 3 passed (17 steps) | 0 failed (9ms)\n", 0, 3, 0],
      ["with one ignored", "ok | 1 passed (1 step) | 0 failed | 1 ignored (9ms)\n", 0, 1, 0],
      ["a failure", "FAILED | 4 passed (2 steps) | 2 failed (1 step) (1s)\n", 1, 4, 2],
      ["coloured", "\x1b[0m\x1b[32mok\x1b[0m | 7 passed | 0 failed \x1b[0m(9ms)\x1b[0m\n", 0, 7, 0],
      [
        "a summary printed by a test before it",
        "ok | 9 passed | 9 failed\nok | 1 passed | 0 failed\n",
        0,
        1,
        0,
      ],
      ["no summary, as types are wrong", "TS2322 [ERROR]\n", 1, 0, 1],
      ["no failed test, but a failed run", "ok | 5 passed | 0 failed (1s)\n", 1, 5, 1],
      ["aborted after its summary", "ok | 5 passed | 0 failed (1s)\n", 134, 5, 0],
      ["aborted before its summary", "a ... ok\nb ...", 134, 0, 1],
      ["aborted after a failure", "FAILED | 5 passed | 1 failed (1s)\n", 134, 5, 1],
    ];
  for (const [name, output, exitCode, passed, failed] of cases) {
    await t.step(name, () => {
      assert.deepEqual(countTests(output, exitCode), { passed, failed });
    });
  }
});
