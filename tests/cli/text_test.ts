import assert from "node:assert/strict";
import * as format from "../../cli/text_format.ts";
import { displayWidth, sideBySide, textTable } from "../../cli/text_table.ts";

Deno.test("textTable() aligns columns by what a terminal shows", () => {
  const columns = [{ title: "token" }, { title: "logit", align: "right" }] as const;
  assert.deepEqual(textTable(columns, [["石", "1.5"], ["é", "-10.25"]]), [
    "  token   logit",
    "  石        1.5",
    "  é      -10.25",
  ]);
  assert.deepEqual(textTable([{ title: "" }], [["a"], [""]], { indent: 0 }), ["a", ""]);
});

Deno.test("displayWidth() counts wide characters twice and marks not at all", () => {
  assert.equal(displayWidth("e\u0301"), 1);
  assert.equal(displayWidth("한글"), 4);
  assert.equal(displayWidth("a → b…█░"), 8);
});

Deno.test("sideBySide() puts what does not fit below", () => {
  assert.deepEqual(sideBySide([["a1", "a2"], ["b1"], ["c1", "c2"]], { width: 7, gap: 2 }), [
    "a1  b1",
    "a2",
    "",
    "c1",
    "c2",
  ]);
});

Deno.test("signed() shows every sign but that of zero, in four digits of the column", () => {
  assert.equal(format.decimalsFor([0.00123, -0.5]), 4);
  assert.equal(format.decimalsFor([123456]), 0);
  assert.equal(format.decimalsFor([null, Infinity]), 3);
  assert.equal(format.signed(0.5, 2), "+0.50");
  assert.equal(format.signed(-0.5, 2), "-0.50");
  assert.equal(format.signed(-0.001, 2), " 0.00");
  assert.equal(format.signed(null, 2), "-");
});

Deno.test("quoted() shows spaces and line breaks, and cuts", () => {
  assert.equal(format.quoted(" a\n"), '" a\\n"');
  assert.equal(format.quoted("abcdefgh", 4), '"abc…"');
});

Deno.test("percent(), factor() and bytes() keep to a few digits", () => {
  assert.equal(format.percent(0.99996), "100.00 %");
  assert.equal(format.percent(1e-9), "<0.01 %");
  assert.equal(format.percent(0), "0.00 %");
  assert.equal(format.factor(1.994), "1.99");
  assert.equal(format.factor(12345.6), "12,346");
  assert.equal(format.factor(1e9), "1.0e+9");
  assert.equal(format.bytes(0), "0 B");
  assert.equal(format.bytes(1536), "1.5 KiB");
  assert.equal(format.bytes(128 * 2 ** 20), "128 MiB");
});
