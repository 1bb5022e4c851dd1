import assert from "node:assert/strict";

import { type DerivedSequence, deriveScalars } from "../../derivers/derive.ts";
import type { DeriveRequestInput } from "../../derivers/request.ts";
import { readTensors } from "../../engine/tape/tensor.ts";
import { gpuTest } from "../support/gpu.ts";
import { createRandom, type Random } from "../support/random.ts";
import { goldenModel } from "./golden_cases.ts";
import {
  randomAutoencoders,
  randomModel,
  randomScalars,
  randomSequence,
} from "./random_request.ts";

type Sequence = DeriveRequestInput["sequences"][number];

const backwardAblation = (layerIndex: number, value: number) => ({
  index: {
    activationLocationType: "resid.post_mlp" as const,
    passType: "backward" as const,
    tensorIndices: ["All" as const, 3],
    layerIndex,
  },
  value,
});

/** Everything that a sequence gives, as text: its numbers to the last bit, but 0 for -0. */
async function contentOf(sequence: DerivedSequence): Promise<Map<string, string>> {
  const { scalars, activations } = sequence;
  const tensors = [
    ...scalars.entries.map(({ dst, passType, layerIndex, tensor }) =>
      [`${dst}/${passType}/${layerIndex}`, tensor] as const
    ),
    ...[...activations].map(([{ location, pass, layer }, tensor]) =>
      [`raw/${location}/${pass}/${layer}`, tensor] as const
    ),
  ];
  const values = await readTensors(tensors.map(([, tensor]) => tensor));
  const content = new Map<string, string>(
    tensors.map((
      [name, { shape }],
      i,
    ) => [name, `[${shape}] ${values[i]!}`]),
  );
  content.set("loss", `${sequence.loss}`);
  content.set("traced", `${sequence.activationValueForBackwardPass}`);
  const refused = sequence.notComputable.map(({ dst, error }) => `${dst} ${error}`);
  content.set("not computable", refused.join());
  return content;
}

function assertSame(
  got: ReadonlyMap<string, string>,
  want: ReadonlyMap<string, string>,
  label: string,
): void {
  assert.deepEqual([...got.keys()], [...want.keys()], label);
  for (const [name, content] of want) {
    assert.ok(got.get(name) === content, `${label}: "${name}" differs`);
  }
}

function shuffled<T>(random: Random, values: readonly T[]): T[] {
  return values.map((value) => ({ value, key: random.uniform() }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value);
}

for (const name of ["tiny", "odd"] as const) {
  gpuTest(
    `deriveScalars() gives the sequences of a batch what separate runs give, to the last bit: ${name}`,
    async ({ gpu, t }) => {
      const model = await goldenModel(gpu, name);
      const reference = randomModel(name);
      for (let seed = 1; seed <= 10; seed++) {
        await t.step(`seed ${seed}`, async () => {
          const random = createRandom(100 + seed);
          const autoencoders = randomAutoencoders(random, reference);
          const named = autoencoders.map(({ name, layers }) => ({
            name,
            layers: [...layers.keys()],
          }));
          const sequences: Sequence[] = Array.from({ length: 2 + random.integer(3) }, () => {
            const longest = seed % 5 === 0 ? reference.ref.nCtx : 7;
            const sequence = randomSequence(random, { model: reference, autoencoders, longest });
            const nTokens = sequence.tokens.length;
            const dsts = randomScalars(random, { model: reference, autoencoders, nTokens });
            return { ...sequence, dsts };
          });
          const alone: Map<string, string>[] = [];
          for (const sequence of sequences) {
            using run = await deriveScalars(model, { autoencoders: named, sequences: [sequence] });
            alone.push(await contentOf(run));
          }
          const orders = [sequences.map((_, i) => i), shuffled(random, [...sequences.keys()])];
          for (const order of orders) {
            using run = await deriveScalars(model, {
              autoencoders: named,
              sequences: order.map((i) => sequences[i]!),
            });
            for (const [place, i] of order.entries()) {
              const got = await contentOf(run.sequences[place]!);
              assertSame(got, alone[i]!, `sequence ${i} of order ${order}`);
            }
          }
        });
      }
    },
  );
}

gpuTest(
  "deriveScalars() keeps a trace apart from a loss beside it, though ablations lie downstream of it",
  async ({ gpu }) => {
    const model = await goldenModel(gpu, "tiny");
    const saveActivations = (["resid.post_emb", "resid.post_mlp", "attn.qk_probs"] as const).map(
      (activationLocationType) => ({ activationLocationType, passType: "backward" as const }),
    );
    const dsts = ["mlp_act_times_grad", "token_attribution"] as const;
    const trace: Sequence = {
      tokens: [5, 6, 7, 8],
      traceConfig: {
        nodeIndex: {
          nodeType: "mlp_neuron",
          layerIndex: 1,
          tensorIndices: [-1, 9],
          passType: "forward",
        },
        preOrPostAct: "post",
        detachLayerNormScale: false,
      },
      // No gradient comes by in layers 1 and 2: only the one in layer 0 has an effect.
      ablationSpecs: [backwardAblation(2, 7), backwardAblation(1, 5), backwardAblation(0, 3)],
      dsts: [...dsts],
      saveActivations,
    };
    const loss: Sequence = {
      tokens: [9, 9],
      lossFnConfig: { name: "probs", targetTokens: ["<4>", "<4>"] },
      ablationSpecs: [backwardAblation(2, -1)],
      dsts: [...dsts],
      saveActivations,
    };
    using both = await deriveScalars(model, { sequences: [trace, loss] });
    using traceAlone = await deriveScalars(model, { sequences: [trace] });
    using lossAlone = await deriveScalars(model, { sequences: [loss] });
    using unablated = await deriveScalars(model, {
      sequences: [{ ...trace, ablationSpecs: [backwardAblation(0, 3)] }],
    });
    const [first, second] = both.sequences as [DerivedSequence, DerivedSequence];
    const traced = await contentOf(first);
    assertSame(traced, await contentOf(traceAlone), "trace");
    assertSame(traced, await contentOf(unablated), "trace without ablations downstream");
    assertSame(await contentOf(second), await contentOf(lossAlone), "loss");
  },
);
