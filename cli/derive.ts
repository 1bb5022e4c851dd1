/**
 * `derive`: request files in, safetensors and JSON out.
 *
 * @module
 */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { type DeriveRequest, parseDeriveRequest } from "../derivers/request.ts";
import { GpuError } from "../engine/errors.ts";
import { writeSafetensors } from "../engine/model/safetensors_write.ts";
import { deriveScalars, loadModel, type Model } from "../mod.ts";
import { deriveOutput } from "./derive_output.ts";
import { exitCodes, reportFailure } from "./failure.ts";
import { progress } from "./progress.ts";

/** Where `derive` reads the model and writes its results. */
export interface DeriveOptions {
  readonly model: string;
  readonly out: string;
}

/**
 * Runs every request. One that fails is reported and does not stop the others.
 *
 * @returns The exit code.
 */
export async function derive(
  files: readonly string[],
  { model: modelFolder, out }: DeriveOptions,
): Promise<number> {
  using line = progress();
  line.show(`loading ${modelFolder}`);
  using model = await loadModel(modelFolder);
  await mkdir(out, { recursive: true }).catch((error: unknown) => {
    throw new Error(`Cannot create folder "${out}": ${codeOf(error)}`, { cause: error });
  });
  let failed = 0;
  for (const [i, file] of files.entries()) {
    line.show(`${i + 1} of ${files.length}: ${file}`);
    try {
      await deriveFile(model, file, { out });
    } catch (error) {
      line.clear();
      if (error instanceof GpuError && error.reason === "device-lost") throw error;
      failed++;
      reportFailure(error, `"${file}"`);
    }
  }
  line.clear();
  if (failed > 0) console.error(`${failed} of ${files.length} requests failed`);
  return failed === 0 ? exitCodes.ok : exitCodes.failed;
}

/** Two files whose results would have the same name, if there are two. */
export function sameOutput(files: readonly string[]): [string, string] | undefined {
  const byName = new Map<string, string>();
  for (const file of files) {
    const other = byName.get(nameOf(file));
    if (other !== undefined) return [other, file];
    byName.set(nameOf(file), file);
  }
}

async function deriveFile(model: Model, file: string, { out }: { out: string }): Promise<void> {
  const request = await readRequest(file);
  using run = await deriveScalars(model, request);
  const { tensors, json } = await deriveOutput(run, request);
  const path = join(out, nameOf(file));
  await writeFile(`${path}.safetensors`, writeSafetensors(tensors));
  await writeFile(`${path}.json`, `${JSON.stringify(json)}\n`);
}

async function readRequest(file: string): Promise<DeriveRequest> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw new Error(`Cannot read request "${file}": ${codeOf(error)}`, { cause: error });
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SyntaxError(`Cannot read request "${file}": it is not JSON: ${why}`, { cause });
  }
  return parseDeriveRequest(json, file);
}

/** The name of a request's results: that of its file. */
function nameOf(file: string): string {
  return basename(file).replace(/\.json$/i, "");
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "it does not exist",
  EISDIR: "it is a folder",
  EEXIST: "there is a file of that name",
  ENOTDIR: "there is a file where a folder must be",
  EACCES: "access is not allowed",
  EROFS: "the file system is read-only",
};

function codeOf(error: unknown): string {
  const code = String((error as { code?: unknown } | null)?.code);
  return reasons[code] ?? (error instanceof Error ? error.message : code);
}
