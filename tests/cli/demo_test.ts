import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { displayWidth, lineWidth } from "../../cli/text_table.ts";
import { gpuTest } from "../support/gpu.ts";
import { runCli } from "./run_cli.ts";

gpuTest("demo shows the answer, the head behind it, and the answer gone without it", async () => {
  const { code, stdout, stderr } = await runCli(["demo"]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /its answer is " cloud", with a probability of 9\d\.\d\d %/);
  assert.match(stdout, /The head that counts most is head \d\.\d/);
  const [, before, after] = /" cloud" falls from ([\d.]+) % to <?([\d.]+) %/.exec(stdout) ?? [];
  assert.ok(Number(before) > 90 && Number(after) < 50, `from ${before} % to ${after} %`);
  const wide = stdout.split("\n").filter((line) => displayWidth(line) > lineWidth);
  assert.deepEqual(wide, []);
});

gpuTest("examples run and print what they say", async ({ t }) => {
  const wanted = {
    "ablate_head.ts": /whole model +\d+\.\d %\n +without head 0\.0/,
    "top_scalars.ts": /attention_head \d\.\d +" \w+"@\d -> " \w+"@\d/,
    "read_activation.ts": /head 1\.1( +\d+)+/,
  };
  for (const [name, pattern] of Object.entries(wanted)) {
    await t.step(name, async () => {
      const path = fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", "--allow-all", path],
        stdin: "null",
      }).output();
      assert.equal(code, 0, new TextDecoder().decode(stderr));
      assert.match(new TextDecoder().decode(stdout), pattern);
    });
  }
});
