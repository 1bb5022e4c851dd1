import assert from "node:assert/strict";
import { ShapeError } from "../../../engine/errors.ts";
import { readTensor, readTensorChunks } from "../../../engine/model/safetensors.ts";
import { writeSafetensors } from "../../../engine/model/safetensors_write.ts";
import { craft, entry, openBytes } from "./craft.ts";

/** The value of a half-precision number, by its definition (IEEE 754, binary16). */
function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The value of a BF16 number, by its definition. */
function bfloatValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 7) & 255;
  const fraction = bits & 127;
  if (exponent === 255) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** -133;
  return sign * (1 + fraction / 128) * 2 ** (exponent - 127);
}

const everyHalf = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

Deno.test("readTensor() converts every F16 value exactly, subnormals, infinities and NaN too", async () => {
  const data = new Uint8Array(everyHalf.buffer);
  const file = await openBytes(craft({ x: entry("F16", [65536], 0, 131072) }, { data }));
  const values = await readTensor(file, "x");
  everyHalf.forEach((bits) => assert.equal(values[bits], halfValue(bits)));
});

Deno.test("readTensor() converts every BF16 value exactly, subnormals, infinities and NaN too", async () => {
  const data = new Uint8Array(everyHalf.buffer);
  const file = await openBytes(craft({ x: entry("BF16", [65536], 0, 131072) }, { data }));
  const values = await readTensor(file, "x");
  everyHalf.forEach((bits) => assert.equal(values[bits], bfloatValue(bits)));
});

Deno.test("readTensor() reads F32 bit for bit, at any alignment in the file", async () => {
  const wanted = new Float32Array([-0, 1e-45, 3.4e38, -Infinity, NaN, 1 / 3]);
  for (const padding of ["", " ", "  ", "   "]) {
    const header = JSON.stringify({ x: entry("F32", [2, 3], 0, 24) }) + padding;
    const file = await openBytes(craft(header, { data: new Uint8Array(wanted.buffer) }));
    const values = await readTensor(file, "x");
    assert.deepEqual(new Uint32Array(values.buffer), new Uint32Array(wanted.buffer));
  }
});

Deno.test("readTensor() takes bytes that a source gives at an odd offset of a larger buffer", async () => {
  const file = await openBytes(
    writeSafetensors([["x", { shape: [2], data: Float32Array.of(1, 2) }]]),
  );
  const source = {
    ...file.source,
    async read(offset: number, length: number) {
      const larger = new Uint8Array(length + 1);
      larger.set(await file.source.read(offset, length), 1);
      return larger.subarray(1);
    },
  };
  assert.deepEqual(await readTensor({ ...file, source }, "x"), Float32Array.of(1, 2));
});

Deno.test("readTensorChunks() gives the whole tensor in chunks of any size", async (t) => {
  const data = new Uint8Array(everyHalf.buffer, 0, 2 * 1001);
  for (const [dtype, shape] of [["F16", [7, 143]], ["BF16", [1001]], ["F32", [500]]] as const) {
    const bytes = dtype === "F32" ? data.subarray(0, 2000) : data;
    const header = { x: entry(dtype, [...shape], 0, bytes.length) };
    const file = await openBytes(craft(header, { data: bytes }));
    const whole = await readTensor(file, "x");
    await t.step(`${dtype} into one piece of memory`, async () => {
      const into = new Float32Array(300).subarray(1, 290);
      const values: number[] = [];
      for await (const chunk of readTensorChunks(file, "x", { into })) {
        assert.equal(chunk.buffer, into.buffer);
        values.push(...chunk);
      }
      assert.deepEqual(values, [...whole]);
    });
    for (const chunkBytes of [1, 4, 7, 12, 999, 4003, 4004, 1e9]) {
      await t.step(`${dtype} chunkBytes=${chunkBytes}`, async () => {
        const chunks = await Array.fromAsync(readTensorChunks(file, "x", { chunkBytes }));
        assert.deepEqual(chunks.flatMap((chunk) => [...chunk]), [...whole]);
        for (const chunk of chunks) assert.ok(chunk.byteLength <= Math.max(4, chunkBytes));
      });
    }
  }
});

