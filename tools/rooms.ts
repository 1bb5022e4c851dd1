/**
 * The rooms of the repository and which of them may import which: the one list
 * that the lint plugin and `tests/layering_test.ts` read.
 *
 * @module
 */

/** A part of the repository with its own place in the order of imports. */
export interface Room {
  /** What people call it. */
  readonly name: string;
  /** Folders (ending in `/`) and files that belong to it, from the repository's root. */
  readonly paths: readonly string[];
  /** Which files may use the global `Deno` and import `node:` modules: all, none, or these. */
  readonly host: boolean | readonly string[];
  /** Whether WebGPU's own objects may be named. */
  readonly gpu: boolean;
}

/** Lowest first. A room may import itself and the rooms above it in this list. */
export const ROOMS: readonly Room[] = [
  { name: "errors", paths: ["engine/errors.ts"], host: false, gpu: false },
  { name: "shaders", paths: ["shaders/"], host: false, gpu: false },
  { name: "engine/gpu", paths: ["engine/gpu/"], host: false, gpu: true },
  { name: "engine/tape", paths: ["engine/tape/"], host: false, gpu: false },
  {
    name: "engine/model",
    paths: ["engine/model/"],
    host: ["engine/model/local_folder.ts"],
    gpu: false,
  },
  { name: "derivers", paths: ["derivers/"], host: false, gpu: false },
  { name: "mod.ts", paths: ["mod.ts"], host: false, gpu: false },
  { name: "server", paths: ["server/"], host: ["server/serve.ts"], gpu: false },
  { name: "cli", paths: ["cli.ts", "cli/"], host: true, gpu: false },
  { name: "outside", paths: ["tests/", "bench/", "tools/", "examples/"], host: true, gpu: true },
];

/** The room that a file belongs to, or `undefined`. `path` starts at the repository's root. */
export function roomOf(path: string): Room | undefined {
  return ROOMS.find((room) =>
    room.paths.some((prefix) => prefix.endsWith("/") ? path.startsWith(prefix) : path === prefix)
  );
}

/** Whether a file of room `from` may import a file of room `to`. */
export function mayImport(from: Room, to: Room): boolean {
  return ROOMS.indexOf(from) >= ROOMS.indexOf(to);
}

/** Whether the file may use `Deno` and `node:` modules. */
export function mayUseHost(path: string): boolean {
  const host = roomOf(path)?.host ?? true;
  return typeof host === "boolean" ? host : host.includes(path);
}

/** The path from the repository's root that a relative `specifier` in the file `from` means. */
export function resolveImport(from: string, specifier: string): string {
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}
