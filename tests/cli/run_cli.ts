/**
 * Runs the command line as its own process.
 *
 * @module
 */

import { fileURLToPath } from "node:url";

/** What a process printed and returned. */
export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const cli = fileURLToPath(new URL("../../cli.ts", import.meta.url));
const config = fileURLToPath(new URL("../../deno.json", import.meta.url));

/** Runs it, in a folder if one is named, with these variables beside those there are. */
export async function runCli(
  args: readonly string[],
  { cwd, env = {} }: { cwd?: string; env?: Record<string, string> } = {},
): Promise<CliResult> {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", "--config", config, cli, ...args],
    env: { NO_COLOR: "1", INIT_CWD: "", ...env },
    ...(cwd !== undefined && { cwd }),
    stdin: "null",
  }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: decode(output.stdout), stderr: decode(output.stderr) };
}
