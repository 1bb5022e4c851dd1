import assert from "node:assert/strict";
import safetensors from "safetensors";
import { ShapeError } from "../../../engine/errors.ts";
import { readTensor } from "../../../engine/model/safetensors.ts";
import { type TensorData, writeSafetensors } from "../../../engine/model/safetensors_write.ts";
import { openBytes } from "./craft.ts";

const tensors: [string, TensorData][] = [
  ["wte.weight", { shape: [2, 3], data: Float32Array.of(0, -0, 1e-45, Infinity, NaN, -1.5) }],
  ["b0/loss", { shape: [], data: Float32Array.of(0.25) }],
  ["none", { shape: [0, 4], data: new Float32Array() }],
  ["10", { shape: [1], data: Float32Array.of(10) }],
  ["9", { shape: [1], data: Float32Array.of(9) }],
  ["größe", { shape: [1, 1], data: Float32Array.of(3) }],
];

const headerOf = (file: Uint8Array) => {
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  return new TextDecoder().decode(file.subarray(8, 8 + length));
};

Deno.test("writeSafetensors() writes what openSafetensors() reads, bit for bit", async () => {
  const file = await openBytes(writeSafetensors(tensors, { format: "pt" }));
  assert.deepEqual(file.metadata, { format: "pt" });
  assert.equal(file.tensors.size, tensors.length);
  for (const [name, { shape, data }] of tensors) {
    assert.deepEqual(file.tensors.get(name)!.shape, shape);
    const values = await readTensor(file, name);
    assert.deepEqual(new Uint8Array(values.buffer), new Uint8Array(data.buffer));
  }
});

Deno.test("writeSafetensors() writes files that the npm package safetensors reads", () => {
  const file = new safetensors.SafeTensor(writeSafetensors(tensors));
  assert.equal(file.metadata.size, tensors.length);
  for (const [name, { shape, data }] of tensors) {
    assert.deepEqual(file.metadata.get(name).shape, shape);
    assert.equal(file.metadata.get(name).dtype, "F32");
    assert.deepEqual(new Uint8Array(file.getTensor(name)), new Uint8Array(data.buffer));
  }
});

Deno.test("writeSafetensors() sorts the keys and pads the header with spaces to a multiple of 8", () => {
  const file = writeSafetensors(tensors);
  const header = headerOf(file);
  const names = [...header.matchAll(/"([^"]*)":\{/g)].map((match) => match[1]);
  assert.deepEqual(names, ["10", "9", "b0/loss", "größe", "none", "wte.weight"]);
  assert.equal(new TextEncoder().encode(header).length % 8, 0);
  assert.match(header, /\} *$/);
  assert.deepEqual(writeSafetensors([...tensors].reverse()), file);
});

Deno.test("writeSafetensors() writes a file without tensors", async () => {
  const file = await openBytes(writeSafetensors([]));
  assert.equal(file.tensors.size, 0);
});

Deno.test("writeSafetensors() refuses data that do not fit their shape", () => {
  assert.throws(
    () => writeSafetensors([["x", { shape: [2, 3], data: new Float32Array(5) }]]),
    (error) => error instanceof ShapeError && /"x".*\[2, 3\].*6.*5/.test(error.message),
  );
});

Deno.test("writeSafetensors() refuses a name that occurs twice or is reserved", () => {
  const one = { shape: [], data: Float32Array.of(1) };
  assert.throws(() => writeSafetensors([["x", one], ["y", one], ["x", one]]), {
    name: "TypeError",
    message: /"x"/,
  });
  assert.throws(() => writeSafetensors([["__metadata__", one]]), { name: "TypeError" });
});
