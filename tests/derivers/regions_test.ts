import { deepStrictEqual, throws } from "node:assert/strict";
import { regionOf, regionSize } from "../../derivers/regions.ts";

const pattern = {
  name: "attn.qk_probs",
  dims: ["sequence_tokens", "attended_to_sequence_tokens", "attn_heads"],
} as const;

Deno.test('regionOf() selects one entry by an integer and a whole dimension by "All"', () => {
  const region = regionOf([2, "All", -1], [5, 5, 4], pattern);
  deepStrictEqual(region, { start: [2, 0, 3], count: [1, 5, 1] });
  deepStrictEqual(regionSize(region), 5);
  deepStrictEqual(regionOf(["All", "All", "All"], [5, 5, 4], pattern), {
    start: [0, 0, 0],
    count: [5, 5, 4],
  });
});

Deno.test("regionOf() counts -1 from the end of the sequence itself", () => {
  deepStrictEqual(regionOf([-1, -2, 0], [3, 3, 4], pattern).start, [2, 1, 0]);
});

Deno.test("regionOf() names the location for a wrong number of indices", () => {
  throws(() => regionOf([0], [5, 5, 4], pattern), {
    name: "RequestError",
    code: "wrong_number_of_indices",
    message: 'Cannot use tensorIndices [0] for "attn.qk_probs": ' +
      "it has 3 dimensions, sequence_tokens, attended_to_sequence_tokens, attn_heads",
  });
});

Deno.test("regionOf() names an index out of range", () => {
  throws(() => regionOf([5, "All", 0], [5, 5, 4], pattern), {
    code: "index_out_of_range",
    message: 'Cannot use index 5 for "sequence_tokens" of "attn.qk_probs": ' +
      "the size is 5, so indices must be from -5 to 4",
  });
  throws(() => regionOf([0, 0, -5], [5, 5, 4], pattern), { code: "index_out_of_range" });
});
