import assert from "node:assert/strict";

import { openGpu } from "../../../engine/gpu/gpu.ts";
import { sizeClass } from "../../../engine/gpu/pool.ts";
import { gpuTest } from "../../support/gpu.ts";

Deno.test("sizeClass() holds what is asked for and loses at most a quarter", () => {
  let last = 0;
  for (let bytes = 1; bytes < 2 ** 31; bytes = Math.ceil(bytes * 1.003)) {
    const size = sizeClass(bytes);
    assert.ok(size >= bytes, `${bytes}`);
    assert.ok(size === 256 || size - bytes <= size / 4, `${bytes} takes ${size}`);
    assert.ok(size >= last, "smaller for more");
    assert.equal(sizeClass(size), size);
    assert.equal(size % 64, 0);
    last = size;
  }
  for (let power = 8; power <= 32; power++) assert.equal(sizeClass(2 ** power), 2 ** power);
  assert.deepEqual([0, 1, 256, 257, 1000, 1025].map(sizeClass), [256, 256, 256, 320, 1024, 1280]);
});

gpuTest("Gpu.acquire() gives a released buffer of the same class again, and no other", async () => {
  using gpu = await openGpu();
  const first = gpu.acquire(1000, "first");
  const other = gpu.acquire(3000, "other");
  gpu.release(first);
  gpu.release(other);
  const again = gpu.acquire(1024, "again");
  assert.equal(again, first);
  assert.equal(again.label, "again");
  assert.equal(again.requested, 1024);
  assert.notEqual(gpu.acquire(1000, "second"), other);
});

gpuTest("Gpu.acquire() of an exact size loses less than 256 bytes", async () => {
  using gpu = await openGpu();
  const sizes = [1, 256, 257, 154_389_505].map((bytes) =>
    gpu.acquire(bytes, "weight", { exact: true }).bytes
  );
  assert.deepEqual(sizes, [256, 256, 512, 154_389_760]);
});

gpuTest("Gpu.memory() counts what is live, pooled, and was live at most", async () => {
  using gpu = await openGpu();
  assert.deepEqual(gpu.memory(), { live: 0, pooled: 0, peak: 0 });
  const a = gpu.acquire(1000, "a");
  const b = gpu.acquire(100, "b");
  assert.deepEqual(gpu.memory(), { live: 1280, pooled: 0, peak: 1280 });
  gpu.release(a);
  assert.deepEqual(gpu.memory(), { live: 256, pooled: 1024, peak: 1280 });
  gpu.release(gpu.acquire(1001, "c"));
  assert.deepEqual(gpu.memory(), { live: 256, pooled: 1024, peak: 1280 });
  gpu.trim();
  assert.deepEqual(gpu.memory(), { live: 256, pooled: 0, peak: 256 });
  gpu.release(b);
  assert.deepEqual(gpu.memory(), { live: 0, pooled: 256, peak: 256 });
});

gpuTest("Gpu.acquire() refuses more than maxMemoryBytes together, with the numbers", async () => {
  using gpu = await openGpu({ maxMemoryBytes: 4096 });
  const block = gpu.acquire(3000, "a");
  assert.throws(() => gpu.acquire(2000, "b"), {
    name: "GpuError",
    reason: "out-of-memory",
    message: 'Cannot allocate "b" (2000 bytes) as 3072 of 4096 bytes are in use: ask for fewer ' +
      "activations or layers, or dispose of earlier runs",
  });
  gpu.release(block);
  gpu.acquire(2000, "b");
});

gpuTest(
  "Gpu.acquire() gives up what is pooled where the limit leaves no room for both",
  async () => {
    using gpu = await openGpu({ maxMemoryBytes: 4096 });
    gpu.release(gpu.acquire(3072, "a"));
    gpu.releaseTexture(gpu.acquireTexture(16, 4));
    assert.deepEqual(gpu.memory(), { live: 0, pooled: 4096, peak: 3072 });
    gpu.acquire(2048, "b");
    assert.deepEqual(gpu.memory(), { live: 2048, pooled: 0, peak: 3072 });
    assert.throws(() => gpu.acquireTexture(16, 16), {
      name: "GpuError",
      message:
        /^Cannot allocate "texture of 16 x 16" \(4096 bytes\) as 2048 of 4096 bytes are in use/,
    });
  },
);

gpuTest(
  "Gpu.peakOf() gives what work adds to what is in use, within other such work too",
  async () => {
    using gpu = await openGpu();
    const kept = gpu.acquire(4096, "kept");
    gpu.release(gpu.acquire(8192, "before"));
    const outer = gpu.peakOf(() => {
      const large = gpu.acquire(2048, "large");
      gpu.release(large);
      const inner = gpu.peakOf(() => gpu.release(gpu.acquire(1024, "small")));
      assert.equal(inner.peakBytes, 1024);
      return "done";
    });
    assert.deepEqual(outer, { result: "done", peakBytes: 2048 });
    assert.throws(() => gpu.peakOf(() => gpu.acquire(2 ** 50, "too large")));
    assert.equal(gpu.memory().peak, 4096 + 8192);
    gpu.release(kept);
  },
);

gpuTest("Gpu.rehearsal() counts what the GPU would take, and has nothing to read", ({ gpu }) => {
  const rehearsal = gpu.rehearsal();
  const before = { ...gpu.counts(), ...gpu.memory() };
  const block = rehearsal.acquire(1001, "x");
  rehearsal.release(block);
  const texture = rehearsal.acquireTexture(3, 5);
  rehearsal.upload();
  rehearsal.dispatch();
  assert.deepEqual(rehearsal.memory(), { live: 240, pooled: 0, peak: 1024 });
  assert.equal(rehearsal.counts().dispatches, 1);
  assert.deepEqual({ ...gpu.counts(), ...gpu.memory() }, before);
  for (const use of [() => block.buffer, () => texture.view, () => rehearsal.read()]) {
    assert.throws(use, /^Error: Internal error: a rehearsal has no (buffers|textures|values)$/);
  }
  assert.throws(() => rehearsal.acquire(2 ** 50, "x"), { name: "GpuError", reason: "limit" });
});

gpuTest("Gpu.acquire() refuses a buffer larger than the adapter allows", ({ gpu }) => {
  const before = gpu.memory();
  assert.throws(() => gpu.acquire(2 ** 50, "wte"), {
    name: "GpuError",
    reason: "limit",
    message:
      `Cannot allocate "wte" (${2 ** 50} bytes) as a buffer must be smaller: the adapter's ` +
      `maxBufferSize is ${gpu.facts.maxBufferBytes}`,
  });
  assert.deepEqual(gpu.memory(), before);
});
