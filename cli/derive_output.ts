/**
 * What `derive` writes for one request: tensors, and everything else as JSON.
 *
 * @module
 */

import type { DeriveRequest } from "../derivers/request.ts";
import type { DerivedRun } from "../derivers/derive.ts";
import type { TopScalar } from "../derivers/scalar_store.ts";
import type { TensorData } from "../engine/model/safetensors_write.ts";
import { readTensors, type Tensor } from "../engine/tape/tensor.ts";

/** Results of one request. */
export interface DeriveOutput {
  /** By the names that `tests/golden/FORMAT.md` gives them. */
  readonly tensors: ReadonlyMap<string, TensorData>;
  readonly json: unknown;
}

/** Brings the results of a run to the host, in one transfer. */
export async function deriveOutput(
  run: DerivedRun,
  { topK }: Pick<DeriveRequest, "topK">,
): Promise<DeriveOutput> {
  const named = new Map<string, Tensor>();
  run.sequences.forEach(({ scalars, activations }, i) => {
    for (const { dst, passType, layerIndex, tensor } of scalars.entries) {
      named.set(`b${i}/${dst}/${passType}/${layerIndex ?? "none"}`, tensor);
    }
    for (const [{ location, pass, layer }, tensor] of activations) {
      named.set(`b${i}/raw/${location}/${pass}/${layer ?? "none"}`, tensor);
    }
  });
  const all = [...named];
  const values = await readTensors(all.map(([, tensor]) => tensor));
  const onHost = new Map(all.map(([, tensor], i) => [tensor, values[i]!]));
  const tensors = new Map<string, TensorData>(
    all.map(([name, { shape }], i) => [name, { shape, data: values[i]! }]),
  );

  const topk: TopScalar[][] = [];
  for (const [i, sequence] of run.sequences.entries()) {
    const { scalars, loss, activationValueForBackwardPass } = sequence;
    for (const { tensor } of scalars.entries) scalars.setValues(tensor, onHost.get(tensor)!);
    topk.push(await scalars.topk(topK));
    addNumber(tensors, `b${i}/loss`, loss);
    addNumber(
      tensors,
      `b${i}/activation_value_for_backward_pass`,
      activationValueForBackwardPass,
    );
  }
  return {
    tensors,
    json: {
      loss: run.sequences.map(({ loss }) => numberOf(loss)),
      activationValueForBackwardPass: run.sequences.map((sequence) =>
        numberOf(sequence.activationValueForBackwardPass)
      ),
      topk: topk.map((entries) => entries.map((entry) => ({ ...entry, value: wire(entry.value) }))),
      notComputable: run.sequences.flatMap(({ notComputable }) => notComputable),
      stats: run.stats,
    },
  };
}

function addNumber(tensors: Map<string, TensorData>, name: string, value: number | null): void {
  if (value !== null) tensors.set(name, { shape: [], data: Float32Array.of(value) });
}

/** A float32 in the nine digits that tell it from all others. */
function wire(value: number): number | string {
  if (Number.isFinite(value)) return Number(value.toPrecision(9));
  return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

function numberOf(value: number | null): number | string | null {
  return value === null ? null : wire(value);
}
