/**
 * The golden data in tests/golden: requests with the values that the reference
 * gave for them. Its format is told in tests/golden/FORMAT.md.
 *
 * @module
 */

import { AssertionError } from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { errorBetween, largestMagnitude, type Tolerance } from "./assert_close.ts";

/** The bar for every tensor and number, of FORMAT.md. */
export const goldenTolerance: Tolerance = { rel: 1e-4, abs: 2e-5 };

/** A bar that forward-only values can be held to, of FORMAT.md. */
export const forwardTolerance: Tolerance = { rel: 1e-5, abs: 1e-5 };

/** The kinds of golden data: one folder each. */
export type GoldenKind = "cases" | "post" | "requests";

/** A tensor of the golden data. */
export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** An entry of a list of largest or smallest values. */
export interface TopkEntry {
  readonly dst: string;
  readonly layerIndex: number | null;
  readonly tensorIndices: readonly number[];
  readonly value: number;
}

/** A list of largest or smallest values of one sequence. */
export interface GoldenTopk {
  readonly k: number;
  readonly largest: boolean;
  readonly dsts: readonly string[];
  readonly entries: readonly TopkEntry[];
}

/** A derived scalar that must be refused if added to the sequence. */
export interface GoldenRefusal {
  readonly dst: string;
  readonly config: unknown;
  readonly sequence: number;
  /** Class of the error, of the specification's table. */
  readonly error: string;
}

/** What a case expects besides tensors; lists have an entry per sequence. */
export interface GoldenExpected {
  readonly file: string;
  readonly loss: readonly (number | null)[];
  readonly activationValueForBackwardPass: readonly (number | null)[];
  readonly lossFloat64: readonly (number | null)[];
  readonly activationValueForBackwardPassFloat64: readonly (number | null)[];
  readonly topk: readonly (readonly GoldenTopk[])[];
  readonly notComputable: readonly GoldenRefusal[];
}

/** The part of a case's request that tests look into themselves. */
export interface GoldenRequest {
  readonly name: string;
  /** Name of the model's folder. */
  readonly model: string;
  readonly autoencoders: readonly {
    readonly name: string;
    readonly layers: readonly number[] | null;
  }[];
  readonly sequences: readonly {
    readonly tokens: readonly number[];
    readonly [field: string]: unknown;
  }[];
}

/** A request with all that is expected of it. */
export interface GoldenCase {
  readonly name: string;
  readonly request: GoldenRequest;
  readonly expected: GoldenExpected;
  /** By the names of FORMAT.md, e.g. `b0/mlp_write_norm/forward/1`. */
  readonly tensors: ReadonlyMap<string, GoldenTensor>;
}

const root = new URL("../golden/", import.meta.url);

/** Path of a file or folder of the golden data. */
export function goldenPath(path: string): string {
  return fileURLToPath(new URL(path, root));
}

/** Path of the folder of a golden model: `tiny` or `odd`. */
export function goldenModelPath(model: string): string {
  return goldenPath(`models/${model}`);
}

/** Names of all cases, store operations or wire requests, sorted. */
export function listGolden(kind: GoldenKind): string[] {
  return readdirSync(goldenPath(kind))
    .filter((file) => file.endsWith(".json") && !file.endsWith(".expected.json"))
    .map((file) => file.slice(0, -".json".length))
    .sort();
}

/** Reads a case. */
export function readGoldenCase(name: string): GoldenCase {
  const expected = readGoldenJson(`cases/${name}.expected.json`) as
    & Omit<GoldenExpected, "topk">
    & { topk: RawTopk[][] };
  return {
    name,
    request: readGoldenJson(`cases/${name}.json`) as GoldenRequest,
    expected: {
      ...expected,
      topk: expected.topk.map((lists) => lists.map(namedTopk)),
    },
    tensors: readGoldenTensors(`cases/${name}.safetensors`),
  };
}

/** A list as it is stored: [index into dsts, layer, tensorIndices, value]. */
interface RawTopk extends Omit<GoldenTopk, "entries"> {
  readonly entries: readonly [number, number | null, number[], number][];
}

function namedTopk(list: RawTopk): GoldenTopk {
  return {
    ...list,
    entries: list.entries.map(([dst, layerIndex, tensorIndices, value]) => ({
      dst: list.dsts[dst]!,
      layerIndex,
      tensorIndices,
      value,
    })),
  };
}

/** Reads a JSON file, with the strings "inf" and "-inf" as numbers. */
export function readGoldenJson(path: string): unknown {
  return JSON.parse(
    readFileSync(goldenPath(path), "utf8"),
    (_key, value: unknown) => value === "inf" ? Infinity : value === "-inf" ? -Infinity : value,
  );
}