Deno.test("readTensorChunks() refuses a chunk size that is not positive", async () => {
  const file = await openBytes(writeSafetensors([["x", { shape: [1], data: Float32Array.of(1) }]]));
  for (const chunkBytes of [0, -1, NaN]) {
    await assert.rejects(Array.fromAsync(readTensorChunks(file, "x", { chunkBytes })), RangeError);
  }
});

Deno.test("readTensor() reads tensors without elements and without dimensions", async () => {
  const file = await openBytes(writeSafetensors([
    ["empty", { shape: [3, 0], data: new Float32Array() }],
    ["number", { shape: [], data: Float32Array.of(7) }],
  ]));
  assert.deepEqual(await readTensor(file, "empty"), new Float32Array());
  assert.deepEqual(await readTensor(file, "number"), Float32Array.of(7));
  assert.deepEqual(file.tensors.get("number")!.shape, []);
});

Deno.test("openSafetensors() accepts dtypes that are no floats, readTensor() refuses them by name", async () => {
  const data = new Uint8Array(8 + 8 + 4 + 3);
  const file = await openBytes(craft({
    double: entry("F64", [1], 0, 8),
    index: entry("I64", [1], 8, 16),
    mask: entry("BOOL", [4], 16, 20),
    packed: entry("F4", [2, 3], 20, 23),
  }, { data }));
  assert.equal(file.tensors.size, 4);
  for (const [name, dtype] of [["double", "F64"], ["index", "I64"], ["mask", "BOOL"]] as const) {
    await assert.rejects(readTensor(file, name), (error) => {
      assert.ok(error instanceof ShapeError);
      for (const part of [`"${name}"`, '"test.safetensors"', dtype, "F32"]) {
        assert.ok(error.message.includes(part), error.message);
      }
      return true;
    });
  }
});

Deno.test("readTensor() refuses the name of no tensor", async () => {
  const file = await openBytes(craft("{}"));
  await assert.rejects(readTensor(file, "wte"), {
    name: "TypeError",
    message:
      'Cannot read tensor "wte" of "test.safetensors": it is not among the 0 tensors of the file',
  });
});

Deno.test("openSafetensors() reads metadata, names of any text and a header padded with spaces", async () => {
  const header = '{"__metadata__":{"format":"pt","ü":"{\\"a\\":1}"},"é\\"\\\\":' +
    JSON.stringify(entry("F32", [1], 0, 4)) + ',"__proto__":' +
    JSON.stringify(entry("F32", [1], 4, 8)) + "}     ";
  const file = await openBytes(craft(header, { data: new Uint8Array(8) }));
  assert.deepEqual(file.metadata, { format: "pt", "ü": '{"a":1}' });
  assert.deepEqual([...file.tensors.keys()], ['é"\\', "__proto__"]);
});

Deno.test("openSafetensors() accepts tensors in another order than their data", async () => {
  const file = await openBytes(craft({
    b: entry("F32", [1], 4, 8),
    a: entry("F32", [1], 0, 4),
    none: entry("F32", [0], 4, 4),
  }, { data: new Uint8Array(Float32Array.of(1, 2).buffer) }));
  assert.deepEqual(await readTensor(file, "a"), Float32Array.of(1));
  assert.deepEqual(await readTensor(file, "b"), Float32Array.of(2));
});

Deno.test("openSafetensors() opens a header of 20000 tensors at once", async () => {
  const one = Float32Array.of(1);
  const names = Array.from({ length: 20000 }, (_, i) => `tensor.${i}`);
  const file = await openBytes(writeSafetensors(
    names.map((name) => [name, { shape: [1], data: one }]),
  ));
  assert.equal(file.tensors.size, 20000);
});
