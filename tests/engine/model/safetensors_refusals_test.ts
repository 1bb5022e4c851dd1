import assert from "node:assert/strict";
import { SafetensorsError } from "../../../engine/errors.ts";
import { openSafetensors } from "../../../engine/model/safetensors.ts";
import { craft, entry, openBytes } from "./craft.ts";

const f32 = (begin: number, end: number) => entry("F32", [(end - begin) / 4], begin, end);
const bytes = (length: number) => new Uint8Array(length);
/** Data begin here with the header `{"x":…}` of these two entries. */
const dataStart = (header: unknown) => 8 + JSON.stringify(header).length;

interface Refusal {
  what: string;
  file: Uint8Array;
  /** Parts of the message. */
  says: string[];
  tensor?: string;
  byteOffset: number;
}

const gap = { a: f32(0, 4), b: f32(8, 12) };
const late = { a: f32(4, 8) };
const overlap = { a: f32(0, 8), b: f32(4, 12) };
const same = { a: f32(0, 4), b: f32(0, 4) };
const beyond = { a: f32(0, 4), b: f32(4, 40) };
const rest = { a: f32(0, 4) };
const wrongSize = { a: entry("F32", [2, 3], 0, 20) };
const wrongHalf = { a: entry("F16", [3], 0, 12) };
const huge = { a: entry("F32", [2 ** 40, 2 ** 40], 0, 4) };
const twice = '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
  '"\\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}';
const twiceInside = '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"shape":[2]}}';
const twiceAfterUmlaut = '{"ü":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
  '"ü":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}';
const wrongEntry = (value: unknown) => craft({ first: f32(0, 4), x: value }, { data: bytes(8) });
const xAt = 8 + JSON.stringify({ first: f32(0, 4) }).length;