/**
 * Reads a safetensors file of float32 tensors. It is a reader of its own, so
 * that the tests do not lean on the one that they test.
 */
export function readGoldenTensors(path: string): Map<string, GoldenTensor> {
  const bytes = readFileSync(goldenPath(path));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const dataStart = 8 + Number(view.getBigUint64(0, true));
  const header = JSON.parse(
    new TextDecoder().decode(bytes.subarray(8, dataStart)),
  ) as Record<string, { shape: number[]; data_offsets: [number, number] }>;
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, { shape, data_offsets: [start, end] }] of entries(header)) {
    const data = new Float32Array((end - start) / 4);
    for (let i = 0; i < data.length; i++) {
      data[i] = view.getFloat32(dataStart + start + 4 * i, true);
    }
    tensors.set(name, { shape, data });
  }
  return tensors;
}

/** The tensors of a header, without its free text. */
function entries<T>(header: Record<string, T>): [string, T][] {
  return Object.entries(header).filter(([name]) => name !== "__metadata__");
}

/** Options of {@linkcode compareTopk}. */
export interface CompareTopkOptions extends Partial<Tolerance> {
  /** What is compared, for the message. */
  readonly label?: string;
  /** The value that follows the last place, if it is known. */
  readonly next?: number | undefined;
  /** The wanted value at an entry's index, if it is known. */
  readonly lookup?: (entry: TopkEntry) => number | undefined;
}

/**
 * Asserts that two lists of largest (or smallest) values agree: the values place
 * by place, within `rel * max|want| + abs` (the golden tolerance unless given),
 * and the indices wherever the neighbouring values are farther away than that.
 * Elsewhere equals may have changed places: then no entry may occur twice, and
 * with `lookup` the entry's own value must be the one wanted in that place. What
 * follows the last place counts as equal to it unless `next` tells.
 *
 * @throws {AssertionError} If they do not agree.
 */
export function compareTopk(
  got: readonly TopkEntry[],
  want: readonly TopkEntry[],
  options: CompareTopkOptions = {},
): void {
  const { label = "top-k", next, lookup } = options;
  const fail = (message: string): never => {
    throw new AssertionError({ message: `${label}: ${message}` });
  };
  if (got.length !== want.length) {
    fail(`got ${got.length} entries, want ${want.length}`);
  }
  const { rel = goldenTolerance.rel, abs = goldenTolerance.abs } = options;
  const values = want.map(({ value }) => value);
  const bound = rel * largestMagnitude(values) + abs;
  const near = (a: number, b: number | undefined) => b !== undefined && errorBetween(a, b) <= bound;

  const seen = new Set<string>();
  want.forEach((wanted, i) => {
    const entry = got[i]!;
    const place = `place ${i}: got ${nameOf(entry)} = ${entry.value}, want ${
      nameOf(wanted)
    } = ${wanted.value}`;
    if (!near(entry.value, wanted.value)) {
      fail(`values differ by more than ${bound} at ${place}`);
    }
    if (seen.has(nameOf(entry))) fail(`an entry occurs twice at ${place}`);
    seen.add(nameOf(entry));
    if (nameOf(entry) === nameOf(wanted)) return;
    const isLast = i === want.length - 1;
    const isDecided = !near(wanted.value, values[i - 1]) &&
      !near(wanted.value, values[i + 1] ?? next) &&
      (!isLast || next !== undefined);
    if (isDecided) fail(`indices differ at ${place}`);
    if (lookup !== undefined && !near(wanted.value, lookup(entry))) {
      fail(`the index has another value, ${lookup(entry)}, at ${place}`);
    }
  });
}

function nameOf({ dst, layerIndex, tensorIndices }: TopkEntry): string {
  return `${dst}/${layerIndex ?? "none"}[${tensorIndices.join(", ")}]`;
}

/**
 * The lookup of {@linkcode compareTopk} for one sequence of a case: the expected
 * forward value of an entry.
 */
export function lookupOf(
  { tensors }: GoldenCase,
  sequence: number,
): (entry: TopkEntry) => number | undefined {
  return ({ dst, layerIndex, tensorIndices }) => {
    const layer = layerIndex ?? "none";
    const tensor = tensors.get(`b${sequence}/${dst}/forward/${layer}`);
    const index = tensorIndices.reduce(
      (flat, i, dim) => flat * (tensor?.shape[dim] ?? 1) + i,
      0,
    );
    return tensor?.data[index];
  };
}
