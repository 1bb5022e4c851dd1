/**
 * Measures in a process of its own.
 *
 * @module
 */

/** Runs a script and gives what it printed, as JSON. */
export async function measureInChild<T>(script: URL, args: readonly string[] = []): Promise<T> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", script.pathname, ...args],
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) throw new Error(`Cannot measure with "${script.pathname}": ${text(stderr)}`);
  return JSON.parse(text(stdout)) as T;
}
