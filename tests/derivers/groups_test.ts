import assert from "node:assert/strict";

import {
  createGroups,
  type Group,
  topNodes,
  unionOfNodes,
  valuesAtNodes,
} from "../../derivers/groups.ts";
import type { NodeIndex } from "../../derivers/request.ts";
import { gpuTest } from "../support/gpu.ts";
import { createRandom } from "../support/random.ts";
import { gpuStore, hostStore, type MadeUp, madeUp } from "./stores.ts";

const writeNorm: Group = {
  groupId: "write_norm",
  scalars: ["mlp_write_norm", "attn_write_norm_per_sequence_token"],
};
const actTimesGrad: Group = {
  groupId: "act_times_grad",
  scalars: ["mlp_act_times_grad", "attn_act_times_grad_per_sequence_token"],
};

function neuron(layerIndex: number, tensorIndices: number[]): NodeIndex {
  return { nodeType: "mlp_neuron", layerIndex, tensorIndices, passType: "forward" };
}

function head(layerIndex: number, tensorIndices: number[]): NodeIndex {
  return { ...neuron(layerIndex, tensorIndices), nodeType: "attention_head" };
}

/** Small whole numbers, so that equals are everywhere. */
function scalarsOf(seed: number, { nTokens = 4, dMlp = 5 } = {}): MadeUp[] {
  const random = createRandom(seed);
  const value = () => random.integer(7) - 3;
  return [...writeNorm.scalars, ...actTimesGrad.scalars].flatMap((dst) =>
    [0, 1].map((layer) =>
      madeUp(dst, layer, { shape: [nTokens, dst.startsWith("mlp") ? dMlp : 3], value })
    )
  );
}

/** The rule of the specification, word by word. */
function bruteForce(
  scalars: readonly MadeUp[],
  { groups, k, tokenIndex }: { groups: Group[]; k: number | null; tokenIndex?: number },
): NodeIndex[] {
  const nodes: NodeIndex[] = [];
  for (const { scalars: dsts } of groups) {
    for (const largest of [true, false]) {
      const merged = dsts.flatMap((dst) => {
        const all = scalars.filter((each) => each.dst === dst).flatMap(
          ({ layerIndex, shape, values }) =>
            Array.from(values, (value, flat) => {
              const tensorIndices = [Math.floor(flat / shape[1]!), flat % shape[1]!];
              const nodeType = dst.startsWith("mlp") ? "mlp_neuron" : "attention_head";
              return {
                value,
                flat,
                node: { nodeType, layerIndex, tensorIndices, passType: "forward" } as NodeIndex,
              };
            }),
        ).filter(({ node }) =>
          tokenIndex === undefined || node.tensorIndices[0] === (tokenIndex + 4) % 4
        );
        all.sort((a, b) =>
          (largest ? b.value - a.value : a.value - b.value) ||
          a.node.layerIndex! - b.node.layerIndex! || a.flat - b.flat
        );
        return all.slice(0, k ?? undefined);
      });
      merged.sort((a, b) => b.value - a.value);
      for (const { node } of merged) {
        const [t, n] = node.tensorIndices;
        const found = { ...node, tensorIndices: [tokenIndex ?? t!, n!] };
        const known = nodes.some((each) => JSON.stringify(each) === JSON.stringify(found));
        if (!known) nodes.push(found);
      }
    }
  }
  return nodes;
}

gpuTest("topNodes() follows the rule, equals included", async ({ arena, t }) => {
  const groups = createGroups([writeNorm, actTimesGrad]);
  for (const k of [1, 3, 100, null]) {
    for (const tokenIndex of [undefined, 2, -1]) {
      await t.step(`k=${k} tokenIndex=${tokenIndex}`, async () => {
        for (const seed of [1, 2, 3]) {
          const scalars = scalarsOf(seed);
          const want = bruteForce(scalars, {
            groups: [writeNorm, actTimesGrad],
            k,
            ...(tokenIndex !== undefined && { tokenIndex }),
          });
          const options = { topAndBottomK: k, tokenIndex: tokenIndex ?? null };
          for (const store of [gpuStore(arena, scalars), hostStore(scalars)]) {
            assert.deepEqual(await topNodes({ groups, scalars: store }, options), want);
          }
        }
      });
    }
  }
});

gpuTest(
  "topNodes() and valuesAtNodes() read once each, also from long scalars",
  async ({ arena }) => {
    const scalars = scalarsOf(4, { dMlp: 9001 });
    const groups = createGroups([writeNorm, actTimesGrad]);
    const store = gpuStore(arena, scalars);
    const { reads } = arena.gpu.counts();
    const nodes = await topNodes({ groups, scalars: store }, { topAndBottomK: 10 });
    assert.equal(arena.gpu.counts().reads, reads + 1);
    assert.deepEqual(nodes, bruteForce(scalars, { groups: [writeNorm, actTimesGrad], k: 10 }));
    const got = await valuesAtNodes({ groups, scalars: store }, nodes);
    assert.ok(arena.gpu.counts().reads <= reads + 2);
    assert.deepEqual(got, await valuesAtNodes({ groups, scalars: hostStore(scalars) }, nodes));
    const last = await topNodes({ groups, scalars: store }, { topAndBottomK: 3, tokenIndex: -1 });
    assert.deepEqual(
      last,
      bruteForce(scalars, { groups: [writeNorm, actTimesGrad], k: 3, tokenIndex: -1 }),
    );
  },
);

