import assert from "node:assert/strict";
import { existsSync } from "node:fs";

import {
  compareTopk,
  goldenModelPath,
  listGolden,
  lookupOf,
  readGoldenCase,
  readGoldenJson,
  readGoldenTensors,
  type TopkEntry,
} from "./golden.ts";

Deno.test("readGoldenCase() reads every case with tensors of their shapes", () => {
  const names = listGolden("cases");
  assert.ok(names.includes("tiny_core_loss"), names.join(" "));
  for (const name of names) {
    const { request, expected, tensors } = readGoldenCase(name);
    assert.equal(request.name, name);
    assert.ok(existsSync(goldenModelPath(request.model)), request.model);
    assert.equal(expected.loss.length, request.sequences.length);
    for (const [key, { shape, data }] of tensors) {
      const size = shape.reduce((product, dim) => product * dim, 1);
      assert.equal(data.length, size, `${name} ${key}`);
      assert.match(key, /^b\d+\//);
    }
  }
});

Deno.test("readGoldenCase() top-k entries are the values of the expected tensors", () => {
  for (const name of listGolden("cases")) {
    const golden = readGoldenCase(name);
    golden.expected.topk.forEach((lists, sequence) => {
      for (const { entries } of lists) {
        compareTopk(entries, entries, { label: name });
        for (const entry of entries) {
          const value = lookupOf(golden, sequence)(entry);
          // 9 significant digits are stored
          assert.equal(
            Math.fround(entry.value),
            value,
            `${name} ${JSON.stringify(entry)}`,
          );
        }
      }
    });
  }
});

Deno.test("readGoldenJson() reads infinities, and readGoldenTensors() a model with free text in its header", () => {
  for (const kind of ["post", "requests"] as const) {
    for (const name of listGolden(kind)) readGoldenJson(`${kind}/${name}.json`);
  }
  const lists = listGolden("cases").flatMap((name) => readGoldenCase(name).expected.topk.flat());
  assert.ok(
    lists.some(({ entries }) => entries.some((e) => e.value === -Infinity)),
  );
  const weights = readGoldenTensors("models/odd/model.safetensors");
  assert.deepEqual(weights.get("wte.weight")?.shape, [61, 40]);
  assert.equal(weights.has("__metadata__"), false);
});

const entry = (index: number, value: number): TopkEntry => ({
  dst: "mlp_write_norm",
  layerIndex: 0,
  tensorIndices: [0, index],
  value,
});

Deno.test("compareTopk() takes no wrong value", () => {
  const want = [entry(0, 2), entry(1, 1)];
  compareTopk([entry(0, 2), entry(1, 1.0001)], want);
  assert.throws(
    () => compareTopk([entry(0, 2), entry(1, 1.001)], want, { label: "list" }),
    /list: values differ by more than 0.00022/,
  );
  assert.throws(() => compareTopk([entry(0, 2)], want), /got 1 entries, want 2/);
});

Deno.test("compareTopk() takes another index only among equal neighbours, or in last place", () => {
  const want = [entry(0, 3), entry(1, 2), entry(2, 2), entry(3, 1)];
  const at = (...indices: number[]) => indices.map((index, i) => entry(index, want[i]!.value));
  compareTopk(at(0, 2, 1, 3), want);
  compareTopk(at(0, 1, 2, 9), want);
  compareTopk(at(0, 1, 2, 9), want, { next: 1 });
  assert.throws(
    () => compareTopk(at(0, 1, 2, 9), want, { next: 0.5 }),
    /indices differ at place 3/,
  );
  assert.throws(() => compareTopk(at(9, 1, 2, 3), want), /indices differ at place 0/);
  assert.throws(() => compareTopk(at(0, 1, 1, 3), want), /occurs twice at place 2/);
});

Deno.test("compareTopk() with a lookup takes only an index that has the value", () => {
  const want = [entry(0, 2), entry(1, 2), entry(2, 1)];
  const lookup = ({ tensorIndices }: TopkEntry) => [2, 2, 1, 1][tensorIndices[1]!];
  compareTopk([entry(1, 2), entry(0, 2), entry(3, 1)], want, { lookup });
  assert.throws(
    () => compareTopk([entry(1, 2), entry(3, 2), entry(2, 1)], want, { lookup }),
    /the index has another value, 1, at place 1/,
  );
  assert.throws(
    () => compareTopk([entry(0, 2), entry(1, 2), entry(7, 1)], want, { lookup }),
    /another value, undefined, at place 2/,
  );
});

Deno.test("compareTopk() takes equal infinities as equal neighbours", () => {
  const want = [entry(0, -Infinity), entry(1, -Infinity), entry(2, -3)];
  compareTopk([entry(1, -Infinity), entry(0, -Infinity), entry(2, -3)], want);
});
