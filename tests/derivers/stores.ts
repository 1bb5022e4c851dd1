/** Stores of made-up values, on the GPU or on the host. */

import {
  type HostTensor,
  type ScalarEntry,
  ScalarStore,
  type ScalarTensor,
} from "../../derivers/scalar_store.ts";
import { type Arena, sizeOf, type Tensor } from "../../engine/tape/tensor.ts";

/** A scalar with values; forward unless told. */
export interface MadeUp extends Pick<ScalarEntry, "dst" | "layerIndex"> {
  readonly passType?: ScalarEntry["passType"];
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
}

function storeWith<T extends ScalarTensor>(
  scalars: readonly MadeUp[],
  tensorOf: (shape: readonly number[], values: Float32Array<ArrayBuffer>) => T,
): ScalarStore<T> {
  const store = new ScalarStore<T>();
  for (const { shape, values, passType = "forward", ...key } of scalars) {
    store.add({ ...key, passType, tensor: tensorOf(shape, Float32Array.from(values)) });
  }
  return store;
}

/** A store of which nothing is on the host. */
export function gpuStore(arena: Arena, scalars: readonly MadeUp[]): ScalarStore<Tensor> {
  return storeWith(scalars, (shape, values) => arena.upload(values, shape, "made up"));
}

/** A store of which everything is on the host. */
export function hostStore(scalars: readonly MadeUp[]): ScalarStore<HostTensor> {
  return storeWith(scalars, (shape, values) => ({ shape, size: values.length, values }));
}

/** A scalar with a value for each flat index. */
export function madeUp(
  dst: MadeUp["dst"],
  layerIndex: number | null,
  { shape, value, passType = "forward" }: {
    shape: readonly number[];
    value: (flat: number) => number;
    passType?: ScalarEntry["passType"];
  },
): MadeUp {
  const values = Array.from({ length: sizeOf(shape) }, (_, flat) => value(flat));
  return { dst, layerIndex, passType, shape, values };
}
