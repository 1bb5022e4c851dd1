import assert from "node:assert/strict";

import { openGpu } from "../../../engine/gpu/gpu.ts";
import { type Kernel, kernelFamily, variant } from "../../../engine/gpu/kernel.ts";
import type { Block } from "../../../engine/gpu/pool.ts";
import { gpuTest } from "../../support/gpu.ts";

const declarations = `override FACTOR: f32 = 2.0;
struct Params { n: u32, plus: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
`;

/** A kernel of the text, which doubles its input unless told otherwise. */
function kernelOf(options: { body?: string; name?: string; entry?: string } = {}) {
  const { body = "out[id.x] = FACTOR * x[id.x] + params.plus;", name = "double" } = options;
  return kernelFamily({
    name,
    wgsl: [
      declarations,
      `@compute @workgroup_size(64) fn ${name}(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.n) { return; }
  ${body}
}`,
    ],
    bindings: { x: "read", out: "readWrite" },
    uniforms: { n: "u32", plus: "f32" },
  })(options.entry ?? name, ["x", "out"]);
}

const double = kernelOf();

function launch(x: Block, out: Block, plus = 0) {
  return { bind: { x, out }, uniforms: { n: 4, plus }, workgroups: [1] } as const;
}

const bytes = 16;
const read = async (gpu: Awaited<ReturnType<typeof openGpu>>, ...blocks: Block[]) =>
  (await gpu.read(blocks.map((block) => ({ block, bytes })))).map((part) => [
    ...new Float32Array(part),
  ]);

gpuTest("openGpu() tells the adapter's name, class and limits", ({ gpu }) => {
  const { facts } = gpu;
  assert.ok(facts.name.length > 0);
  assert.match(facts.class, /^(cpu|gpu)$/);
  assert.ok(facts.maxBindingBytes >= 2 ** 27 && facts.maxBufferBytes >= facts.maxBindingBytes);
});

Deno.test("openGpu() without an adapter says what to install", async () => {
  const none = { value: () => Promise.resolve(null), configurable: true };
  Object.defineProperty(navigator.gpu, "requestAdapter", none);
  try {
    await assert.rejects(openGpu(), {
      name: "GpuError",
      reason: "no-adapter",
      message: /^Cannot open a GPU as there is no WebGPU adapter .*mesa-vulkan-drivers/,
    });
  } finally {
    Reflect.deleteProperty(navigator.gpu, "requestAdapter");
  }
});

gpuTest(
  "Gpu.dispatch() runs commands in the order recorded, in one submission",
  async ({ gpu }) => {
    const [a, b, c] = ["a", "b", "c"].map((label) => gpu.acquire(bytes, label)) as [
      Block,
      Block,
      Block,
    ];
    gpu.upload(a, new Float32Array([1, 2, 3, 4]));
    const before = gpu.counts();
    gpu.dispatch(double, launch(a, b, 1));
    gpu.dispatch(variant(double, { FACTOR: 10 }), launch(b, c));
    gpu.dispatch(double, launch(c, a));
    assert.deepEqual(await read(gpu, a, b, c), [[60, 100, 140, 180], [3, 5, 7, 9], [
      30,
      50,
      70,
      90,
    ]]);
    const after = gpu.counts();
    assert.equal(after.dispatches - before.dispatches, 3);
    assert.equal(after.submits - before.submits, 1);
    assert.equal(after.reads - before.reads, 1);
    [a, b, c].forEach((block) => gpu.release(block));
  },
);

gpuTest(
  "Gpu.read() brings all of one turn at once, each as it was when it was asked for",
  async ({ gpu }) => {
    const [x, y] = ["x", "y"].map((label) => gpu.acquire(bytes, label)) as [Block, Block];
    gpu.upload(x, new Float32Array([1, 2, 3, 4]));
    const before = gpu.counts();
    const reads = [read(gpu, x)];
    gpu.dispatch(double, launch(x, y));
    reads.push(read(gpu, y, x));
    gpu.upload(x, new Float32Array([5, 6, 7, 8]));
    gpu.dispatch(double, launch(x, y));
    reads.push(read(gpu, x));
    gpu.release(x);
    gpu.release(y);
    gpu.trim();
    assert.deepEqual(await Promise.all(reads), [
      [[1, 2, 3, 4]],
      [[2, 4, 6, 8], [1, 2, 3, 4]],
      [[5, 6, 7, 8]],
    ]);
    assert.equal(gpu.counts().reads - before.reads, 1);
  },
);

