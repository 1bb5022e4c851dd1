import assert from "node:assert/strict";

import { deriveScalar, deriveScalars } from "../../derivers/derive.ts";
import { bwd, fwd } from "../../derivers/inputs.ts";
import { planRow } from "../../derivers/plan.ts";
import { product } from "../../derivers/rules.ts";
import {
  needsBackwardPass,
  scalarNames,
  type ScalarRow,
  scalarTable,
} from "../../derivers/table.ts";
import { nodeTypeOfDim, nodeTypes } from "../../derivers/nodes.ts";
import { dimNames, type LocationName, locations } from "../../engine/tape/locations.ts";
import { readTensors } from "../../engine/tape/tensor.ts";
import { readGoldenJson } from "../support/golden.ts";
import { gpuTest } from "../support/gpu.ts";
import { goldenModel } from "./golden_cases.ts";

/** A row of the golden table. */
interface GoldenRow {
  readonly value: string;
  readonly dims: readonly string[];
  readonly nodeType: string;
  readonly layers: "all" | "none";
  readonly isRaw: boolean;
  readonly isAutoencoderLatent: boolean;
  readonly needsBackwardPassForForwardValue: boolean;
  readonly hasBackwardValue: boolean;
}

const rows = Object.entries(scalarTable) as [string, ScalarRow][];

Deno.test("scalarTable has the 106 rows of the golden table, and what follows from each", () => {
  const golden = new Map(
    (readGoldenJson("dst_table.json") as GoldenRow[]).map((row) => [row.value, row]),
  );
  assert.equal(golden.size, 106);
  assert.deepEqual([...scalarNames].sort(), [...golden.keys()].sort());
  for (const [name, row] of rows) {
    const { isAutoencoderLatent, ...want } = golden.get(name)!;
    const got = {
      value: name,
      dims: row.dims,
      nodeType: row.nodeType,
      layers: row.perLayer ? "all" : "none",
      isRaw: row.raw !== undefined,
      needsBackwardPassForForwardValue: needsBackwardPass(row),
      hasBackwardValue: row.backward !== undefined,
    };
    assert.deepEqual(got, want, name);
    if (isAutoencoderLatent) assert.match(row.nodeType, /autoencoder_latent$/, name);
  }
});

Deno.test("scalarTable has one raw row at most for each activation location", () => {
  const raw = rows.flatMap(([, row]) => row.raw === undefined ? [] : [row.raw]);
  assert.equal(new Set(raw).size, raw.length);
  for (const [, { raw: location, dims, perLayer }] of rows) {
    if (location === undefined) continue;
    assert.deepEqual([dims, perLayer], [locations[location].dims, locations[location].perLayer]);
  }
});

Deno.test("scalarTable says a formula in every row, and inputs that have names", () => {
  for (const [name, { formula, rule, backward }] of rows) {
    assert.notEqual(formula.trim(), "", name);
    for (const { label } of [...rule.inputs, ...backward?.inputs ?? []]) {
      assert.notEqual(label.trim(), "", name);
    }
  }
});

Deno.test("nodeTypeOfDim() knows every last dimension of a location", () => {
  for (const name of Object.keys(locations) as LocationName[]) {
    const last = locations[name].dims.at(-1)!;
    assert.ok(nodeTypeOfDim(last) in nodeTypes, name);
    assert.ok(dimNames.includes(last), name);
  }
});

// The row that docs/adding_a_scalar.md adds.
const preActTimesGrad: ScalarRow = {
  dims: ["sequence_tokens", "mlp_acts"],
  perLayer: true,
  nodeType: "mlp_neuron",
  formula: "pre-activation · gradient of the pre-activation",
  rule: product(fwd("mlp.pre_act"), bwd("mlp.pre_act")),
};

gpuTest("a new row of the table is all that a new scalar needs", async ({ gpu }) => {
  const model = await goldenModel(gpu, "tiny");
  const { nLayers, dMlp } = model.config;
  const asked = { dst: "mlp_pre_act_times_grad", config: null };
  assert.equal(needsBackwardPass(preActTimesGrad), true);

  // what the plan of the row keeps, as a run keeps what it was asked for
  using run = await deriveScalars(model, {
    tokens: [3, 1, 4, 1, 5],
    lossFnConfig: { name: "logit_minus_mean", targetTokens: ["<9>"] },
    dsts: ["mlp_pre_act"],
  });
  const planned = planRow(preActTimesGrad, asked, { facts: run.run.facts, hasObjective: true });
  assert.deepEqual(planned.layers, Array.from({ length: nLayers }, (_, layer) => layer));
  assert.deepEqual(
    planned.needs.map(({ location, layer, pass }) => `${location} ${layer} ${pass}`),
    planned.layers.flatMap((layer) => [
      `mlp.pre_act ${layer} forward`,
      `mlp.pre_act ${layer} backward`,
    ]),
  );
  const entries = deriveScalar(run.run, planned);
  assert.equal(entries.length, nLayers);
  for (const { dst, layerIndex, passType, tensor } of entries) {
    assert.deepEqual([dst, passType, tensor.shape], [asked.dst, "forward", [5, dMlp]]);
    const [got, activation, gradient] = await readTensors([
      tensor,
      run.scalars.get({ dst: "mlp_pre_act", layerIndex }),
      run.scalars.get({ dst: "mlp_pre_act", layerIndex, passType: "backward" }),
    ]);
    assert.deepEqual(got, activation!.map((value, i) => value * gradient![i]!));
  }
});

gpuTest(
  "planRow() refuses a row that needs a gradient where there is no objective",
  async (test) => {
    const model = await goldenModel(test.gpu, "tiny");
    using run = await deriveScalars(model, { tokens: [1], dsts: [] });
    const { facts } = run.run;
    assert.throws(
      () => planRow(preActTimesGrad, { dst: "mine", config: null }, { facts, hasObjective: false }),
      { name: "RequestError", code: "gradients_without_objective", message: /"mine"/ },
    );
  },
);
