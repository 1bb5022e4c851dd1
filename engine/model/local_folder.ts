/**
 * Model files on the local file system. The one file of the engine that names its
 * host: `node:fs/promises`, which Deno has too, takes 45 ms to load.
 *
 * @module
 */

import {
  type ByteSource,
  changed,
  encodePath,
  requireInside,
  requireRange,
  type SourceFolder,
} from "./byte_source.ts";

/** A folder on the local file system, by its path or `file:` URL. */
export function localFolder(folder: string | URL): SourceFolder {
  const name = String(folder).replace(/(?<=.)[/\\]+$/, "");
  const join = (path: string) => {
    if (path === "") return folder;
    if (typeof folder === "string") return `${name}/${path}`; // Every file system takes "/".
    return new URL(encodePath(path), `${name}/`);
  };
  return {
    name,
    async open(path) {
      requireInside(path, name);
      requireFileSystem(name);
      const file = join(path);
      const info = await Deno.stat(file).catch(ignoreMissing);
      if (!info?.isFile) return undefined;
      const source: ByteSource = {
        name: `${name}/${path}`,
        size: info.size,
        async read(offset, length, { into } = {}) {
          requireRange(source, offset, length);
          // Opened for each read, so that a source needs no closing; next to
          // reads of megabytes it costs nothing.
          using opened = await Deno.open(file);
          await opened.seek(offset, Deno.SeekMode.Start);
          const bytes = into ?? new Uint8Array(length);
          for (let done = 0; done < length;) {
            const read = await opened.read(bytes.subarray(done));
            if (read === null) throw changed(source);
            done += read;
          }
          return bytes;
        },
      };
      return source;
    },
    async list(path) {
      if (path !== "") requireInside(path, name);
      requireFileSystem(name);
      const entries = await Array.fromAsync(Deno.readDir(join(path))).catch(ignoreMissing);
      return (entries ?? []).map((entry) => entry.name).sort();
    },
  };
}

function requireFileSystem(name: string): void {
  if ("Deno" in globalThis) return;
  throw new Error(
    `Cannot open folder "${name}" as there is no file system here: ` +
      "pass a URL or a SourceFolder",
  );
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return;
  throw error;
}
