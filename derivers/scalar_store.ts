/**
 * The scalars derived for one sequence.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import type { PassType } from "../engine/tape/locations.ts";
import { readTensors, type Tensor } from "../engine/tape/tensor.ts";
import { nodeOfScalar, unravel } from "./indices.ts";
import type { NodeIndex } from "./request.ts";
import { type ScalarName, type ScalarRow, scalarTable } from "./table.ts";
import { type Candidate, selectTop } from "./top.ts";

/** One scalar in one layer. */
export interface ScalarEntry {
  readonly dst: ScalarName;
  readonly passType: PassType;
  /** `null` for a scalar without layers. */
  readonly layerIndex: number | null;
  /** Its values, dimensions named. */
  readonly tensor: Tensor;
}

/** Which scalar. */
export interface ScalarKey {
  readonly dst: ScalarName;
  /** `null`, or absent, for a scalar without layers. */
  readonly layerIndex?: number | null;
  readonly passType?: PassType;
}

/** One number out of a scalar, and the node it belongs to. */
export interface TopScalar {
  readonly dst: ScalarName;
  readonly passType: PassType;
  readonly layerIndex: number | null;
  readonly tensorIndices: readonly number[];
  readonly node: NodeIndex;
  readonly value: number;
}

/** Which scalars {@linkcode ScalarStore.topk} looks at, and which end. */
export interface TopkOptions {
  readonly passType?: PassType;
  /** All if absent. */
  readonly dsts?: readonly ScalarName[];
  /** All if absent; scalars without layers always count. */
  readonly layerIndices?: readonly number[];
  /** The largest, in descending order, or the smallest, ascending. */
  readonly largest?: boolean;
}

/** The scalars of one sequence, in the order in which they were asked for. */
export class ScalarStore {
  readonly #entries: ScalarEntry[] = [];
  readonly #values = new Map<Tensor, Float32Array<ArrayBuffer>>();

  /** Every scalar, in the order of the request, then pass, then layer. */
  get entries(): readonly ScalarEntry[] {
    return this.#entries;
  }

  /** Adds a scalar. */
  add(entry: ScalarEntry): void {
    this.#entries.push(entry);
  }

  /**
   * The values of one scalar.
   *
   * @throws {RequestError} if it was not derived.
   */
  get({ dst, layerIndex = null, passType = "forward" }: ScalarKey): Tensor {
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

  /** Brings every scalar not read before to the host, in one transfer. */
  async read(): Promise<ReadonlyMap<Tensor, Float32Array<ArrayBuffer>>> {
    const missing = this.#entries.map(({ tensor }) => tensor)
      .filter((tensor) => !this.#values.has(tensor));
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
    const { passType = "forward", dsts, layerIndices, largest = true } = options;
    const values = await this.read();
    const chosen = this.#entries.filter((entry) =>
      entry.passType === passType && (dsts?.includes(entry.dst) ?? true) &&
      (entry.layerIndex === null || (layerIndices?.includes(entry.layerIndex) ?? true))
    );
    const order = new Map<ScalarName, number>();
    for (const { dst } of chosen) if (!order.has(dst)) order.set(dst, order.size);
    const top = selectTop(
      chosen.map((entry) => ({
        values: values.get(entry.tensor)!,
        layer: entry.layerIndex ?? -1,
        order: order.get(entry.dst)!,
      })),
      { k, largest },
    );
    return top.map((candidate) => topScalarOf(chosen[candidate.part]!, candidate));
  }
}

function topScalarOf(entry: ScalarEntry, { value, flat }: Candidate): TopScalar {
  const { dst, passType, layerIndex, tensor } = entry;
  const tensorIndices = unravel(flat, tensor.shape);
  const row: ScalarRow = scalarTable[dst];
  const node = nodeOfScalar({ dst, passType, layerIndex, tensorIndices }, row);
  return { dst, passType, layerIndex, tensorIndices, node, value };
}
