import assert from "node:assert/strict";

import plugin from "../tools/lint_plugin.ts";
import { mayImport, roomOf, ROOMS } from "../tools/rooms.ts";

const ROOT = new URL("../", import.meta.url);

/** The TypeScript files below a folder, as paths from the repository's root. */
async function* sources(folder = ""): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
    const path = folder + entry.name;
    if (/^(\.|node_modules$)/.test(entry.name) || path === "tests/golden") continue;
    if (entry.isDirectory) yield* sources(`${path}/`);
    else if (path.endsWith(".ts")) yield path;
  }
}

type Planted = [rule: string, path: string, source: string];

/** What our rules say of `source`, were it the file at `path`. */
function lint(path: string, source: string): Deno.lint.Diagnostic[] {
  return Deno.lint.runPlugin(plugin, new URL(path, ROOT).pathname, source);
}

Deno.test("roomOf() finds a room for every TypeScript file", async () => {
  const homeless: string[] = [];
  for await (const path of sources()) if (roomOf(path) === undefined) homeless.push(path);
  assert.deepEqual(homeless, [], "add the folder to tools/rooms.ts, or move the file");
});

Deno.test("lint plugin finds every import in the repository going one way", async () => {
  const faults: string[] = [];
  let files = 0;
  for await (const path of sources()) {
    files++;
    for (const { id, message } of lint(path, await Deno.readTextFile(new URL(path, ROOT)))) {
      if (id === "hooktape/import-direction") faults.push(`${path}: ${message}`);
    }
  }
  assert.ok(files > 10, `walked only ${files} files`);
  assert.deepEqual(faults, []);
});

Deno.test("mayImport() orders the rooms", async (t) => {
  const room = (name: string) => ROOMS.find((room) => room.name === name)!;
  const cases: [string, string, boolean][] = [
    ["engine/gpu", "shaders", true],
    ["shaders", "engine/gpu", false],
    ["engine/tape", "engine/tape", true],
    ["engine/tape", "engine/model", false],
    ["shaders", "errors", true],
    ["errors", "shaders", false],
    ["derivers", "mod.ts", false],
    ["server", "mod.ts", true],
    ["server", "cli", false],
    ["cli", "server", true],
    ["outside", "errors", true],
    ["cli", "outside", false],
  ];
  for (const [from, to, allowed] of cases) {
    await t.step(`${from} -> ${to}`, () => {
      assert.equal(mayImport(room(from), room(to)), allowed);
    });
  }
});

Deno.test("lint plugin reports each planted violation, with a hint", async (t) => {
  const planted: Planted[] = [
    ["import-direction", "shaders/a.ts", 'import { b } from "../engine/gpu/b.ts"; b();'],
    ["import-direction", "engine/gpu/a.ts", 'import type { B } from "../tape/b.ts";'],
    ["import-direction", "engine/tape/a.ts", 'export { b } from "../model/b.ts";'],
    ["import-direction", "derivers/a.ts", 'export * from "../mod.ts";'],
    ["import-direction", "mod.ts", 'await import("./cli.ts");'],
    ["import-direction", "cli.ts", 'import "./tests/support/a.ts";'],
    ...["jsr", "https", "npm"].map((scheme) =>
      ["no-foreign-import", "tests/a.ts", `import { a } from "${scheme}:a"; a();`] as Planted
    ),
    ["no-host", "engine/model/a.ts", 'await Deno.readFile("a");'],
    ["no-host", "server/a.ts", "const now: Deno.Addr | undefined = undefined;"],
    ["no-host", "engine/gpu/a.ts", 'import { b } from "node:fs"; b();'],
    ["no-host", "engine/model/a.ts", 'export function f() { return import("node:fs/promises"); }'],
    ["no-gpu-objects", "derivers/a.ts", "function f(b: GPUBuffer) { return b; }"],
    ["no-gpu-objects", "engine/tape/a.ts", "const usage = GPUBufferUsage.STORAGE;"],
    ["no-gpu-objects", "mod.ts", "await navigator.gpu.requestAdapter();"],
    ["no-exported-arrow", "derivers/a.ts", "export const f = () => 1;"],
    ["no-enum", "derivers/a.ts", 'enum Pass { Forward = "forward" }'],
    ["no-default-export", "derivers/a.ts", "export default function f() {}"],
    ["no-default-export", "derivers/a.ts", "function f() {} export { f as default };"],
    ["no-private-keyword", "derivers/a.ts", "class A { private b = 1; }"],
  ];
  for (const [rule, path, source] of planted) {
    await t.step(`${rule}: ${path}: ${source}`, () => {
      const found = lint(path, source);
      assert.deepEqual(found.map(({ id }) => id), [`hooktape/${rule}`]);
      assert.ok(found[0]?.hint, "a rule without a hint");
    });
  }
  await t.step("every rule is planted", () => {
    const rules = new Set(planted.map(([rule]) => rule));
    assert.deepEqual([...rules].sort(), Object.keys(plugin.rules).sort());
  });
});

Deno.test("lint plugin accepts what the rooms are for", async (t) => {
  const accepted: [path: string, source: string][] = [
    ["engine/errors.ts", "export class ShapeError extends TypeError {}"],
    ["shaders/mod.ts", 'import { E } from "../engine/errors.ts"; export { E };'],
    ["engine/gpu/a.ts", "export function f(b: GPUBuffer) { return navigator.gpu && b; }"],
    ["engine/gpu/a.ts", 'import w from "../../shaders/w.wgsl" with { type: "text" }; w.trim();'],
    ["engine/gpu/a.ts", 'export function isDeno() { return "Deno" in globalThis; }'],
    ["engine/model/local_folder.ts", 'export function f() { return Deno.open("a"); }'],
    ["derivers/a.ts", 'import { z } from "zod"; class GpuPlan { #z = z; }'],
    ["derivers/a.ts", "export function f() { return [1].map((x) => x); }"],
    ["server/serve.ts", "Deno.serve(() => new Response());"],
    ["cli.ts", 'import { f } from "./mod.ts"; f(Deno.args);'],
    ["bench/a.ts", 'import { f } from "../engine/gpu/f.ts"; Deno.bench("f", f);'],
  ];
  for (const [path, source] of accepted) {
    await t.step(`${path}: ${source}`, () => assert.deepEqual(lint(path, source), []));
  }
});
