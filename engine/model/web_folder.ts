/**
 * Files of a web server, read by Range requests.
 *
 * @module
 */

import {
  type ByteSource,
  changed,
  encodePath,
  memorySource,
  messageOf,
  requireInside,
  requireRange,
  type SourceFolder,
} from "./byte_source.ts";

/** What a server that ignores Range requests may make us keep in memory. */
const maxWholeFileBytes = 256 * 2 ** 20;

/**
 * A folder on a web server. Files of a server that ignores Range requests are
 * kept in memory whole.
 */
export function webFolder(url: URL): SourceFolder {
  const base = new URL(url);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  const name = url.href.replace(/\/+$/, "");
  return {
    name,
    async open(path) {
      requireInside(path, name);
      const file = new URL(encodePath(path), base);
      // A query in the folder's URL, such as a signature, goes with each file.
      file.search = base.search;
      return await webSource(file);
    },
  };
}

async function webSource(url: URL): Promise<ByteSource | undefined> {
  const name = url.href;
  const probe = await request(url, "bytes=0-0");
  if (probe.status === 404 || probe.status === 410) {
    await probe.body?.cancel();
    return undefined;
  }
  const size = totalSize(probe);
  // An empty file has no byte 0: the answer is then 416 with the size.
  if (size === 0) {
    await probe.body?.cancel();
    return memorySource(name, new Uint8Array());
  }
  if (probe.status === 200) {
    return memorySource(name, await wholeBody(probe, name));
  }
  await probe.body?.cancel();
  if (probe.status !== 206 || size === undefined) throw refused(name, probe);
  const source: ByteSource = {
    name,
    size,
    async read(offset, length) {
      requireRange(source, offset, length);
      if (length === 0) return new Uint8Array();
      const response = await request(
        url,
        `bytes=${offset}-${offset + length - 1}`,
      );
      if (response.status !== 206) {
        await response.body?.cancel();
        throw refused(name, response);
      }
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (bytes.length !== length || totalSize(response) !== size) {
        throw changed(source);
      }
      return bytes;
    },
  };
  return source;
}

async function request(url: URL, range: string): Promise<Response> {
  try {
    return await fetch(url, { headers: { range } });
  } catch (cause) {
    throw new Error(`Cannot read "${url.href}": ${messageOf(cause)}`, {
      cause,
    });
  }
}

function totalSize(response: Response): number | undefined {
  const total = /\/(\d+)$/.exec(response.headers.get("content-range") ?? "");
  return total ? Number(total[1]) : undefined;
}

async function wholeBody(
  response: Response,
  name: string,
): Promise<Uint8Array> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  // Leaving the loop early cancels the rest of the answer.
  for await (const part of response.body ?? []) {
    parts.push(part);
    size += part.length;
    if (size > maxWholeFileBytes) {
      throw new Error(
        `Cannot read "${name}" as the server ignores Range requests and the ` +
          `file is larger than ${maxWholeFileBytes} bytes: use a server that ` +
          `answers Range requests, or a local copy`,
      );
    }
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function refused(name: string, response: Response): Error {
  const status = `${response.status} ${response.statusText}`.trim();
  return new Error(
    `Cannot read "${name}": the server must answer Range requests with ` +
      `status 206 and a Content-Range, current status is ${status}`,
  );
}
