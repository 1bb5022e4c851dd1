/**
 * Other libraries that run on WebGPU, on the same adapter as ours and in turn with it:
 * `deno task peers` in this folder, `--quick` for fewer rounds. Writes `../results/peers-ADAPTER`.
 *
 * @module
 */

import { openGpu } from "../../engine/gpu/gpu.ts";
import type { PeersReport } from "../bar/peers.ts";
import { median, spread, timed } from "../support/measure.ts";
import { circumstances, headOf, load, slugOf, writeResult } from "../support/results.ts";
import { openJax } from "./jax.ts";
import { openOnnx } from "./onnx.ts";
import { ourBlocks, ourMatmul, type OurWork } from "./ours.ts";
import type { Peer, PeerWork } from "./peer.ts";
import { openTfjs } from "./tfjs.ts";

const sizes = [
  { m: 64, k: 768, n: 768 },
  { m: 64, k: 768, n: 3072 },
  { m: 64, k: 3072, n: 768 },
  { m: 256, k: 768, n: 3072 },
  { m: 1024, k: 1024, n: 1024 },
];
const blocks = { layers: 2, length: 64 };

const quick = Deno.args.includes("--quick");
const rounds = quick ? 3 : 7;
const least = quick ? 100 : 250; // milliseconds of a batch: waiting for it costs some up to 11

const loadBefore = load();
const gpu = await openGpu();
const rows: PeersReport["rows"][number][] = [];
const failures: Record<string, string> = {};
const deviceErrors: string[] = [];
const openers = { "jax-js": openJax, tfjs: openTfjs, "onnxruntime-web": openOnnx };
for (const [name, open] of Object.entries(openers)) {
  await attempt(name, async () => {
    const peer = await open();
    peer.device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      deviceErrors.push((event as GPUUncapturedErrorEvent).error.message);
    });
    await comparePeer(peer);
  });
}
await report();
Deno.exit(); // some peers keep the process alive

async function comparePeer(peer: Peer): Promise<void> {
  for (const size of sizes) {
    const work = `matmul f32 m=${size.m} k=${size.k} n=${size.n}`;
    await attempt(`${peer.name}, ${work}`, async () => {
      const isRight = (got: number) => Math.abs(got - size.k) <= 1e-3 * size.k;
      await compare({ work, peer, isRight }, await peer.matmul(size), await ourMatmul(gpu, size));
    });
  }
  if (peer.blocks === undefined) return;
  const work = `forward of ${blocks.layers} layers of gpt2, t=${blocks.length}`;
  await attempt(`${peer.name}, ${work}`, async () => {
    const isRight = (got: number) => Number.isFinite(got) && got !== 0;
    await compare({ work, peer, isRight }, await peer.blocks!(blocks), ourBlocks(gpu, blocks));
  });
}

/** What fails is told, and does not stop the rest. */
async function attempt(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    failures[what] = error instanceof Error ? error.message : String(error);
    console.error(`${what}: ${failures[what]}`);
  }
}

async function compare(
  { work, peer, isRight }: { work: string; peer: Peer; isRight: (got: number) => boolean },
  theirs: PeerWork,
  ours: OurWork,
): Promise<void> {
  const sides = {
    theirs: { run: () => theirs.run(), finish: () => theirs.finish() },
    ours: { run: () => ours.run(), finish: () => gpu.finish() },
  };
  const batch = async ({ run, finish }: (typeof sides)["theirs"], count: number) => {
    const { time, cores } = await timed(async () => {
      for (let i = 0; i < count; i++) await run();
      await finish();
    });
    return { time: time / count, cores };
  };
  const expectRight = async () => {
    const got = await theirs.check();
    const problem = deviceErrors.splice(0)[0];
    if (problem !== undefined) throw new Error(`Cannot time it as its device says: ${problem}`);
    if (!isRight(got)) throw new Error(`Cannot time it as its last element is ${got}`);
  };
  await expectRight();
  const counts = { theirs: 1, ours: 1 };
  const times: Record<keyof typeof sides, number[]> = { theirs: [], ours: [] };
  const busy: Record<keyof typeof sides, number[]> = { theirs: [], ours: [] };
  for (const side of ["theirs", "ours"] as const) {
    await batch(sides[side], 2); // compiles
    counts[side] = Math.min(Math.ceil(least / (await batch(sides[side], 2)).time), 200);
  }
  for (let round = 0; round < rounds; round++) {
    for (const side of ["theirs", "ours"] as const) {
      const { time, cores } = await batch(sides[side], counts[side]);
      times[side].push(time);
      busy[side].push(cores);
    }
  }
  // Work that is dropped, or waited for too early, does not take longer when there is more.
  const growth = {} as Record<keyof typeof sides, number>;
  for (const side of ["theirs", "ours"] as const) {
    // By CPU time, so that it does not matter how many cores there were.
    const { time, cores } = await batch(sides[side], 2 * counts[side]);
    const cpu = times[side].map((each, i) => each * busy[side][i]!);
    growth[side] = 2 * time * cores / median(cpu);
  }
  await expectRight();
  theirs.dispose();
  ours.dispose();
  for (const [side, factor] of Object.entries(growth)) {
    if (factor > 1.4 && factor < 3) continue; // 2, and the noise of a busy machine
    throw new Error(
      `Cannot trust its time as twice the work took ${factor.toFixed(2)} times as long (${side})`,
    );
  }
  const ratios = times.theirs.map((time, i) => time / times.ours[i]!);
  rows.push({
    work,
    peer: peer.name,
    theirs: median(times.theirs),
    ours: median(times.ours),
    times: median(ratios),
    spread: spread(ratios),
    timesByCpu: median(ratios.map((ratio, i) => ratio * busy.theirs[i]! / busy.ours[i]!)),
    cores: { theirs: median(busy.theirs), ours: median(busy.ours) },
  });
  const last = rows.at(-1)!;
  console.error(`${work}, ${peer.name}: ${last.times.toFixed(2)} times as long as ours`);
}

async function report(): Promise<void> {
  const about = await circumstances(gpu, loadBefore);
  const lines = rows.map(({ work, peer, theirs, ours, times, spread, timesByCpu, cores }) =>
    `| ${work} | ${peer} | ${theirs.toFixed(1)} | ${ours.toFixed(1)} | ` +
    `${times.toFixed(2)} ± ${Math.round(100 * spread)} % | ${timesByCpu.toFixed(2)} | ` +
    `${cores.theirs.toFixed(1)}, ${cores.ours.toFixed(1)} |`
  );
  const failed = Object.entries(failures).map(([what, why]) => `- ${what}: ${why}`);
  const markdown = [
    headOf("Other libraries on the same adapter", about),
    "| work | library | its ms | our ms | its over ours | by CPU time | cores: its, ours |",
    "|---|---|---:|---:|---:|---:|---:|",
    ...lines,
    ...(failed.length > 0 ? ["\nWhat did not run:\n", ...failed] : []),
  ].join("\n");
  console.log(markdown);
  if (quick) return;
  const data: PeersReport & { about: typeof about } = {
    about,
    date: about.date,
    load: about.load,
    rows,
    failures,
  };
  await writeResult(`peers-${slugOf(about.adapter)}`, { markdown, data });
}
