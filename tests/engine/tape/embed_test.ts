import assert from "node:assert/strict";

import { openGpu } from "../../../engine/gpu/gpu.ts";
import { embed } from "../../../engine/tape/ops/embed.ts";
import { Arena } from "../../../engine/tape/tensor.ts";
import { reference } from "../../reference/mod.ts";
import { assertClose } from "../../support/assert_close.ts";
import { gpuTest, readRefs, upload } from "../../support/gpu.ts";
import { caseOf, checkOp } from "../../support/gpu_ops.ts";
import { createRandom, randomRef } from "../../support/random.ts";

function idsFor(length: number, { tokens, positions }: { tokens: number; positions: number }) {
  const random = createRandom(length);
  return {
    tokens: Array.from({ length }, () => random.integer(tokens)),
    positions: Array.from({ length }, (_, i) => i % positions),
  };
}

gpuTest("embed() matches the reference, as do its derivatives", ({ context, t }) => {
  const more = ([[1, 5003, 7, 1], [65, 97, 63, 64], [23, 13, 257, 5]] as const).map(
    ([N, V, d, C]) =>
      caseOf("embed", [randomRef([V, d], 1), randomRef([C, d], 2)], {
        attrs: idsFor(N, { tokens: V, positions: C }),
        label: `N=${N} V=${V} d=${d} C=${C}`,
      }),
  );
  return checkOp(context, "embed", { t, more });
});

gpuTest("embed() gives the same values where the table is larger than one binding", async () => {
  using gpu = await openGpu({ maxBindingBytes: 4096 });
  using arena = new Arena(gpu);
  const [V, d, N] = [259, 13, 29];
  const ids = idsFor(N, { tokens: V, positions: 7 });
  const [wE, wPos] = [randomRef([V, d], 3), randomRef([7, d], 4)];
  const pairs = new Uint32Array(ids.tokens.flatMap((token, n) => [token, ids.positions[n]!]));
  const before = gpu.counts().dispatches;
  const y = embed(
    { gpu, arena },
    { wE: upload(arena, wE), wPos: upload(arena, wPos) },
    arena.upload(pairs, [N, 2], "ids"),
  );
  assert.ok(gpu.counts().dispatches - before > 1, "the table was bound in one piece");
  const [got] = await readRefs([y]);
  assertClose(got!.data, reference.embed.forward([wE, wPos], ids).data, { op: "embed" });
});

gpuTest("embed() binds as few rows as one where each begins where a binding may", async () => {
  using gpu = await openGpu({ maxBindingBytes: 1024 });
  using arena = new Arena(gpu);
  const [V, d] = [5, 192];
  const [wE, wPos] = [randomRef([V, d], 3), randomRef([1, d], 4)];
  const ids = { tokens: [4, 0, 2], positions: [0, 0, 0] };
  const y = ids.tokens.map((token) =>
    embed(
      { gpu, arena },
      { wE: upload(arena, wE), wPos: upload(arena, wPos) },
      arena.upload(new Uint32Array([token, 0]), [1, 2], "ids"),
    )
  );
  const got = (await readRefs(y)).flatMap(({ data }) => [...data]);
  assertClose(got, reference.embed.forward([wE, wPos], ids).data, { op: "embed" });
});

gpuTest(
  "embed() refuses tables of which one binding holds too few rows, and says how many",
  async () => {
    using gpu = await openGpu({ maxBindingBytes: 4096 });
    using arena = new Arena(gpu);
    const [wE, wPos] = [[100, 31], [2, 31]].map((shape, i) =>
      upload(arena, randomRef(shape, i), "wE")
    );
    const ids = arena.upload(new Uint32Array([99, 1]), [1, 2], "ids");
    assert.throws(() => embed({ gpu, arena }, { wE: wE!, wPos: wPos! }, ids), {
      name: "GpuError",
      reason: "limit",
      message:
        'Cannot bind "wE" in pieces as one binding must span at least 64 of its rows (7936 ' +
        "bytes): the adapter's maxStorageBufferBindingSize, or the maxBindingBytes asked for, is 4096",
    });
  },
);