gpuTest("Gpu.read() says so if the GPU is disposed of before it has read", async () => {
  const gpu = await openGpu();
  const reading = gpu.read([{ block: gpu.acquire(bytes, "x"), bytes }]);
  gpu[Symbol.dispose]();
  await assert.rejects(reading, { name: "GpuError", message: /disposed/ });
});

gpuTest("Gpu.read() of more than it has read before", async ({ gpu }) => {
  const sizes = [16, 1 << 20, 16, 1 << 21, 0];
  const blocks = sizes.map((size) => gpu.acquire(size, "x"));
  blocks.slice(0, 4).forEach((block, i) => {
    gpu.upload(block, new Float32Array(sizes[i]! / 4).fill(i));
  });
  const wanted = blocks.map((block, i) => ({ block, bytes: sizes[i]! }));
  for (let round = 0; round < 2; round++) {
    const found = (await Promise.all(wanted.map((each) => gpu.read([each])))).flat();
    assert.deepEqual(found.map(({ byteLength }) => byteLength), sizes);
    found.forEach((part, i) => assert.ok(new Float32Array(part).every((value) => value === i)));
  }
  blocks.forEach((block) => gpu.release(block));
});

gpuTest("Gpu.dispatch() gives each of a thousand launches its own uniforms", async ({ gpu }) => {
  const [x, y] = ["x", "y"].map((label) => gpu.acquire(bytes, label)) as [Block, Block];
  gpu.upload(x, new Float32Array(4));
  const once = variant(double, { FACTOR: 1 });
  let sum = 0;
  for (let i = 0; i < 1000; i++, sum += i) {
    gpu.dispatch(once, i % 2 ? launch(y, x, i) : launch(x, y, i));
  }
  assert.deepEqual(await read(gpu, x), [Array(4).fill(1000 * 999 / 2)]);
  [x, y].forEach((block) => gpu.release(block));
});

gpuTest("Gpu.dispatch() of no workgroups does nothing", ({ gpu }) => {
  const block = gpu.acquire(bytes, "x");
  const before = gpu.counts();
  gpu.dispatch(double, { ...launch(block, block), workgroups: [0] });
  assert.deepEqual(gpu.counts(), before);
  gpu.release(block);
});

gpuTest(
  "Gpu.upload() to recycled memory does not disturb commands recorded before",
  async ({ gpu }) => {
    const x = gpu.acquire(bytes, "x");
    const [y, z] = ["y", "z"].map((label) => gpu.acquire(bytes, label)) as [Block, Block];
    gpu.upload(x, new Float32Array([1, 2, 3, 4]));
    gpu.dispatch(double, launch(x, y));
    gpu.release(x);
    const again = gpu.acquire(bytes, "again");
    assert.equal(again, x);
    gpu.upload(again, new Float32Array([-1, -2, -3, -4]));
    gpu.dispatch(double, launch(again, z));
    gpu.upload(again, new Float32Array([7]), 4);
    assert.deepEqual(await read(gpu, y, z, again), [[2, 4, 6, 8], [-2, -4, -6, -8], [
      -1,
      7,
      -3,
      -4,
    ]]);
    [again, y, z].forEach((block) => gpu.release(block));
  },
);

gpuTest("Gpu.dispatch() refuses more workgroups than the adapter can launch", ({ gpu }) => {
  const block = gpu.acquire(bytes, "x");
  const most = gpu.facts.maxWorkgroups;
  assert.throws(
    () => gpu.dispatch(double, { ...launch(block, block), workgroups: [1, most + 1] }),
    {
      name: "GpuError",
      reason: "limit",
      message: `Cannot dispatch kernel "double" as each dimension must be at most ${most} ` +
        `workgroups: current size is 1 x ${most + 1} x 1`,
    },
  );
  gpu.release(block);
});

