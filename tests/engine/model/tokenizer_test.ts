import assert from "node:assert/strict";
import { RequestError } from "../../../engine/errors.ts";
import { folderOf, memoryFolder } from "../../../engine/model/source.ts";
import { loadTokenizer, singleToken } from "../../../engine/model/tokenizer.ts";

const tiny = await loadTokenizer(
  folderOf(new URL("../../golden/models/tiny/", import.meta.url)),
);

const encode = (json: unknown) => new TextEncoder().encode(JSON.stringify(json));

/**
 * A tokenizer in the manner of GPT-2's: bytes shown as characters, a few merges
 * and one special token.
 */
function byteLevelFile(): Record<string, unknown> {
  // GPT-2 shows printable bytes as they are, the others from U+0100 on.
  const isShown = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b !== 173);
  let others = 0;
  const bytes = Array.from(
    { length: 256 },
    (_, b) => String.fromCharCode(isShown(b) ? b : 256 + others++),
  );
  const space = bytes[32]!;
  const merges = [["h", "e"], [space, "he"], ["n", "'"]];
  const names = [...bytes, ...merges.map((pair) => pair.join(""))];
  return {
    version: "1.0",
    added_tokens: [{
      id: names.length,
      content: "<|endoftext|>",
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: true,
      special: true,
    }],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true },
    post_processor: { type: "ByteLevel", add_prefix_space: true, trim_offsets: false },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(names.map((name, id) => [name, id])),
      merges: merges.map((pair) => pair.join(" ")),
    },
  };
}

const loadByteLevel = (config?: unknown) =>
  loadTokenizer(memoryFolder({
    "tokenizer.json": encode(byteLevelFile()),
    ...(config !== undefined && { "tokenizer_config.json": encode(config) }),
  }));

Deno.test("Tokenizer.encode() and decode() of a golden model are inverses", () => {
  assert.equal(tiny.size, 97);
  assert.deepEqual(tiny.encode("<5><17>"), [5, 17]);
  assert.equal(tiny.decode([5, 17]), "<5><17>");
  const all = Array.from({ length: 97 }, (_, id) => id);
  assert.deepEqual(tiny.encode(tiny.decode(all)), all);
  for (const id of all) assert.equal(tiny.token(id), `<${id}>`);
});

Deno.test("Tokenizer.encode() and decode() of nothing are nothing", () => {
  assert.deepEqual(tiny.encode(""), []);
  assert.equal(tiny.decode([]), "");
});

Deno.test("Tokenizer.encode() refuses text that the vocabulary cannot express", () => {
  for (const text of ["hello", "<5>hello<17>", "<97>", " <5>", "<5> "]) {
    assert.throws(() => tiny.encode(text), (error) => {
      assert.ok(error instanceof RequestError);
      assert.equal(error.code, "text_not_in_vocabulary");
      assert.ok(error.message.includes(text), error.message);
      return true;
    });
  }
});

Deno.test("Tokenizer.decode() of bytes gives back every text, with all its spaces", async () => {
  for (const config of [undefined, { clean_up_tokenization_spaces: true, unk_token: "?" }]) {
    const tokenizer = await loadByteLevel(config);
    for (
      const text of [
        "he",
        " he  he ",
        "Hello , world ! it 's n't .",
        "\n\t \r\n",
        "grüße 🙂 漢字\u00ad\ufeff",
        "<|endoftext|> he<|endoftext|>",
        "\ufeffhe",
      ]
    ) assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
  }
});

Deno.test("Tokenizer.encode() merges and knows special tokens", async () => {
  const tokenizer = await loadByteLevel();
  assert.equal(tokenizer.size, 260);
  assert.deepEqual(tokenizer.encode("he he"), [256, 257]);
  assert.deepEqual(tokenizer.encode("<|endoftext|>he"), [259, 256]);
});

Deno.test("Tokenizer.encode() accepts half a surrogate pair as U+FFFD", async () => {
  const tokenizer = await loadByteLevel();
  assert.equal(tokenizer.decode(tokenizer.encode("a\ud83d")), "a\ufffd");
});

Deno.test("Tokenizer.token() shows spaces, pieces of characters and ids that do not exist", async () => {
  const tokenizer = await loadByteLevel();
  assert.equal(tokenizer.token(257), " he");
  assert.equal(tokenizer.token(0xc3), "\ufffd");
  assert.equal(tokenizer.token(259), "<|endoftext|>");
  assert.equal(tokenizer.token(260), "[id 260]");
});

Deno.test("Tokenizer.decode() refuses ids that do not exist", () => {
  for (const id of [97, -1, 0.5, NaN]) {
    assert.throws(() => tiny.decode([5, id]), {
      name: "RangeError",
      message: `Cannot decode token ${id}: token ids must be integers from 0 to 96`,
    });
  }
});

Deno.test("singleToken() gives the id of a text that is one token", () => {
  assert.equal(singleToken(tiny, "<42>", { field: "targetTokens" }), 42);
});

Deno.test("singleToken() names the field, the text and its tokens otherwise", () => {
  const parts: [string, string][] = [["<1><2>", "[1, 2]"], ["", "[]"], ["the", "[]"], [
    "<1>x",
    "[1]",
  ]];
  for (const [text, ids] of parts) {
    assert.throws(() => singleToken(tiny, text, { field: "targetTokens" }), (error) => {
      assert.ok(error instanceof RequestError);
      assert.equal(error.code, "not_one_token");
      for (const part of [`"${text}"`, '"targetTokens"', ids]) {
        assert.ok(error.message.includes(part), error.message);
      }
      return true;
    });
  }
});

Deno.test("loadTokenizer() names the file that is absent or wrong", async (t) => {
  await assert.rejects(loadTokenizer(memoryFolder({})), /"memory": it must have "tokenizer\.json"/);
  const wrong: [string, unknown][] = [
    ["no object", 5],
    ["no model", {}],
    ["unknown model", { model: { type: "Magic" } }],
    ["no vocabulary", { model: { type: "BPE", merges: [] } }],
  ];
  for (const [what, file] of wrong) {
    await t.step(what, async () => {
      await assert.rejects(loadTokenizer(memoryFolder({ "tokenizer.json": encode(file) })), {
        name: "SyntaxError",
        message: /^Cannot load tokenizer "tokenizer\.json": /,
      });
    });
  }
});
