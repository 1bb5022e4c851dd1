import assert from "node:assert/strict";
import type { InfoReport } from "../../cli/info_report.ts";
import { locationNames } from "../../engine/tape/locations.ts";
import { scalarNames } from "../../mod.ts";
import { goldenModelPath } from "../support/golden.ts";
import { gpuTest } from "../support/gpu.ts";
import { runCli } from "./run_cli.ts";

const model = goldenModelPath("tiny");
const commands = ["demo", "debug", "derive", "info"];

Deno.test("every command's --help has an example, and is no error", async (t) => {
  for (const command of commands) {
    await t.step(command, async () => {
      const { code, stdout, stderr } = await runCli([command, "--help"]);
      assert.equal(code, 0);
      assert.equal(stderr, "");
      assert.ok(stdout.includes(`deno task hooktape ${command}`), stdout);
    });
  }
  await t.step("of the program", async () => {
    const { code, stdout } = await runCli(["--help"]);
    assert.equal(code, 0);
    for (const command of commands) assert.match(stdout, new RegExp(`^  ${command}`, "m"));
    assert.match(stdout, /Exit codes: 0 ok, 1 .*, 2 .*, 3 /);
  });
});

Deno.test("wrong usage is one message and exit code 2", async (t) => {
  const asked: [string[], RegExp][] = [
    [[], /^Usage/],
    [["debgu"], /unknown command 'debgu'\n\(Did you mean debug\?\)/],
    [["info", "--jsn"], /unknown option '--jsn'/],
    [["info", "more"], /too many arguments/],
    [["debug", "--model", model, "--prompt", "<1>"], /--target .* --trace/],
    [["debug", "--prompt", "<1>", "--target", "<1>"], /--model <folder>/],
    [["debug", "--model", model, "--target", "<1>"], /--prompt <text>/],
    [["debug", "--model", model, "--prompt", "<1>", "--target", "<1>", "--top", "1.5"], /integer/],
    [["debug", "--model", model, "--prompt", "<1>", "--trace", "mlp_neuron:1.1"], /the token/],
    [["derive", "--model", model, "--out", "o"], /missing required argument/],
    [["derive", "--model", model, "x.json"], /--out <folder>/],
  ];
  for (const [args, message] of asked) {
    await t.step(args.join(" "), async () => {
      const { code, stdout, stderr } = await runCli(args);
      assert.equal(code, 2);
      assert.equal(stdout, "");
      assert.match(stderr, message);
    });
  }
});

Deno.test("a model that is not there is exit code 1", async () => {
  const { code, stderr } = await runCli(["info", "--model", "nowhere"]);
  assert.equal(code, 1);
  assert.match(stderr, /^Cannot load model "nowhere": it must have "config\.json"\n$/);
});

Deno.test("without a GPU adapter there is one message and exit code 3", async (t) => {
  const env = { DENO_WEBGPU_BACKEND: "none" };
  await t.step("debug", async () => {
    const { code, stdout, stderr } = await runCli(
      ["debug", "--model", model, "--prompt", "<1>", "--target", "<1>"],
      { env },
    );
    assert.deepEqual([code, stdout], [3, ""]);
    assert.match(stderr, /^Cannot open a GPU as there is no WebGPU adapter.*\n$/);
  });
  await t.step("info prints the rest", async () => {
    const { code, stdout, stderr } = await runCli(["info", "--model", model], { env });
    assert.equal(code, 3);
    assert.match(stdout, /parameters +45,408/);
    assert.match(stderr, /^Cannot open a GPU as there is no WebGPU adapter/);
  });
});

gpuTest("info --json has the adapter, the model, every slot and every scalar", async () => {
  const { code, stdout } = await runCli(["info", "--json", "--model", model]);
  assert.equal(code, 0);
  const report: InfoReport = JSON.parse(stdout);
  assert.ok(report.adapter!.maxBindingBytes > 0);
  assert.deepEqual(report.slots.map(({ location }) => location), locationNames);
  assert.deepEqual(report.scalars.map(({ dst }) => dst), scalarNames);
  const { parameters, bytes, nLayers, autoencoders } = report.model!;
  assert.deepEqual([parameters, bytes, nLayers], [45408, 4 * 45408, 3]);
  assert.ok(autoencoders.includes("ae_resid_delta_mlp"));
});

gpuTest("info prints every slot and scalar within 100 columns", async () => {
  const { code, stdout } = await runCli(["info"]);
  assert.equal(code, 0);
  for (const name of [...locationNames, ...scalarNames]) assert.ok(stdout.includes(`${name} `));
  assert.deepEqual(stdout.split("\n").filter((line) => [...line].length > 100), []);
});
