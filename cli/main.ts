/**
 * Runs a command line and turns what went wrong into one message and an exit code.
 *
 * @module
 */

import { CommanderError } from "commander";
import { exitCodes, reportFailure } from "./failure.ts";
import { createProgram } from "./program.ts";

/**
 * Runs one command line.
 *
 * @param args What follows the program's name.
 * @returns The exit code, one of {@linkcode exitCodes}.
 */
export async function main(args: readonly string[]): Promise<number> {
  let exitCode: number = exitCodes.ok;
  const program = createProgram((code) => exitCode = code);
  try {
    await program.parseAsync([...args], { from: "user" });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportFailure(error);
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
}
