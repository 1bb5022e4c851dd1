/**
 * Loads a model in a process of its own, again and again, and prints what it took.
 *
 * @module
 */

import { openGpu } from "../../engine/gpu/gpu.ts";
import { loadModel } from "../../engine/model/model.ts";
import { folderOf, type SourceFolder } from "../../engine/model/source.ts";
import { Arena } from "../../engine/tape/tensor.ts";
import type { LoadingReport } from "./loading.ts";

const [path, rounds] = Deno.args as [string, string];
const chunk = new Float32Array(2 ** 22); // 16 MiB, all of it touched
chunk.fill(1);
using gpu = await openGpu();
const { class: adapterClass } = gpu.facts;

let uploaded = 0;
let peakBytes = 0;
let base = 0;
/** On a CPU rasteriser the weights themselves are host memory too: those that are there by now. */
function sample(): void {
  const beside = adapterClass === "cpu" ? uploaded : 0;
  peakBytes = Math.max(peakBytes, Deno.memoryUsage().rss - base - beside);
}

/** The folder, its large reads watched. */
function watched(folder: SourceFolder): SourceFolder {
  return {
    name: folder.name,
    async open(name) {
      const source = await folder.open(name);
      if (source === undefined) return undefined;
      return {
        name: source.name,
        size: source.size,
        async read(offset, length, options) {
          sample();
          const bytes = await source.read(offset, length, options);
          sample(); // the chunk is there, and not yet uploaded
          if (name.endsWith(".safetensors")) uploaded += length;
          return bytes;
        },
      };
    },
  };
}

async function load(): Promise<number> {
  uploaded = 0;
  base = Deno.memoryUsage().rss;
  const started = performance.now();
  using model = await loadModel(watched(folderOf(path)), { gpu });
  await model.gpu.finish();
  sample();
  return (performance.now() - started) / 1000;
}

/** Writes as many bytes into new buffers of the same memory. */
async function write(bytes: number): Promise<number> {
  using arena = new Arena(gpu);
  const started = performance.now();
  for (let done = 0; done < bytes; done += chunk.byteLength) {
    arena.upload(chunk, [chunk.length], "written");
  }
  await gpu.finish();
  return (performance.now() - started) / 1000;
}

const loads: number[] = [];
const writes: number[] = [];
for (let round = 0; round < Number(rounds); round++) {
  const seconds = await load();
  gpu.trim();
  await gpu.finish();
  loads.push(seconds);
  writes.push(await write(uploaded));
  gpu.trim();
  await gpu.finish();
  if (round === 0) { // only fills the caches
    loads.pop();
    writes.pop();
  }
}
const report: LoadingReport = { bytes: uploaded, peakBytes, loads, writes };
console.log(JSON.stringify(report));
