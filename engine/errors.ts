/**
 * The errors that callers may want to catch. Everything else a user can get
 * wrong is a built-in: `RangeError` for a number outside its range, `TypeError`
 * for an unknown name.
 *
 * Messages say which action failed, the current state and the wanted state.
 *
 * @module
 */

/** A tensor has the wrong shape, or a value the wrong kind, for an operation. */
export class ShapeError extends TypeError {
  /** The class, in messages. */
  override name = "ShapeError";
}

/** A safetensors file, or its index, is malformed. */
export class SafetensorsError extends SyntaxError {
  /** The class, in messages. */
  override name = "SafetensorsError";
  /** The file. */
  readonly path: string;
  /** The tensor at fault, if one is. */
  readonly tensor: string | undefined;
  /** Where in the file the fault is, in bytes from its start, if known. */
  readonly byteOffset: number | undefined;

  /** An error with a message and what it is about. */
  constructor(
    message: string,
    at: { path: string; tensor?: string; byteOffset?: number; cause?: unknown },
  ) {
    super(message, at.cause === undefined ? undefined : { cause: at.cause });
    this.path = at.path;
    this.tensor = at.tensor;
    this.byteOffset = at.byteOffset;
  }
}

/** There is no usable GPU, one of its limits is too small, or it was lost. */
export class GpuError extends Error {
  /** The class, in messages. */
  override name = "GpuError";
  /** What went wrong, for programs. */
  readonly reason: GpuErrorReason;

  /** An error with a message and what it is about. */
  constructor(reason: GpuErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** Why a {@linkcode GpuError} was thrown. */
export type GpuErrorReason =
  | "no-adapter"
  | "limit"
  | "out-of-memory"
  | "device-lost"
  | "validation";

/** A kernel does not compile, or does not fit its declaration. */
export class KernelError extends Error {
  /** The class, in messages. */
  override name = "KernelError";
  /** The kernel's label. */
  readonly kernel: string;

  /** An error with a message and what it is about. */
  constructor(kernel: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kernel = kernel;
  }
}

/** A request asks for something that makes no sense or cannot be computed. */
export class RequestError extends Error {
  /** The class, in messages. */
  override name = "RequestError";
  /** The class of the mistake, as in the table of errors in the documentation. */
  readonly code: string;

  /** An error with a message and what it is about. */
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
