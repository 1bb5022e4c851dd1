import assert from "node:assert/strict";

import { randomRef } from "../support/random.ts";
import { referenceCases } from "./cases.ts";
import { type AnyReferenceOp, mapRef, opNames, type Ref, ref, reference } from "./mod.ts";

const step = 1e-5; // near the cube root of the float64 epsilon

function dot(a: Ref, b: Ref): number {
  return a.data.reduce((sum, value, i) => sum + value * b.data[i]!, 0);
}

/** (f(x + h t) - f(x - h t)) / 2h; 0 where both are the same infinity. */
function centralDifference(
  op: AnyReferenceOp,
  inputs: readonly Ref[],
  attrs: unknown,
  tangents: readonly Ref[],
): Ref {
  const [plus, minus] = [step, -step].map((h) =>
    op.forward(
      inputs.map((x, j) => mapRef(x, (value, i) => value + h * tangents[j]!.data[i]!)),
      attrs,
    )
  ) as [Ref, Ref];
  return mapRef(
    plus,
    (value, i) => value === minus.data[i] ? 0 : (value - minus.data[i]!) / (2 * step),
  );
}

function assertNear(
  got: number,
  want: number,
  { within, label }: { within: number; label: string },
) {
  assert.ok(
    Math.abs(got - want) <= within,
    `${label}: ${got} and ${want} differ by ${Math.abs(got - want)}, ` +
      `more than ${within}`,
  );
}

for (const name of opNames) {
  const op: AnyReferenceOp = reference[name];
  const cases = referenceCases.filter((each) => each.op === name);

  Deno.test(`reference.${name} has vjp and jvp that are each other's transpose and agree with central differences`, async (t) => {
    assert.ok(cases.length > 0, `${name} has no case`);
    for (const { label, attrs, ...rest } of cases) {
      const inputs = rest.inputs as readonly Ref[];
      await t.step(label, () => {
        const y = op.forward(inputs, attrs);
        const tangents = inputs.map((x, j) => randomRef(x.shape, 900 + j));
        const u = randomRef(y.shape, 990);

        const ty = op.jvp(inputs, attrs, tangents);
        const gradients = op.vjp(inputs, attrs, u) as Ref[];
        assert.deepEqual(ty.shape, y.shape);
        assert.deepEqual(
          gradients.map(({ shape }) => shape),
          inputs.map(({ shape }) => shape),
        );

        const byJvp = dot(u, ty);
        const terms = gradients.map((gradient, j) => dot(gradient, tangents[j]!));
        const byVjp = terms.reduce((sum, term) => sum + term, 0);
        // in a dot product's own scale, as the sum may cancel
        const magnitude = Math.sqrt(dot(u, u) * dot(ty, ty));
        assertNear(byJvp, byVjp, {
          within: 1e-10 * Math.max(magnitude, ...terms.map(Math.abs)),
          label: `${label}: <u, J t> and <Jᵀ u, t>`,
        });

        const difference = centralDifference(op, inputs, attrs, tangents);
        const largest = Math.max(...ty.data.map(Math.abs));
        ty.data.forEach((value, i) =>
          assertNear(value, difference.data[i]!, {
            within: 1e-6 * largest + 1e-9,
            label: `${label}: J t at ${i} and central difference`,
          })
        );

        // a missing tangent is one of zeros, so the parts add up to the whole
        const parts = inputs.map((_, j) =>
          op.jvp(inputs, attrs, tangents.map((tx, i) => i === j ? tx : undefined))
        );
        ty.data.forEach((value, i) =>
          assertNear(parts.reduce((sum, part) => sum + part.data[i]!, 0), value, {
            within: 1e-12 * (largest + 1),
            label: `${label}: J t at ${i} input by input and whole`,
          })
        );
      });
    }
  });
}

/** The values, to as many digits as the literals below have. */
function rounded(x: Ref): number[] {
  return Array.from(x.data, (value) => Number(value.toPrecision(9)));
}

Deno.test("reference.gelu gives the known values of the tanh form", () => {
  const y = reference.gelu.forward([ref([4], [1, -1, 0, 10])], {});
  // 0.5 (1 + tanh(0.7978845608 * 1.044715)) = 0.841191990608
  assert.deepEqual(rounded(y), [0.841191991, -0.158808009, 0, 10]);
});

Deno.test("reference.norm_scale and norm_apply normalise [1, 2, 3]", () => {
  const x = ref([1, 3], [1, 2, 3]);
  const s = reference.norm_scale.forward([x], { eps: 0 });
  assert.deepEqual(rounded(s), [0.816496581]); // sqrt(2/3)
  const gain = ref([3], [1, 1, 2]);
  const bias = ref([3], [0, 0.5, 0]);
  const y = reference.norm_apply.forward([x, s, gain, bias], {});
  assert.deepEqual(rounded(y), [-1.22474487, 0.5, 2.44948974]);
});

