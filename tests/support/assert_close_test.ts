import assert from "node:assert/strict";

import { assertClose } from "./assert_close.ts";

/** What assertClose() says. */
function messageOf(...args: Parameters<typeof assertClose>): string {
  try {
    assertClose(...args);
  } catch (error) {
    assert.ok(error instanceof assert.AssertionError);
    return error.message;
  }
  return "";
}

Deno.test("assertClose() allows rel times the largest wanted value, plus abs", () => {
  const options = { rel: 0.01, abs: 0.5 };
  assertClose([100, 1.5], [100, 0], options);
  assert.match(messageOf([100, 1.51], [100, 0], options), /1 of 2 values/);
});

Deno.test("assertClose() takes infinities and NaN only in the same places", () => {
  const want = [-Infinity, NaN, Infinity, 1];
  assertClose(Float32Array.from(want), want);
  const options = { rel: 1, abs: 1e300 };
  for (const got of [[0, NaN, Infinity, 1], [-Infinity, 0, Infinity, 1]]) {
    assert.match(messageOf(got, want, options), /1 of 4 values/);
  }
  assert.match(messageOf([NaN, Infinity], [1, -Infinity], options), /2 of 2/);
});

Deno.test("assertClose() does not let an infinity widen the tolerance", () => {
  assert.notEqual(messageOf([Infinity, 2], [Infinity, 1]), "");
});

Deno.test("assertClose() counts a difference in length", () => {
  assert.equal(
    messageOf([1], [1, 2], { op: "gelu" }),
    "gelu [2]: got 1 values, want 2",
  );
});

Deno.test("assertClose() says label, shape, how many, the worst and the first pairs", () => {
  const message = messageOf([0, 1, 2, 3, 9, 6], [0, 1, 2, 3, 4, 5], {
    label: "dx",
    shape: [2, 3],
    rel: 0.1,
    abs: 0.25,
  });
  assert.equal(
    message,
    [
      "dx [2, 3]: 2 of 6 values are wrong",
      "  allowed: 0.1 * max|want| + 0.25 = 0.75",
      "  worst: index [1, 1], got 9, want 4, error 5",
      "  first: got (want) = 0 (0), 1 (1), 2 (2), 3 (3), 9 (4)",
    ].join("\n"),
  );
});

Deno.test("assertClose() takes the tolerance of the op it is told", () => {
  const values = [[1.000005], [1]] as const;
  assertClose(...values, { op: "linear" });
  assert.match(messageOf(...values, { op: "relu" }), /1 of 1 values/);
  assertClose(...values, { op: "relu", rel: 1e-5 });
});
