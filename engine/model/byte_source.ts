/**
 * One readable file, a folder of them, and what all kinds of them check.
 *
 * @module
 */

/** One readable file. */
export interface ByteSource {
  /** The file as shown in error messages: a path or URL. */
  readonly name: string;
  /** Bytes in the file. */
  readonly size: number;
  /**
   * Reads exactly `length` bytes from byte `offset`.
   *
   * @param options `into`: an array of `length` bytes to read into; a source may ignore it.
   * @returns That array or a new one, which the caller may keep and change.
   * @throws {RangeError} if the range is not inside the file.
   */
  read(
    offset: number,
    length: number,
    options?: { into?: Uint8Array<ArrayBuffer> },
  ): Promise<Uint8Array<ArrayBuffer>>;
}

/** A folder of readable files. */
export interface SourceFolder {
  /** The folder as shown in error messages: a path or URL. */
  readonly name: string;
  /**
   * Opens the file at `path`, relative to the folder, with `/` between names.
   *
   * @returns `undefined` if there is no such file.
   * @throws {TypeError} if the path leads out of the folder.
   */
  open(path: string): Promise<ByteSource | undefined>;
  /**
   * Names of the files and folders in the folder at `path` (`""` for the folder
   * itself), sorted; none if there is no such folder. Web servers cannot list.
   */
  list?(path: string): Promise<string[]>;
}

/** A source over bytes that are in memory already. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  const source: ByteSource = {
    name,
    size: bytes.length,
    read(offset, length) {
      return Promise.try(() => {
        requireRange(source, offset, length);
        // Not bytes.slice(): that of a Node Buffer does not copy.
        return new Uint8Array(bytes.subarray(offset, offset + length));
      });
    },
  };
  return source;
}

/** The error for a file that is not what it was when it was opened. */
export function changed(source: ByteSource): Error {
  return new Error(
    `Cannot read "${source.name}": it changed while it was read`,
  );
}

/** Refuses a range that is not inside the file. */
export function requireRange(
  source: ByteSource,
  offset: number,
  length: number,
): void {
  const inside = Number.isSafeInteger(offset) && Number.isSafeInteger(length) &&
    offset >= 0 && length >= 0 && offset + length <= source.size;
  if (inside) return;
  throw new RangeError(
    `Cannot read ${length} bytes from byte ${offset} of "${source.name}": ` +
      `the file has ${source.size} bytes`,
  );
}

/** Paths may come from files (the shards of an index): keep them inside. */
export function requireInside(path: string, folder: string): void {
  const names = path.split(/[/\\]/);
  const inside = !/^[a-z]:/i.test(path) &&
    names.every((name) => name !== "" && name !== "." && name !== "..");
  if (inside) return;
  throw new TypeError(
    `Cannot open "${path}" in "${folder}": the path must be relative and ` +
      `stay inside the folder`,
  );
}

/** A relative path as part of a URL. */
export function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

/** What a caught error says. */
export function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
