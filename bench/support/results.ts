/**
 * Results as files, with what is to be known of the machine.
 *
 * @module
 */

import type { Gpu } from "../../engine/gpu/gpu.ts";

/** Where and when something was measured. */
export interface Circumstances {
  readonly adapter: string;
  readonly class: string;
  readonly date: string;
  readonly commit: string;
  readonly cpu: string;
  readonly cores: number;
  readonly deno: string;
  /** Load average of the last minute: before and after. Ours alone makes it about 1. */
  readonly load: readonly number[];
}

/** An adapter's name as part of a file name. */
export function slugOf(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_|_$/g, "");
}

/** How much else the machine does. */
export function load(): number {
  return Number(Deno.loadavg()[0]!.toFixed(2));
}

/** What is to be known of this run. */
export async function circumstances(
  { facts }: Gpu,
  loadBefore: number,
): Promise<Circumstances> {
  return {
    adapter: facts.name,
    class: facts.class,
    date: new Date().toISOString().slice(0, 10),
    commit: await commit(),
    cpu: await cpu(),
    cores: navigator.hardwareConcurrency,
    deno: Deno.version.deno,
    load: [loadBefore, load()],
  };
}

/** The processor's name, where the system tells. */
async function cpu(): Promise<string> {
  const info = await Deno.readTextFile("/proc/cpuinfo").catch(() => "");
  return info.match(/^model name\s*:\s*(.*)$/m)?.[1] ?? "unknown processor";
}

async function commit(): Promise<string> {
  const git = async (...args: string[]) => {
    const { stdout } = await new Deno.Command("git", {
      args,
      cwd: new URL("../..", import.meta.url).pathname,
    }).output();
    return new TextDecoder().decode(stdout).trim();
  };
  try {
    const changed = await git("status", "--porcelain", "engine", "shaders", "derivers", "server");
    return await git("rev-parse", "--short", "HEAD") + (changed === "" ? "" : " and changes");
  } catch {
    return "unknown"; // no git, or no repository
  }
}

/** The circumstances as the lines above a table. */
export function headOf(title: string, about: Circumstances): string {
  return `# ${title}\n\n${about.adapter} (${about.class}), ${about.cores} cores of ${about.cpu}, ` +
    `Deno ${about.deno}, ${about.date}, commit ${about.commit}, ` +
    `load average ${about.load.join(" before, ")} after\n`;
}

/** Writes a result as Markdown and as JSON. */
export async function writeResult(
  name: string,
  { markdown, data }: { markdown: string; data: unknown },
): Promise<void> {
  const folder = new URL("../results/", import.meta.url);
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(new URL(`${name}.md`, folder), `${markdown.trim()}\n`);
  await Deno.writeTextFile(
    new URL(`${name}.json`, folder),
    `${JSON.stringify(data, null, 2)}\n`,
  );
}
