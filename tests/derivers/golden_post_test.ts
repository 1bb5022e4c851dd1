/** The golden data of stores, postprocessors and two passes: what is done after a run. */

import assert from "node:assert/strict";

import { type DerivedRun, deriveScalars } from "../../derivers/derive.ts";
import { deriveMultiPass, inputsOf, type InputSource } from "../../derivers/multi_pass.ts";
import {
  postprocessorNeeds,
  residualReads,
  residualWrites,
  tokenPairAttributions,
  tokenReads,
  tokenWrites,
} from "../../derivers/postprocess.ts";
import type { DstRequest, LossFnConfig, NodeIndex } from "../../derivers/request.ts";
import type { TopScalar } from "../../derivers/scalar_store.ts";
import type { SequenceRun } from "../../derivers/site.ts";
import {
  maxAbsOf,
  maxOf,
  nestedSum,
  numelOf,
  numNonzeroOf,
  sumAbsOf,
  sumOf,
} from "../../derivers/sums.ts";
import { type ScalarName, type ScalarRow, scalarTable } from "../../derivers/table.ts";
import type { Gpu } from "../../engine/gpu/gpu.ts";
import { loadModel, type Model } from "../../engine/model/model.ts";
import type { Tensor } from "../../engine/tape/tensor.ts";
import { assertClose } from "../support/assert_close.ts";
import {
  compareTopk,
  forwardTolerance,
  goldenModelPath,
  goldenTolerance,
  listGolden,
  readGoldenJson,
  readGoldenTensors,
} from "../support/golden.ts";
import { gpuTest } from "../support/gpu.ts";

const models = new Map<string, Promise<Model>>();

function modelNamed(gpu: Gpu, name: string): Promise<Model> {
  const found = models.get(name) ?? loadModel(goldenModelPath(name), { gpu });
  models.set(name, found);
  return found;
}

interface Post {
  readonly kind: "store_ops" | "postprocess" | "multi_pass";
  readonly name: string;
  readonly model: string;
  readonly autoencoders: { name: string; layers: number[] | null }[];
}

/** The golden files of a kind. */
function postsOf<P extends Post>(kind: Post["kind"]): P[] {
  const all = listGolden("post").map((name) => readGoldenJson(`post/${name}.json`) as P);
  const found = all.filter((post) => post.kind === kind);
  assert.ok(found.length > 0, `no golden data of kind ${kind}`);
  return found;
}

function readExpected<E>({ name }: Post): E {
  return readGoldenJson(`post/${name}.expected.json`) as E;
}

// Stores

interface StoreOpsPost extends Post {
  readonly tokens: number[];
  readonly lossFnConfig: LossFnConfig;
  readonly dsts: ScalarName[];
  readonly dstConfig: DstRequest["config"];
}

type WantedIndex = [dst: string, layer: number | null, tensorIndices: number[]];

interface StoreOp {
  readonly op: string;
  readonly k?: number | null;
  readonly largest?: boolean;
  readonly dsts?: ScalarName[];
  readonly layerIndices?: number[];
  readonly nodeType?: NodeIndex["nodeType"];
  readonly dimsToKeep?: ScalarRow["dims"];
  readonly result: unknown;
}

function entryOf([dst, layerIndex, tensorIndices]: WantedIndex, value: number) {
  return { dst, layerIndex, tensorIndices, value };
}

gpuTest("ScalarStore and sums agree with the golden store operations", async ({ gpu, t }) => {
  for (const post of postsOf<StoreOpsPost>("store_ops")) {
    const model = await modelNamed(gpu, post.model);
    const { tokens, lossFnConfig } = post;
    const dsts = post.dsts.map((dst) => ({ dst, config: post.dstConfig }));
    const { ops } = readExpected<{ ops: StoreOp[] }>(post);
    for (const [i, op] of ops.entries()) {
      await t.step(`${post.name} ${i} ${op.op}`, async () => {
        // A store of its own, so that nothing is on the host already.
        using run = await deriveScalars(model, { tokens, lossFnConfig, dsts });
        await checkStoreOp(run, op);
      });
    }
  }
});

async function checkStoreOp({ scalars }: DerivedRun, { op, result, ...options }: StoreOp) {
  const close = (got: unknown, want: unknown) =>
    assertClose([got].flat(9) as number[], [want].flat(9) as number[], goldenTolerance);
  switch (op) {
    case "topk": {
      const { n, values, indices } = result as {
        n: number;
        values: number[];
        indices: WantedIndex[];
      };
      const got = await scalars.topk(options.k, options);
      assert.equal(got.length, n);
      const want = values.map((value, i) => entryOf(indices[i]!, value));
      compareTopk(got.slice(0, want.length), want);
      break;
    }
    case "max":
    case "max_abs": {
      const { value, index } = result as { value: number; index: WantedIndex };
      const got: TopScalar = await (op === "max" ? maxOf : maxAbsOf)(scalars, options);
      compareTopk([got], [entryOf(index, value)], { next: -Infinity });
      break;
    }
    case "sum":
      return close(nestedSum(await sumOf(scalars, options)), result);
    case "sum_abs":
      return close(nestedSum(await sumAbsOf(scalars, options)), result);
    case "num_nonzero":
      return assert.equal(nestedSum(await numNonzeroOf(scalars, options)), result);
    case "numel":
      return assert.equal(numelOf(scalars, options), result);
    default:
      assert.fail(`unknown operation "${op}"`);
  }
}

// Postprocessors

interface PostprocessPost extends Post {
  readonly tokens: number[];
  readonly nodes: NodeIndex[];
}

interface PostprocessExpected {
  readonly nodes: { results: Record<string, "tensor" | "inactive" | "not_defined"> }[];
}