Deno.test("topNodes() finds the heads of a token in a scalar over token pairs", async () => {
  // Pairs (0,0) (1,0) (1,1) (2,0) (2,1) (2,2), two heads.
  const store = hostStore([
    madeUp("attn_write_norm", 0, { shape: [6, 2], value: (flat) => flat }),
  ]);
  const groups = createGroups([{ groupId: "write_norm", scalars: ["attn_write_norm"] }]);
  const nodes = await topNodes({ groups, scalars: store }, { topAndBottomK: 1, tokenIndex: -2 });
  assert.deepEqual(nodes, [head(0, [-2, 1, 1]), head(0, [-2, 0, 0])]);
  const values = await valuesAtNodes({ groups, scalars: store }, nodes);
  assert.deepEqual(values, { write_norm: [5, 2] });
});

Deno.test("valuesAtNodes() gives every group's value at every node", async () => {
  const shape = [2, 2];
  const store = hostStore([
    madeUp("mlp_write_norm", 0, { shape, value: (i) => i }),
    madeUp("mlp_act_times_grad", 0, { shape, value: (i) => 10 * i }),
  ]);
  const groups = createGroups([
    { groupId: "write_norm", scalars: ["mlp_write_norm"] },
    { groupId: "act_times_grad", scalars: ["mlp_act_times_grad"] },
  ]);
  const nodes = [neuron(0, [1, 1]), neuron(0, [-2, 1])];
  assert.deepEqual(await valuesAtNodes({ groups, scalars: store }, nodes), {
    write_norm: [3, 1],
    act_times_grad: [30, 10],
  });
  const at = (node: NodeIndex) => valuesAtNodes({ groups, scalars: store }, [node]);
  const refused = [
    [neuron(0, [2, 0]), "index_out_of_range", /index 2 /],
    [neuron(1, [0, 0]), "not_derived", /"mlp_write_norm".*layer 1/],
    [neuron(0, [0]), "wrong_number_of_indices", /"mlp_write_norm"/],
    [head(0, [0, 0, 0]), "no_such_node", /"attention_head"/],
  ] as const;
  for (const [node, code, message] of refused) {
    await assert.rejects(at(node), { name: "RequestError", code, message });
  }
});

Deno.test("valuesAtNodes() refuses what is not finite unless told, naming the scalar", async () => {
  const store = hostStore([
    madeUp("mlp_write_norm", 0, { shape: [1, 2], value: (i) => i === 0 ? 1 : -Infinity }),
  ]);
  const groups = createGroups([{ groupId: "write_norm", scalars: ["mlp_write_norm"] }]);
  const nodes = [neuron(0, [0, 0]), neuron(0, [0, 1])];
  await assert.rejects(valuesAtNodes({ groups, scalars: store }, nodes), {
    name: "RequestError",
    code: "non_finite",
    message: /"mlp_write_norm".*-Infinity/,
  });
  const values = await valuesAtNodes({ groups, scalars: store }, nodes, { allowNonFinite: true });
  assert.deepEqual(values, { write_norm: [1, -Infinity] });
});

Deno.test("topNodes() refuses a token that is not there", async () => {
  const groups = createGroups([writeNorm]);
  await assert.rejects(
    topNodes({ groups, scalars: hostStore(scalarsOf(1)) }, { topAndBottomK: 1, tokenIndex: 4 }),
    { name: "RequestError", code: "index_out_of_range", message: /index 4 .*"mlp_write_norm"/ },
  );
});

Deno.test("createGroups() refuses groups that do not fit together", () => {
  const refused: [Group[], string, RegExp][] = [
    [
      [{ groupId: "activation", scalars: ["mlp_post_act", "mlp_pre_act"] }],
      "node_type_repeated",
      /"mlp_post_act" and "mlp_pre_act".*"activation"/,
    ],
    [
      [writeNorm, { groupId: "activation", scalars: ["mlp_post_act"] }],
      "groups_differ",
      /"write_norm" and "activation"/,
    ],
    [
      [writeNorm, { groupId: "act_times_grad", scalars: actTimesGrad.scalars.toReversed() }],
      "groups_differ",
      /"write_norm" and "act_times_grad".*same order/,
    ],
    [[writeNorm, writeNorm], "group_repeated", /"write_norm"/],
  ];
  for (const [groups, code, message] of refused) {
    assert.throws(() => createGroups(groups), { name: "RequestError", code, message });
  }
  assert.deepEqual(createGroups([writeNorm, actTimesGrad]).nodeTypes, [
    "mlp_neuron",
    "attention_head",
  ]);
  assert.deepEqual(createGroups([]).nodeTypes, []);
});

Deno.test("unionOfNodes() keeps each node where it first occurs", () => {
  const [a, b, c] = [neuron(0, [1, 2]), neuron(1, [1, 2]), head(0, [1, 2])];
  assert.deepEqual(unionOfNodes([[a, b], [c, { ...b }, a], []]), [a, b, c]);
});