const faults: [name: string, kernel: Kernel<"x" | "out", "n" | "plus">, message: RegExp][] = [
  [
    "WGSL that does not compile",
    kernelOf({ name: "broken", body: "let y = x[id.x] + missing;" }),
    /^Cannot compile kernel "broken": [^]*9[^]*missing;/,
  ],
  [
    "an entry point that is not there",
    kernelOf({ name: "double", entry: "triple" }),
    /^Cannot compile kernel "double.triple": /,
  ],
  [
    "an override that is not there",
    variant(kernelOf(), { FACTR: 3 }),
    /^Cannot compile kernel "double": [^]*FACTR/,
  ],
];

gpuTest("Gpu.read() throws a KernelError that names the kernel", async ({ t }) => {
  for (const [name, kernel, message] of faults) {
    await t.step(name, async () => {
      using gpu = await openGpu();
      const [x, y] = ["x", "y"].map((label) => gpu.acquire(bytes, label)) as [Block, Block];
      const attempt = async () => {
        gpu.dispatch(kernel, launch(x, y));
        await read(gpu, y);
      };
      await assert.rejects(attempt, { name: "KernelError", kernel: kernel.label, message });
      assert.throws(() => gpu.acquire(4, "later"), { name: "KernelError" });
    });
  }
});

gpuTest(
  "Gpu.dispatch() refuses a buffer larger than one binding, also in recycled memory",
  async () => {
    using gpu = await openGpu({ maxBindingBytes: 4500 });
    const out = gpu.acquire(bytes, "out");
    const large = gpu.acquire(6000, "large");
    assert.throws(() => gpu.dispatch(double, launch(large, out)), {
      name: "GpuError",
      reason: "limit",
      message: 'Cannot bind "large" (6000 bytes) to kernel "double" as one binding spans at most ' +
        "4500 bytes: use a shorter prompt or fewer sequences",
    });
    const small = gpu.acquire(4500, "small");
    gpu.dispatch(double, launch(small, out));
    gpu.release(small);
    const grown = gpu.acquire(5000, "grown");
    assert.equal(grown, small);
    assert.throws(
      () => gpu.dispatch(double, launch(grown, out)),
      /Cannot bind "grown" \(5000 bytes\)/,
    );
    await gpu.finish();
  },
);

gpuTest(
  "Gpu.release() of more than the pool keeps does not disturb commands recorded before",
  async () => {
    using gpu = await openGpu();
    gpu.release(gpu.acquire(2 ** 30, "fills the pool; never touched"));
    const [x, y] = ["x", "y"].map((label) => gpu.acquire(bytes, label)) as [Block, Block];
    gpu.upload(x, new Float32Array([1, 2, 3, 4]));
    gpu.dispatch(double, launch(x, y));
    gpu.release(x);
    assert.deepEqual(gpu.memory(), { live: 256, pooled: 2 ** 30, peak: 2 ** 30 });
    assert.deepEqual(await read(gpu, y), [[2, 4, 6, 8]]);
  },
);

gpuTest("Gpu binds a part of a buffer", async ({ gpu }) => {
  const [x, y] = [1024, bytes].map((size) => gpu.acquire(size, "x")) as [Block, Block];
  gpu.upload(x, Float32Array.from({ length: 256 }, (_, i) => i));
  gpu.dispatch(double, {
    bind: { x: { block: x, byteOffset: 256, bytes: 256 }, out: y },
    uniforms: { n: 4, plus: 0 },
    workgroups: [1],
  });
  assert.deepEqual(await read(gpu, y), [[128, 130, 132, 134]]);
  [x, y].forEach((block) => gpu.release(block));
});

gpuTest("Gpu refuses everything once it has been disposed of", async () => {
  const gpu = await openGpu();
  const block = gpu.acquire(bytes, "x");
  gpu.dispatch(double, launch(block, gpu.acquire(bytes, "y")));
  await gpu.finish();
  gpu[Symbol.dispose]();
  gpu[Symbol.dispose]();
  const gone = {
    name: "GpuError",
    reason: "device-lost",
    message: "Cannot use the GPU as it has been disposed of",
  };
  assert.throws(() => gpu.acquire(4, "x"), gone);
  assert.throws(() => gpu.dispatch(double, launch(block, block)), gone);
  assert.throws(() => gpu.upload(block, new Float32Array(4)), gone);
  await assert.rejects(read(gpu, block), gone);
  await assert.rejects(gpu.finish(), gone);
  gpu.release(block);
});
