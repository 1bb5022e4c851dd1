/**
 * Exit codes, and what is said when something fails.
 *
 * @module
 */

import { GpuError } from "../engine/errors.ts";

/** What the exit codes mean. */
export const exitCodes = {
  ok: 0,
  /** A request or an input failed. */
  failed: 1,
  /** The command line itself makes no sense. */
  usage: 2,
  noGpu: 3,
} as const;

/** The exit codes, for `--help`. */
export const exitCodesHelp =
  "Exit codes: 0 ok, 1 a request or an input failed, 2 wrong usage, 3 no GPU adapter";

/**
 * Says on stderr what went wrong. Our own messages, which begin with "Cannot", stand
 * alone; anything else is a fault of this program and comes with its stack.
 *
 * @param about What failed, if the message does not name it.
 * @returns The exit code.
 */
export function reportFailure(error: unknown, about?: string): number {
  const message = messageOf(error);
  console.error(about === undefined || message.includes(about) ? message : `${about}: ${message}`);
  return isNoAdapter(error) ? exitCodes.noGpu : exitCodes.failed;
}

/** Whether there is no GPU to run on. */
export function isNoAdapter(error: unknown): error is GpuError {
  return error instanceof GpuError && error.reason === "no-adapter";
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isOurs = error.message.startsWith("Cannot ") && !/^Cannot read propert/.test(error.message);
  return isOurs ? error.message : error.stack ?? error.message;
}
