/**
 * `serve`: the debugger as a service.
 *
 * @module
 */

import { serve as serveModel } from "../server/serve.ts";
import { exitCodes } from "./failure.ts";
import { progress } from "./progress.ts";

/** What `serve` serves, and where. */
export interface ServeOptions {
  readonly model: string;
  readonly autoencoders: readonly string[];
  readonly port: number;
  readonly host: string;
}

/**
 * Serves a model until it is interrupted.
 *
 * @returns The exit code.
 */
export async function serve(options: ServeOptions): Promise<number> {
  using line = progress();
  line.show(`loading ${options.model}`);
  await serveModel({
    ...options,
    log(text) {
      line.clear();
      console.error(text);
    },
  });
  return exitCodes.ok;
}