const refusals: Refusal[] = [
  { what: "an empty file", file: bytes(0), says: ["ends at byte 0"], byteOffset: 0 },
  { what: "a cut-off length", file: bytes(7), says: ["ends at byte 7"], byteOffset: 7 },
  {
    what: "a header length beyond the file",
    file: craft("{}", { headerLength: 100n }),
    says: ["end at byte 108", "ends at byte 10"],
    byteOffset: 10,
  },
  {
    what: "a header of more than 100 MB",
    file: craft("{}", { headerLength: 100_000_001n }),
    says: ["at most 100000000", "100000001", "byte 0"],
    byteOffset: 0,
  },
  {
    what: "a header length of 64 bits",
    file: craft("{}", { headerLength: 2n ** 64n - 1n }),
    says: ["18446744073709551615"],
    byteOffset: 0,
  },
  {
    what: "an empty header",
    file: craft(""),
    says: ['begin with "{" at byte 8'],
    byteOffset: 8,
  },
  {
    what: "a header that does not begin with a brace",
    file: craft(" {}"),
    says: ['begin with "{" at byte 8', '" "'],
    byteOffset: 8,
  },
  {
    what: "a header that begins with a byte order mark",
    file: craft("\uFEFF{}"),
    says: ['begin with "{" at byte 8'],
    byteOffset: 8,
  },
  {
    what: "a header that is an array",
    file: craft("[]"),
    says: ['begin with "{"'],
    byteOffset: 8,
  },
  { what: "a header that is not JSON", file: craft('{"a":'), says: ["not JSON"], byteOffset: 8 },
  { what: "text after the JSON", file: craft("{}x"), says: ["not JSON"], byteOffset: 8 },
  {
    what: "a header that is not UTF-8",
    file: craft(Uint8Array.of(0x7b, 0x22, 0xc3, 0xa9, 0xff, 0x22, 0x3a)),
    says: ["not UTF-8 at byte 12"],
    byteOffset: 12,
  },
  {
    what: "a header whose last character is cut off",
    file: craft(Uint8Array.of(0x7b, 0x22, 0xc3)),
    says: ["not UTF-8"],
    byteOffset: 10,
  },
  {
    what: "a key that occurs twice, once escaped",
    file: craft(twice, { data: bytes(8) }),
    says: ['"a" occurs twice', `byte ${8 + twice.indexOf('"\\u0061"')}`],
    tensor: "a",
    byteOffset: 8 + twice.indexOf('"\\u0061"'),
  },
  {
    what: "a key that occurs twice in one entry",
    file: craft(twiceInside, { data: bytes(4) }),
    says: ['"shape" occurs twice', '"a"'],
    tensor: "a",
    byteOffset: 8 + twiceInside.lastIndexOf('"shape"'),
  },
  {
    what: "a repeated key, counting bytes and not characters",
    file: craft(twiceAfterUmlaut, { data: bytes(4) }),
    says: ['"ü" occurs twice'],
    tensor: "ü",
    byteOffset: 8 + twiceAfterUmlaut.lastIndexOf('"ü"') + 1,
  },
  {
    what: "metadata that are not text",
    file: craft({ __metadata__: { n: 1 } }),
    says: ["__metadata__", "byte 9", "n: "],
    byteOffset: 9,
  },
  {
    what: "metadata that are not a map",
    file: craft({ __metadata__: "pt" }),
    says: ["__metadata__"],
    byteOffset: 9,
  },
  ...[
    { what: "an unknown dtype", value: entry("F33", [1], 4, 8), says: "dtype" },
    { what: "a dtype of another case", value: entry("f32", [1], 4, 8), says: "dtype" },
    { what: "a missing dtype", value: { shape: [1], data_offsets: [4, 8] }, says: "dtype" },
    { what: "a missing shape", value: { dtype: "F32", data_offsets: [4, 8] }, says: "shape" },
    { what: "missing offsets", value: { dtype: "F32", shape: [1] }, says: "data_offsets" },
    { what: "a negative dimension", value: entry("F32", [-1, -1], 4, 8), says: "shape: 0" },
    { what: "a fractional dimension", value: entry("F32", [0.5, 2], 4, 8), says: "shape: 0" },
    {
      what: "three offsets",
      value: { dtype: "F32", shape: [1], data_offsets: [4, 8, 9] },
      says: "data_offsets",
    },
    { what: "a negative offset", value: entry("F32", [1], -4, 0), says: "data_offsets: 0" },
    { what: "a fractional offset", value: entry("F32", [1], 4, 8.5), says: "data_offsets: 1" },
    { what: "an offset of 64 bits", value: entry("F32", [1], 4, 2 ** 60), says: "data_offsets: 1" },
    { what: "offsets that run backwards", value: entry("F32", [1], 8, 4), says: "backwards" },
    { what: "an entry that is no object", value: 5, says: "object" },
    { what: "an entry that is null", value: null, says: "object" },
  ].map(({ what, value, says }): Refusal => ({
    what,
    file: wrongEntry(value),
    says: ['tensor "x"', `byte ${xAt}`, says],
    tensor: "x",
    byteOffset: xAt,
  })),
  {
    what: "fewer bytes than the shape needs",
    file: craft(wrongSize, { data: bytes(20) }),
    says: ['tensor "a"', "20 bytes", "[2, 3] of F32 needs 24", `byte ${dataStart(wrongSize)}`],
    tensor: "a",
    byteOffset: dataStart(wrongSize),
  },
  {
    what: "more bytes than the shape needs",
    file: craft(wrongHalf, { data: bytes(12) }),
    says: ["12 bytes", "[3] of F16 needs 6"],
    tensor: "a",
    byteOffset: dataStart(wrongHalf),
  },
  {
    what: "a shape whose size is no integer any more",
    file: craft(huge, { data: bytes(4) }),
    says: ['tensor "a"'],
    tensor: "a",
    byteOffset: dataStart(huge),
  },
  {
    what: "a gap between tensors",
    file: craft(gap, { data: bytes(12) }),
    says: [
      'tensor "b" begins at byte',
      'tensor "a" ends at byte ' + (dataStart(gap) + 4),
      "there is a gap",
    ],
    tensor: "b",
    byteOffset: dataStart(gap) + 8,
  },
  {
    what: "a gap after the header",
    file: craft(late, { data: bytes(8) }),
    says: ['tensor "a"', "the header ends", "there is a gap"],
    tensor: "a",
    byteOffset: dataStart(late) + 4,
  },
  {
    what: "tensors that overlap",
    file: craft(overlap, { data: bytes(12) }),
    says: ['tensor "b" begins', 'tensor "a" ends', "they overlap"],
    tensor: "b",
    byteOffset: dataStart(overlap) + 4,
  },
  {
    what: "tensors in the same place",
    file: craft(same, { data: bytes(4) }),
    says: ["they overlap"],
    tensor: "b",
    byteOffset: dataStart(same),
  },
  {
    what: "a tensor beyond the file",
    file: craft(beyond, { data: bytes(16) }),
    says: [
      `tensor "b" ends at byte ${dataStart(beyond) + 40}`,
      `cut off at byte ${dataStart(beyond) + 16}`,
    ],
    tensor: "b",
    byteOffset: dataStart(beyond) + 4,
  },
  {
    what: "bytes after the last tensor",
    file: craft(rest, { data: bytes(5) }),
    says: [`ends at byte ${dataStart(rest) + 4}`, `goes on to byte ${dataStart(rest) + 5}`],
    byteOffset: dataStart(rest) + 4,
  },
  {
    what: "bytes after the header of no tensors",
    file: craft("{}", { data: bytes(1) }),
    says: ["the header ends at byte 10", "byte 11"],
    byteOffset: 10,
  },
];

Deno.test("openSafetensors() refuses malformed files, naming the tensor and the byte", async (t) => {
  for (const { what, file, says, tensor, byteOffset } of refusals) {
    await t.step(what, async () => {
      await assert.rejects(openBytes(file), (error) => {
        assert.ok(error instanceof SafetensorsError, String(error));
        assert.equal(error.path, "test.safetensors");
        assert.equal(error.tensor, tensor);
        assert.equal(error.byteOffset, byteOffset);
        assert.match(error.message, /^Cannot open "test\.safetensors": /);
        for (const part of says) assert.ok(error.message.includes(part), error.message);
        return true;
      });
    });
  }
});

Deno.test("openSafetensors() refuses every shorter piece of a good file", async () => {
  const file = craft({ a: f32(0, 4), b: f32(4, 12) }, { data: bytes(12) });
  for (let length = 0; length < file.length; length++) {
    await assert.rejects(openBytes(file.slice(0, length)), SafetensorsError);
  }
  await openBytes(file);
});

Deno.test("openSafetensors() reads nothing but the header", async () => {
  const header = { a: f32(0, 4) };
  const file = craft(header, { data: bytes(4) });
  const ranges: [number, number][] = [];
  await openSafetensors({
    name: "counted",
    size: file.length,
    read(offset, length) {
      ranges.push([offset, length]);
      return Promise.resolve(file.slice(offset, offset + length));
    },
  });
  assert.deepEqual(ranges, [[0, 8], [8, dataStart(header) - 8]]);
});
