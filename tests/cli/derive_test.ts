import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { assertClose } from "../support/assert_close.ts";
import {
  compareTopk,
  goldenModelPath,
  goldenPath,
  goldenTolerance,
  lookupOf,
  readGoldenCase,
  readGoldenTensors,
  type TopkEntry,
} from "../support/golden.ts";
import { gpuTest } from "../support/gpu.ts";
import { runCli } from "./run_cli.ts";

const model = goldenModelPath("tiny");
const infinities = (_: string, value: unknown) =>
  value === "inf" ? Infinity : value === "-inf" ? -Infinity : value;

/** What `derive` writes beside the tensors. */
interface Written {
  readonly loss: (number | null)[];
  readonly activationValueForBackwardPass: (number | null)[];
  readonly topk: (TopkEntry & { node: { nodeType: string } })[][];
  readonly notComputable: { sequence: number; dst: string; error: string; message: string }[];
  readonly stats: { milliseconds: number; predictedBytes: number; peakBytes: number };
}

async function readWritten(out: string, name: string): Promise<Written> {
  return JSON.parse(await Deno.readTextFile(`${out}/${name}.json`), infinities);
}

gpuTest("derive writes the tensors and numbers of golden cases", async ({ t }) => {
  const names = ["tiny_batch2_V_loss_short", "tiny_core_loss", "tiny_core_backward"];
  const out = await Deno.makeTempDir();
  const { code, stdout, stderr } = await runCli([
    "derive",
    "--model",
    model,
    "--out",
    out,
    ...names.map((name) => goldenPath(`cases/${name}.json`)),
  ]);
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "", stderr: "" });
  for (const name of names) {
    await t.step(name, async () => {
      const wanted = readGoldenCase(name);
      const got = readGoldenTensors(relativeToGolden(`${out}/${name}.safetensors`));
      assert.deepEqual([...got.keys()].sort(), [...wanted.tensors.keys()].sort());
      for (const [label, { shape, data }] of wanted.tensors) {
        assert.deepEqual(got.get(label)!.shape, shape, label);
        assertClose(got.get(label)!.data, data, { label, shape, ...goldenTolerance });
      }
      const json = await readWritten(out, name);
      for (const field of ["loss", "activationValueForBackwardPass"] as const) {
        const known = wanted.expected[field].map((value) => value ?? 0);
        assert.deepEqual(
          json[field].map((value) => value === null),
          wanted.expected[field].map((value) => value === null),
        );
        assertClose(json[field].map((value) => value ?? 0), known, goldenTolerance);
      }
      assert.deepEqual(json.notComputable, []);
      assert.ok(json.stats.peakBytes > 0);
      assert.equal(json.stats.predictedBytes, json.stats.peakBytes);
    });
  }
  await Deno.remove(out, { recursive: true });
});

/** A path that the golden reader takes for one of its own. */
function relativeToGolden(path: string): string {
  return new URL(`file://${path}`).href;
}

gpuTest("derive ranks all forward scalars of a sequence, k as asked", async () => {
  const folder = await Deno.makeTempDir();
  const wanted = readGoldenCase("tiny_batch2_V_loss_short");
  const [list] = wanted.expected.topk[0]!;
  const request = { ...wanted.request, topK: list!.k };
  const file = `${folder}/ranked.json`;
  await Deno.writeTextFile(file, JSON.stringify(request));
  const { code } = await runCli(["derive", "--model", model, "--out", `${folder}/a/b`, file]);
  assert.equal(code, 0);
  const { topk } = await readWritten(`${folder}/a/b`, "ranked");
  compareTopk(topk[0]!, list!.entries, { lookup: lookupOf(wanted, 0) });
  assert.equal(topk[0]![0]!.node.nodeType, "mlp_neuron");
  await Deno.remove(folder, { recursive: true });
});

gpuTest("derive names file and path of what is malformed, and runs the rest", async () => {
  const folder = await Deno.makeTempDir();
  const write = (name: string, text: string) => Deno.writeTextFile(`${folder}/${name}`, text);
  await write("syntax.json", "{ not json");
  await write("field.json", '{"sequences": [{"prompt": "<1><2>", "dsts": ["mlp_pre_actt"]}]}');
  await write(
    "trace.json",
    '{"autoencoders": [{"name": "none"}], "sequences": [{"tokens": [1], "dsts": []}]}',
  );
  await write(
    "good.json",
    '{"sequences": [{"prompt": "<1><2>", "dsts": [{"dst": "mlp_write_norm", "config": {}}, "mlp_act_times_grad"]}], "topK": 2}',
  );
  const { code, stderr } = await runCli(
    ["derive", "--model", model, "--out", "out", "syntax.json", "field.json", "gone.json"]
      .concat(["trace.json", "good.json"]),
    { cwd: folder },
  );
  assert.equal(code, 1);
  const lines = stderr.trim().split("\n");
  assert.match(lines[0]!, /^Cannot read request "syntax\.json": it is not JSON/);
  assert.match(lines[1]!, /^Cannot read request "field\.json": "sequences\[0\]\.dsts\[0\]\.dst"/);
  assert.match(lines[2]!, /^Cannot read request "gone\.json": it does not exist/);
  assert.match(lines[3]!, /^"trace\.json": Cannot find autoencoder "none"/);
  assert.equal(lines[4], "4 of 5 requests failed");
  assert.equal(lines.length, 5);
  const written = [...Deno.readDirSync(`${folder}/out`)].map(({ name }) => name).sort();
  assert.deepEqual(written, ["good.json", "good.safetensors"]);
  const { loss, topk, notComputable } = await readWritten(`${folder}/out`, "good");
  assert.deepEqual(loss, [null]);
  assert.equal(topk[0]!.length, 2);
  assert.deepEqual(
    notComputable.map(({ sequence, dst, error }) => ({ sequence, dst, error })),
    [{ sequence: 0, dst: "mlp_act_times_grad", error: "gradients_without_objective" }],
  );
  await Deno.remove(folder, { recursive: true });
});

gpuTest("derive takes paths from where the task was called", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/r.json`, '{"sequences": [{"tokens": [1], "dsts": []}]}');
  const { code, stderr } = await runCli(
    ["derive", "--model", model, "--out", "out", "r.json"],
    { cwd: fileURLToPath(new URL("../..", import.meta.url)), env: { INIT_CWD: folder } },
  );
  assert.equal(code, 0, stderr);
  assert.ok((await Deno.stat(`${folder}/out/r.safetensors`)).isFile);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("derive refuses two requests whose results would have the same name", async () => {
  const { code, stderr } = await runCli(
    ["derive", "--model", "m", "--out", "o", "a/x.json", "b/x.json"],
  );
  assert.equal(code, 2);
  assert.match(stderr, /"a\/x\.json" and "b\/x\.json"/);
});
