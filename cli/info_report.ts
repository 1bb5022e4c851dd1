/**
 * What `info` finds out, as data.
 *
 * @module
 */

import manifest from "../deno.json" with { type: "json" };
import type { ScalarDimName } from "../derivers/nodes.ts";
import { needsBackwardPass, type ScalarRow } from "../derivers/table.ts";
import { openCheckpoint } from "../engine/model/checkpoint.ts";
import { type ModelConfig, parseModelConfig } from "../engine/model/config.ts";
import { folderOf, readJson, type SourceFolder } from "../engine/model/source.ts";
import { resolveWeights } from "../engine/model/weight_names.ts";
import type { Location } from "../engine/tape/locations.ts";
import { sizeOf } from "../engine/tape/tensor.ts";
import { type AdapterFacts, locations, openGpu, scalarTable } from "../mod.ts";
import { isNoAdapter } from "./failure.ts";

/** A model, from its files alone. */
export interface ModelInfo extends ModelConfig {
  readonly folder: string;
  readonly parameters: number;
  /** Bytes of GPU memory its weights take. */
  readonly bytes: number;
  /** Names of the autoencoders in its folder. */
  readonly autoencoders: readonly string[];
}

/** One slot. */
export interface SlotInfo extends Location {
  readonly location: string;
}

/** One derived scalar. */
export interface ScalarInfo {
  readonly dst: string;
  readonly dims: readonly ScalarDimName[];
  readonly perLayer: boolean;
  readonly nodeType: string;
  readonly needsBackwardPass: boolean;
  /** Whether its gradient can be derived too. */
  readonly hasBackwardValue: boolean;
  readonly formula: string;
}

/** Everything that `info` finds out. */
export interface InfoReport {
  readonly versions: Readonly<Record<string, string>>;
  /** `null` if there is none. */
  readonly adapter: AdapterFacts | null;
  /** `null` if none was asked for. */
  readonly model: ModelInfo | null;
  readonly slots: readonly SlotInfo[];
  readonly scalars: readonly ScalarInfo[];
}

/**
 * Finds out about the adapter, the slots, the scalars and perhaps a model, of which it
 * reads the headers only.
 *
 * @param modelFolder `null` for none.
 * @throws {SafetensorsError} if the model's weights are malformed, missing or misshapen.
 */
export async function infoReport(modelFolder: string | null): Promise<InfoReport> {
  return {
    versions: { hooktape: manifest.version, ...Deno.version },
    adapter: await adapterFacts(),
    model: modelFolder === null ? null : await modelInfo(folderOf(modelFolder)),
    slots: Object.entries(locations).map(([location, row]) => ({ location, ...row })),
    scalars: Object.entries<ScalarRow>(scalarTable).map(([dst, row]) => ({
      dst,
      dims: row.dims,
      perLayer: row.perLayer,
      nodeType: row.nodeType,
      needsBackwardPass: needsBackwardPass(row),
      hasBackwardValue: row.backward !== undefined,
      formula: row.formula,
    })),
  };
}

async function adapterFacts(): Promise<AdapterFacts | null> {
  try {
    using gpu = await openGpu();
    return gpu.facts;
  } catch (error) {
    if (isNoAdapter(error)) return null;
    throw error;
  }
}

async function modelInfo(folder: SourceFolder): Promise<ModelInfo> {
  const source = await folder.open("config.json");
  if (source === undefined) {
    throw new Error(`Cannot load model "${folder.name}": it must have "config.json"`);
  }
  const config = parseModelConfig(await readJson(source), source.name);
  const checkpoint = await openCheckpoint(folder);
  const { global, layers } = resolveWeights(checkpoint, config);
  const names = new Set([global, ...layers].flatMap((record) => Object.values<string>(record)));
  const parameters = [...names].reduce(
    (sum, name) => sum + sizeOf(checkpoint.tensors.get(name)!.info.shape),
    0,
  );
  return {
    folder: folder.name,
    ...config,
    parameters,
    bytes: parameters * Float32Array.BYTES_PER_ELEMENT,
    autoencoders: await folder.list?.("autoencoders") ?? [],
  };
}
