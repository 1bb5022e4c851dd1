/**
 * The command line: `deno task hooktape COMMAND`, or `./run hooktape COMMAND`.
 *
 * @module
 */

import { main } from "./cli/main.ts";

if (import.meta.main) {
  // A task runs in the folder of deno.json; paths are meant from where it was called.
  const calledFrom = Deno.env.get("INIT_CWD");
  if (calledFrom) Deno.chdir(calledFrom);
  Deno.exit(await main(Deno.args));
}
