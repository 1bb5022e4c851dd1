/**
 * Where model files come from: a local folder, a web server, or memory. All
 * loading goes through {@linkcode SourceFolder}, so that nothing else in the
 * engine knows about file systems.
 *
 * @module
 */

import {
  type ByteSource,
  memorySource,
  messageOf,
  requireInside,
  type SourceFolder,
} from "./byte_source.ts";
import { localFolder } from "./local_folder.ts";
import { webFolder } from "./web_folder.ts";

export type { ByteSource, SourceFolder } from "./byte_source.ts";

/**
 * A folder on the local file system, or on a web server that is read by Range
 * requests. Files of a server that ignores Range are kept in memory whole, up
 * to 256 MiB.
 *
 * @param pathOrUrl A path, or a `file:`, `http:` or `https:` URL.
 * @throws {TypeError} if the URL has another protocol.
 */
export function folderOf(pathOrUrl: string | URL): SourceFolder {
  const text = String(pathOrUrl);
  if (/^https?:/i.test(text)) return webFolder(new URL(text));
  if (/^file:/i.test(text)) return localFolder(new URL(text));
  if (pathOrUrl instanceof URL) {
    throw new TypeError(
      `Cannot open folder "${text}": the protocol must be file, http or https, ` +
        `current protocol is "${pathOrUrl.protocol}"`,
    );
  }
  return localFolder(text || ".");
}

/**
 * A folder of files that are in memory already.
 *
 * @param files From path to content.
 */
export function memoryFolder(files: Record<string, Uint8Array>): SourceFolder {
  const byPath = new Map(Object.entries(files));
  return {
    name: "memory",
    open(path) {
      return Promise.try(() => {
        requireInside(path, "memory");
        const bytes = byPath.get(path);
        return bytes && memorySource(path, bytes);
      });
    },
    list(path) {
      const start = path === "" ? "" : `${path}/`;
      const names = [...byPath.keys()]
        .filter((file) => file.startsWith(start))
        .map((file) => file.slice(start.length).split("/")[0]!);
      return Promise.resolve([...new Set(names)].sort());
    },
  };
}

/**
 * A whole file as text.
 *
 * @throws {SyntaxError} if it is not UTF-8.
 */
export async function readText(source: ByteSource): Promise<string> {
  const bytes = await source.read(0, source.size);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new SyntaxError(`Cannot read "${source.name}": it is not UTF-8`, {
      cause,
    });
  }
}

/**
 * A whole file as JSON, to be validated by the caller.
 *
 * @throws {SyntaxError} if it is not JSON in UTF-8.
 */
export async function readJson(source: ByteSource): Promise<unknown> {
  const text = await readText(source);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SyntaxError(
      `Cannot read "${source.name}": it is not JSON: ${messageOf(cause)}`,
      { cause },
    );
  }
}

/** A folder within a folder. */
export function subfolder(folder: SourceFolder, path: string): SourceFolder {
  const { list } = folder;
  return {
    name: `${folder.name.replace(/\/+$/, "")}/${path}`,
    open: (inner) => folder.open(`${path}/${inner}`),
    ...(list && { list: (inner) => list.call(folder, `${path}/${inner}`) }),
  };
}