Deno.test("reference.softmax and log_softmax give the known values of [0, ln 3], and take -inf as probability 0", () => {
  const x = ref([2, 2], [0, Math.log(3), 5, -Infinity]);
  assert.deepEqual(rounded(reference.softmax.forward([x], {})), [
    0.25,
    0.75,
    1,
    0,
  ]);
  assert.deepEqual(rounded(reference.log_softmax.forward([x], {})), [
    -1.38629436,
    -0.287682072,
    0,
    -Infinity,
  ]);
  const [dx] = reference.softmax.vjp([x], {}, ref([2, 2], [1, 0, 3, NaN]));
  assert.deepEqual(rounded(dx), [0.1875, -0.1875, 0, 0]);
});

Deno.test("reference.softmax does not overflow with large inputs", () => {
  const x = ref([1, 2], [1e4, 1e4]);
  assert.deepEqual(rounded(reference.softmax.forward([x], {})), [0.5, 0.5]);
});

Deno.test("reference.attention attends to no later key and to no other sequence", () => {
  const q = ref([3, 1, 1], [1, 0, 2]);
  const k = ref([3, 1, 1], [3, 1, 1]);
  const v = ref([3, 1, 1], [10, 20, 40]);
  const attrs = { lengths: [2, 1] };
  const logits = reference.qk_logits.forward([q, k], { ...attrs, causal: true });
  assert.deepEqual([...logits.data], [3, -Infinity, 0, 0, 2]);
  const probs = reference.softmax_keys.forward([logits], attrs);
  assert.deepEqual([...probs.data], [1, 0, 0.5, 0.5, 1]);
  const y = reference.attention.forward([q, k, v], attrs);
  assert.deepEqual([...y.data], [10, 15, 40]);
});

Deno.test("reference.weighted_sum counts a probability above the diagonal", () => {
  const probs = ref([4, 1], [1, 0.5, 0, 1]);
  const v = ref([2, 1, 1], [10, 20]);
  const y = reference.weighted_sum.forward([probs, v], { lengths: [2] });
  assert.deepEqual([...y.data], [20, 20]);
});

Deno.test("reference.linear slices output columns of w and bias, in both layouts", () => {
  const x = ref([1, 2], [1, 10]);
  const bias = ref([3], [100, 200, 300]);
  const attrs = { columns: { start: 1, count: 2 }, alpha: 2 };
  const plain = ref([2, 3], [1, 2, 3, 4, 5, 6]);
  const transposed = ref([3, 2], [1, 4, 2, 5, 3, 6]);
  const want = [2 * (2 + 50 + 200), 2 * (3 + 60 + 300)];
  assert.deepEqual(
    [...reference.linear.forward([x, plain, bias], attrs).data],
    want,
  );
  assert.deepEqual([
    ...reference.linear.forward([x, transposed, bias], {
      ...attrs,
      transposed: true,
    }).data,
  ], want);
});

Deno.test("reference.top_k keeps the lower index of a tie and no negative value", () => {
  const x = ref([2, 4], [1, 3, 3, 3, -1, -2, 5, -3]);
  const y = reference.top_k.forward([x], { k: 2 });
  assert.deepEqual([...y.data], [0, 3, 3, 0, 0, 0, 5, 0]);
});

Deno.test("reference.row_norm has no gradient at a row of zeros", () => {
  const x = ref([2, 2], [3, 4, 0, 0]);
  assert.deepEqual([...reference.row_norm.forward([x], {}).data], [5, 0]);
  const [dx] = reference.row_norm.vjp([x], {}, ref([2, 1], [1, 1]));
  assert.deepEqual(rounded(dx), [0.6, 0.8, 0, 0]);
});

Deno.test("reference.overwrite writes boxes of a block in order", () => {
  const x = ref([5], [0, 1, 2, 3, 4]);
  const attrs = {
    shape: [2, 2],
    offset: 1,
    regions: [
      { start: [0, 0], count: [2, 1], value: 7 },
      { start: [1, 0], count: [1, 2], value: 9 },
    ],
  };
  assert.deepEqual([...reference.overwrite.forward([x], attrs).data], [
    0,
    7,
    2,
    9,
    9,
  ]);
});

Deno.test("reference.cross_entropy and loss give the known values of [0, ln 3]", () => {
  const z = ref([1, 2], [0, Math.log(3)]);
  const entropy = reference.cross_entropy.forward([z], {
    targets: [0],
    weights: [0.5],
  });
  assert.deepEqual(rounded(entropy), [0.693147181]); // 0.5 ln 4
  const coefficients = [2, 1];
  const y = reference.loss.forward([z], {
    specs: (["linear", "probs", "zero"] as const).map((kind) => (
      { row: 0, kind, coefficients }
    )),
  });
  assert.deepEqual(rounded(y), [1.09861229, 1.25, 0]);
});