const postprocessors: Record<
  string,
  (run: SequenceRun, nodes: NodeIndex[]) => Promise<ArrayLike<ArrayLike<number>>>
> = {
  residual_write: async (run, nodes) => rowsOf(await residualWrites(run, nodes)),
  token_write: async (run, nodes) => rowsOf(await tokenWrites(run, nodes)),
  residual_read: async (run, nodes) => rowsOf(await residualReads(run, nodes)),
  token_read: async (run, nodes) => rowsOf(await tokenReads(run, nodes)),
  token_pair_attribution: async (run, nodes) =>
    (await tokenPairAttributions(run, nodes)).map((each) => each === "inactive" ? [] : each),
};

async function rowsOf(tensor: Tensor): Promise<Float32Array[]> {
  const values = await tensor.read();
  const { rows, width } = tensor;
  return Array.from({ length: rows }, (_, row) => values.subarray(row * width, (row + 1) * width));
}

async function runForNodes(
  model: Model,
  { tokens, autoencoders }: Pick<PostprocessPost, "tokens" | "autoencoders">,
): Promise<DerivedRun> {
  // Which locations is known only once the facts are: those of a first, empty run.
  using empty = await deriveScalars(model, { tokens, autoencoders, dsts: [] });
  const locations = new Set(postprocessorNeeds(empty.run.facts).map(({ location }) => location));
  const saveActivations = [...locations].map((activationLocationType) => ({
    activationLocationType,
    passType: "forward" as const,
  }));
  return deriveScalars(model, { tokens, autoencoders, dsts: [], saveActivations });
}

gpuTest(
  "postprocessors agree with the golden data, nodes together and alone",
  async ({ gpu, t }) => {
    for (const post of postsOf<PostprocessPost>("postprocess")) {
      const model = await modelNamed(gpu, post.model);
      using run = await runForNodes(model, post);
      const expected = readExpected<PostprocessExpected>(post);
      const tensors = readGoldenTensors(`post/${post.name}.safetensors`);
      for (const [name, process] of Object.entries(postprocessors)) {
        const results = expected.nodes.map(({ results }) => results[name]);
        const defined = post.nodes.filter((_, i) => results[i] && results[i] !== "not_defined");
        await t.step(`${post.name} ${name} of ${defined.length} nodes`, async () => {
          const together = defined.length > 0 ? await process(run.run, defined) : [];
          let at = 0;
          for (const [i, node] of post.nodes.entries()) {
            const label = `${name} of ${JSON.stringify(node)}`;
            if (results[i] === "not_defined") {
              await assert.rejects(() => process(run.run, [node]), {
                name: "RequestError",
                code: "not_defined",
                message: new RegExp(`"${node.nodeType}"`),
              }, label);
            }
            if (!defined.includes(node)) continue;
            const [alone] = Array.from(await process(run.run, [node]));
            const got = together[at++]!;
            const want = tensors.get(`${i}/${name}`)?.data ?? [];
            assert.equal(results[i] === "inactive", want.length === 0, label);
            assertClose(got, want, { label, ...forwardTolerance });
            assertClose(alone!, got, { label: `${label} alone`, rel: 1e-6, abs: 1e-7 });
          }
          assert.equal(at, together.length);
        });
      }
    }
  },
);

// Two passes

interface MultiPassPost extends Post {
  readonly prompts: { main: number[]; baseline: number[] };
  readonly lossFnConfig: LossFnConfig;
  readonly derivers: { dst: ScalarName; subPromptCombos: InputSource[] }[];
}

interface MultiPassExpected {
  readonly derivers: { subSources: [dst: ScalarName, passType: string][] }[];
}

gpuTest("deriveMultiPass() agrees with the golden data", async ({ gpu, t }) => {
  for (const post of postsOf<MultiPassPost>("multi_pass")) {
    const model = await modelNamed(gpu, post.model);
    const { prompts, lossFnConfig, derivers } = post;
    const dsts = [...new Set(derivers.map(({ dst }) => dst))].map((dst) => ({ dst, config: {} }));
    using run = await deriveScalars(model, {
      sequences: [prompts.main, prompts.baseline].map((tokens) => ({ tokens, lossFnConfig, dsts })),
    });
    const [main, baseline] = run.sequences.map((sequence) => sequence.run) as [
      SequenceRun,
      SequenceRun,
    ];
    const expected = readExpected<MultiPassExpected>(post);
    const tensors = readGoldenTensors(`post/${post.name}.safetensors`);
    const seen = new Set<string>();
    for (const [i, { dst, subPromptCombos: sources }] of derivers.entries()) {
      await t.step(`${post.name} ${dst} ${sources.join(", ")}`, async () => {
        const inputs = inputsOf({ dst }, main).map(({ slots: [slot] }) => [
          slot!.location,
          slot!.pass,
        ]);
        const wanted = expected.derivers[i]!.subSources.map(([source, passType]) => {
          const row: ScalarRow = scalarTable[source];
          return [row.raw, passType];
        });
        assert.deepEqual(inputs, wanted);
        const store = deriveMultiPass({ main, baseline }, { dst, sources });
        const values = await store.read();
        for (const { layerIndex, tensor } of store.entries) {
          const name = `${i}/${dst}/forward/${layerIndex ?? "none"}`;
          const want = tensors.get(name)!;
          assert.deepEqual(tensor.shape, want.shape);
          assertClose(values.get(tensor)!, want.data, { label: name, ...goldenTolerance });
          seen.add(name);
        }
      });
    }
    assert.deepEqual([...seen].sort(), [...tensors.keys()].sort());
  }
});
