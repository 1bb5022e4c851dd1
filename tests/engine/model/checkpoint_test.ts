import assert from "node:assert/strict";
import { SafetensorsError } from "../../../engine/errors.ts";
import { openCheckpoint } from "../../../engine/model/checkpoint.ts";
import { openSafetensors, readTensor } from "../../../engine/model/safetensors.ts";
import { writeSafetensors } from "../../../engine/model/safetensors_write.ts";
import { folderOf, memoryFolder } from "../../../engine/model/source.ts";

const encode = (json: unknown) => new TextEncoder().encode(JSON.stringify(json));
const shard = (tensors: Record<string, number>) =>
  writeSafetensors(
    Object.entries(tensors).map(([name, value]) => [
      name,
      { shape: [1], data: Float32Array.of(value) },
    ]),
  );
const indexName = "model.safetensors.index.json";

Deno.test("openCheckpoint() opens model.safetensors", async () => {
  const checkpoint = await openCheckpoint(memoryFolder({
    "model.safetensors": shard({ a: 1, b: 2 }),
  }));
  assert.equal(checkpoint.path, "model.safetensors");
  const { file, info } = checkpoint.tensors.get("b")!;
  assert.deepEqual(info.shape, [1]);
  assert.deepEqual(await readTensor(file, "b"), Float32Array.of(2));
});

Deno.test("openCheckpoint() finds each tensor in the shard that the index names", async () => {
  const checkpoint = await openCheckpoint(memoryFolder({
    "one.safetensors": shard({ a: 1, c: 30 }),
    "parts/two.safetensors": shard({ b: 2, c: 3 }),
    [indexName]: encode({
      metadata: { total_size: 16 },
      weight_map: { a: "one.safetensors", b: "parts/two.safetensors", c: "parts/two.safetensors" },
    }),
  }));
  assert.equal(checkpoint.path, indexName);
  assert.deepEqual([...checkpoint.tensors.keys()], ["a", "b", "c"]);
  for (const [name, value] of [["a", 1], ["b", 2], ["c", 3]] as const) {
    const { file } = checkpoint.tensors.get(name)!;
    assert.deepEqual(await readTensor(file, name), Float32Array.of(value));
  }
});

Deno.test("openCheckpoint() names all missing shards and tensors at once", async () => {
  const folder = memoryFolder({
    "1.safetensors": shard({ a: 1 }),
    [indexName]: encode({
      weight_map: {
        a: "1.safetensors",
        b: "1.safetensors",
        c: "1.safetensors",
        d: "2.safetensors",
        e: "3.safetensors",
      },
    }),
  });
  await assert.rejects(openCheckpoint(folder), (error) => {
    assert.ok(error instanceof SafetensorsError);
    assert.equal(
      error.message,
      `Cannot open checkpoint "${indexName}": missing shards are "2.safetensors", ` +
        `"3.safetensors"; missing tensors are "b" in "1.safetensors", "c" in "1.safetensors"`,
    );
    return true;
  });
});

Deno.test("openCheckpoint() refuses a malformed index by name", async (t) => {
  const indices: [string, Uint8Array][] = [
    ["not JSON", new TextEncoder().encode("{")],
    ["without a map", encode({ metadata: {} })],
    ["a map to numbers", encode({ weight_map: { a: 1 } })],
    ["a shard outside the folder", encode({ weight_map: { a: "../secret.safetensors" } })],
    ["a shard at the root", encode({ weight_map: { a: "/secret.safetensors" } })],
  ];
  for (const [what, index] of indices) {
    await t.step(what, async () => {
      await assert.rejects(openCheckpoint(memoryFolder({ [indexName]: index })), (error) => {
        assert.ok(error instanceof SyntaxError);
        assert.ok(error.message.includes(`"${indexName}"`), error.message);
        return true;
      });
    });
  }
});

Deno.test("openCheckpoint() names the shard that is malformed", async () => {
  const folder = memoryFolder({
    "1.safetensors": new Uint8Array(3),
    [indexName]: encode({ weight_map: { a: "1.safetensors" } }),
  });
  await assert.rejects(openCheckpoint(folder), /^SafetensorsError: Cannot open "1\.safetensors"/);
});

Deno.test("openCheckpoint() says which files it looked for", async () => {
  await assert.rejects(
    openCheckpoint(memoryFolder({})),
    /"memory": it must have "model\.safetensors" or "model\.safetensors\.index\.json"/,
  );
});

Deno.test("openCheckpoint() opens the golden models", async () => {
  for (const [model, tensors] of [["tiny", 41], ["odd", 29]] as const) {
    const folder = folderOf(new URL(`../../golden/models/${model}/`, import.meta.url));
    const checkpoint = await openCheckpoint(folder);
    assert.equal(checkpoint.tensors.size, tensors);
  }
});

Deno.test("writeSafetensors() writes a golden model as it was", async () => {
  const folder = folderOf(new URL("../../golden/models/odd/", import.meta.url));
  const source = (await folder.open("model.safetensors"))!;
  const file = await openSafetensors(source);
  const copy = await Promise.all(
    [...file.tensors].map(async ([name, info]) =>
      [name, { shape: info.shape, data: await readTensor(file, name) }] as const
    ),
  );
  assert.deepEqual(writeSafetensors(copy, file.metadata), await source.read(0, source.size));
});
