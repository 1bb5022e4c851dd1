import assert from "node:assert/strict";

import { scalarNames } from "../../derivers/table.ts";
import { derivedScalarsPage, groupsOf, readPages } from "../../tools/docs.ts";

const read = (path: string) => Deno.readTextFile(new URL(`../../${path}`, import.meta.url));

Deno.test("docs/derived_scalars.md is what tools/docs.ts writes", async () => {
  const { wanted, current } = await readPages();
  assert.ok(wanted === current, "run: deno run --allow-all tools/docs.ts");
});

Deno.test("groupsOf() puts every scalar into one group, in the order of the table", async () => {
  const groups = groupsOf(await read("derivers/table.ts"));
  assert.deepEqual([...groups.values()].flat(), scalarNames);
  for (const [group, members] of groups) assert.ok(members.length > 0, group);
});

Deno.test("derivedScalarsPage() refuses a table with a row outside of all groups", () => {
  const source = "export const scalarTable = {\n  // Some\n  logits: raw(),\n}";
  assert.throws(() => derivedScalarsPage(source), { message: /Cannot document resid_post_embed/ });
});

Deno.test("docs/adding_a_scalar.md shows the row that table_test.ts derives", async () => {
  const blocks = [...(await read("docs/adding_a_scalar.md")).matchAll(/```ts\n(.*?)```/gs)];
  assert.equal(blocks.length, 1);
  const test = await read("tests/derivers/table_test.ts");
  for (const [, block] of blocks) assert.ok(test.includes(block!.trim()), block);
});
