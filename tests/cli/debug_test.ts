import assert from "node:assert/strict";
import type { DebugReport } from "../../cli/debug_report.ts";
import { assertClose } from "../support/assert_close.ts";
import { goldenModelPath } from "../support/golden.ts";
import { gpuTest } from "../support/gpu.ts";
import { displayWidth, lineWidth } from "../../cli/text_table.ts";
import { runCli } from "./run_cli.ts";

const prompt = "<5><17><33><2><5><17><88>";
const base = ["debug", "--model", goldenModelPath("tiny"), "--prompt", prompt];
const versus = ["--target", "<33>", "--distractor", "<4>"];

async function report(...args: string[]): Promise<DebugReport> {
  const { code, stdout, stderr } = await runCli([...base, "--json", ...args]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

gpuTest("debug --json explains a logit difference", async () => {
  const { prompts: [first], lossFnConfig } = await report(...versus, "--top", "4");
  const { run, nodes, tokens, ablated } = first!;
  assert.equal(lossFnConfig?.name, "logit_diff");
  assert.equal(ablated, null);
  assert.deepEqual(tokens.map(({ id }) => id), [5, 17, 33, 2, 5, 17, 88]);
  const logitOf = (text: string) => run.nextTokens.find((token) => token.text === text)!.logit;
  assertClose([run.loss!], [logitOf("<33>") - logitOf("<4>")]);
  assert.deepEqual(run.nextTokens.slice(0, 4).map(({ rank }) => rank), [1, 2, 3, 4]);
  assert.deepEqual(run.nextTokens.filter(({ role }) => role !== null).map(({ role }) => role), [
    "distractor",
    "target",
  ]);
  assert.equal(nodes.length, 4);
  const sizes = nodes.map(({ totalEffect }) => Math.abs(totalEffect));
  assert.deepEqual(sizes, sizes.toSorted((a, b) => b - a));
  for (const { kind, node, tokens: texts, totalEffect } of nodes) {
    assert.equal(texts.length, kind === "head" ? 2 : 1);
    if (kind === "token") {
      assert.equal(run.attributions[Number(node.tensorIndices[0])], totalEffect);
    }
  }
});

gpuTest("debug --ablate shows what changes, and nothing else does", async () => {
  const nothing = await report(...versus, "--ablate", "attention_head:0.0@6,6=0");
  assert.notEqual(nothing.prompts[0]!.ablated!.loss, nothing.prompts[0]!.run.loss);
  // Without what comes before, a first token attends only to itself: 1 is written over 1.
  const same = await report(...versus, "--ablate", "attention_head:2.1@0,0=1");
  assert.equal(same.prompts[0]!.ablated!.loss, same.prompts[0]!.run.loss);
  const { prompts: [first] } = await report(...versus, "--ablate", "mlp_neuron:2.72@-1");
  const { run, ablated, nodes } = first!;
  assert.notEqual(ablated!.loss, run.loss);
  for (const { node, afterAblation } of nodes) {
    if (node.nodeType !== "mlp_neuron" || node.layerIndex !== 2) continue;
    if (node.tensorIndices[1] === 72) assert.equal(afterAblation!.totalEffect, 0);
  }
});

gpuTest("debug --trace needs no target", async () => {
  const { prompts: [first], lossFnConfig } = await report("--trace", "mlp_neuron:1.17@5");
  assert.equal(lossFnConfig, null);
  assert.equal(first!.run.loss, null);
  assert.equal(typeof first!.run.tracedValue, "number");
  assert.equal(first!.run.attributions[6], 0, "a later token has no effect");
  for (const { node } of first!.nodes) assert.ok((node.layerIndex ?? -1) <= 1);
});

gpuTest("debug --autoencoder shows latents in place of neurons and heads", async () => {
  const { prompts: [first] } = await report(
    ...[...versus, "--top", "30", "--autoencoder", "ae_resid_delta_mlp"],
    ...["--autoencoder", "ae_resid_delta_attn"],
  );
  const kinds = new Set(first!.nodes.map(({ kind }) => kind));
  assert.deepEqual([...kinds].sort(), ["attention latent", "mlp latent", "token"]);
});

gpuTest("debug prints within 100 columns whatever it is asked", async (test) => {
  const asked: string[][] = [
    versus,
    [...versus, "--ablate", "attention_head:1.3", "--ablate", "mlp_neuron:0.3@2=-1"],
    [...versus, "--prompt", "<5><17>", "--prompt", "<88>", "--ablate", "attention_head:1.3"],
    ["--trace", "attention_head:1.3@6,2:QK"],
    ["--trace", "attention_head:1.3@6,2:V", ...versus],
    ["--target", "<5>", "--autoencoder", "ae_resid_delta_attn"],
  ];
  for (const args of asked) {
    await test.t.step(args.join(" "), async () => {
      const { code, stdout, stderr } = await runCli([...base, ...args]);
      assert.equal(code, 0, stderr);
      const wide = stdout.split("\n").filter((line) => displayWidth(line) > lineWidth);
      assert.deepEqual(wide, []);
      assert.match(stdout, /total effect.*direct effect.*write norm/);
    });
  }
});

gpuTest("debug says what does not exist, in one line", async (test) => {
  const asked: [string[], RegExp][] = [
    [["--target", "<33><2>"], /"<33><2>" in targetTokens: it is tokens \[33, 2\]/],
    [[...versus, "--ablate", "attention_head:9.1"], /layer 9: layers must be from 0 to 2/],
    [[...versus, "--ablate", "attention_head:1.9"], /index 9 for "attn_heads"/],
    [[...versus, "--ablate", "mlp_neuron:1.128"], /index 128 for "mlp_acts"/],
    [[...versus, "--ablate", "mlp_neuron:1.1@7"], /index 7 for "sequence_tokens"/],
    [["--trace", "mlp_autoencoder_latent:1.1@2"], /"mlp_autoencoder_latent"/],
    [["--trace", "attention_head:1.1@3,2:V"], /lossFnConfig/],
    [[...versus, "--autoencoder", "nope"], /Cannot find autoencoder "nope"/],
  ];
  for (const [args, message] of asked) {
    await test.t.step(args.join(" "), async () => {
      const { code, stdout, stderr } = await runCli([...base, ...args]);
      assert.equal(code, 1);
      assert.equal(stdout, "");
      assert.match(stderr, message);
      assert.equal(stderr.trim().split("\n").length, 1, stderr);
    });
  }
});
