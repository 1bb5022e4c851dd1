/**
 * The scalars derived for one sequence.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import type { PassType } from "../engine/tape/locations.ts";
import { readTensors, Tensor } from "../engine/tape/tensor.ts";
import { endsOf, topOf, wholeOf } from "./range_ends.ts";
import type { NodeIndex } from "./request.ts";
import type { RowsOnDemand } from "./rows_on_demand.ts";
import { type ScalarName, scalarTable } from "./table.ts";

/** Values on the GPU, on the host, or not computed yet. */
export type ScalarTensor = Tensor | HostTensor | RowsOnDemand;

/** Values that are on the host. */
export interface HostTensor {
  /** Length of each dimension. */
  readonly shape: readonly number[];
  /** Number of values. */
  readonly size: number;
  /** Row-major. */
  readonly values: Float32Array<ArrayBuffer>;
}

/** One scalar in one layer. */
export interface ScalarEntry<T extends ScalarTensor = Tensor> {
  /** The scalar. */
  readonly dst: ScalarName;
  /** Its value or its gradient. */
  readonly passType: PassType;
  /** `null` for a scalar without layers. */
  readonly layerIndex: number | null;
  /** Its values, dimensions named. */
  readonly tensor: T;
}

/** Which scalar. */
export interface ScalarKey {
  /** The scalar. */
  readonly dst: ScalarName;
  /** `null`, or absent, for a scalar without layers. */
  readonly layerIndex?: number | null;
  /** Its value, the default, or its gradient. */
  readonly passType?: PassType;
}

/** One number out of a scalar, and the node it belongs to. */
export interface TopScalar {
  /** The scalar. */
  readonly dst: ScalarName;
  /** Its value or its gradient. */
  readonly passType: PassType;
  /** `null` for a scalar without layers. */
  readonly layerIndex: number | null;
  /** Where in the scalar's tensor. */
  readonly tensorIndices: readonly number[];
  /** What the number belongs to. */
  readonly node: NodeIndex;
  /** The number. */
  readonly value: number;
}

/** Which scalars of a store are looked at. */
export interface ScalarSelection {
  /** Values, the default, or gradients. */
  readonly passType?: PassType;
  /** All if absent. */
  readonly dsts?: readonly ScalarName[];
  /** All if absent. */
  readonly nodeType?: NodeIndex["nodeType"];
  /** All if absent; scalars without layers always count. */
  readonly layerIndices?: readonly number[];
}

/** Which scalars {@linkcode ScalarStore.topk} looks at, and which end. */
export interface TopkOptions extends ScalarSelection {
  /** The largest, in descending order, or the smallest, ascending. */
  readonly largest?: boolean;
}

/** The scalars of one sequence, in the order in which they were asked for. */
export class ScalarStore<T extends ScalarTensor = Tensor> {
  readonly #entries: ScalarEntry<T>[] = [];
  readonly #values = new Map<ScalarTensor, Float32Array<ArrayBuffer>>();

  /** Every scalar, in the order of the request, then pass, then layer. */
  get entries(): readonly ScalarEntry<T>[] {
    return this.#entries;
  }

  /** Adds a scalar. */
  add(entry: ScalarEntry<T>): void {
    this.#entries.push(entry);
    if ("values" in entry.tensor) this.#values.set(entry.tensor, entry.tensor.values);
  }

  /**
   * The values of one scalar.
   *
   * @throws {RequestError} if it was not derived.
   */
  get({ dst, layerIndex = null, passType = "forward" }: ScalarKey): T {
    const found = this.#entries.find((entry) =>
      entry.dst === dst && entry.layerIndex === layerIndex && entry.passType === passType
    );
    if (found !== undefined) return found.tensor;
    const there = this.#entries.filter((entry) => entry.dst === dst)
      .map((entry) => `${entry.passType}, layer ${entry.layerIndex ?? "none"}`);
    throw new RequestError(
      "not_derived",
      `Cannot find "${dst}" (${passType}, layer ${layerIndex ?? "none"}): ` +
        (there.length === 0 ? "it was not derived" : `there is ${there.join("; ")}`),
    );
  }

  /** The scalars that a selection means. */
  select(selection: ScalarSelection): ScalarEntry<T>[] {
    const { passType = "forward", dsts, nodeType, layerIndices } = selection;
    return this.#entries.filter((entry) =>
      entry.passType === passType && (dsts?.includes(entry.dst) ?? true) &&
      (nodeType === undefined || scalarTable[entry.dst].nodeType === nodeType) &&
      (entry.layerIndex === null || (layerIndices?.includes(entry.layerIndex) ?? true))
    );
  }

  /** The values of a tensor, if they are on the host already. */
  known(tensor: ScalarTensor): Float32Array<ArrayBuffer> | undefined {
    return this.#values.get(tensor);
  }

  /** Brings scalars not read before, all unless told, to the host, in one transfer. */
  async read(
    entries: readonly ScalarEntry<T>[] = this.#entries,
  ): Promise<ReadonlyMap<ScalarTensor, Float32Array<ArrayBuffer>>> {
    const missing = entries.flatMap(({ tensor }) =>
      tensor instanceof Tensor && !this.#values.has(tensor) ? [tensor] : []
    );
    const content = await readTensors(missing);
    missing.forEach((tensor, i) => this.#values.set(tensor, content[i]!));
    return this.#values;
  }

  /** Takes values that were read together with others. */
  setValues(tensor: Tensor, values: Float32Array<ArrayBuffer>): void {
    this.#values.set(tensor, values);
  }

  /**
   * The k entries with the largest (or smallest) values among all scalars, with the
   * nodes they belong to. Ties: the lower flat index first, then the lower layer (no
   * layer first), then the order of the request.
   *
   * @param k `null` for all.
   */
  async topk(k: number | null = null, options: TopkOptions = {}): Promise<TopScalar[]> {
    const { largest = true } = options;
    const ranges = this.select(options).map(wholeOf);
    const ends = await endsOf(this, ranges, { k, largest, smallest: !largest });
    const values = ends.map((each) => largest ? each.largest : each.smallest);
    return topOf(ranges, values, { k, largest });
  }
}
