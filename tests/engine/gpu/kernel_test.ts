import assert from "node:assert/strict";

import { kernelFamily, variant } from "../../../engine/gpu/kernel.ts";

const family = kernelFamily({
  name: "norm",
  wgsl: ["text"],
  bindings: { x: "read", y: "read", out: "readWrite" },
  uniforms: { rows: "u32", eps: "f32" },
});

Deno.test("kernelFamily() numbers the bindings as the file does, whichever a kernel uses", () => {
  const kernel = family("norm_vjp", ["x", "out"]);
  assert.equal(kernel.label, "norm.norm_vjp");
  assert.deepEqual(kernel.bindings, {
    x: { at: 1, access: "read" },
    out: { at: 3, access: "readWrite" },
  });
  assert.equal(family("norm", ["out"]).label, "norm");
});

Deno.test("variant() is the same kernel for the same overrides, and another for others", () => {
  const base = family("norm", ["x", "out"]);
  const eight = variant(base, { LANES: 8 });
  assert.equal(variant(base, { LANES: 8 }), eight);
  assert.notEqual(variant(base, { LANES: 4 }), eight);
  assert.notEqual(variant(family("norm", ["x"]), { LANES: 8 }), eight);
  assert.deepEqual(variant(eight, { F: 1 }).overrides, { LANES: 8, F: 1 });
  assert.equal(base.overrides, undefined);
});
