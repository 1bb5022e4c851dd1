/**
 * `debug`: explains a prediction, or a node.
 *
 * @module
 */

import { loadModel } from "../mod.ts";
import { type DebugOptions, debugReport } from "./debug_report.ts";
import { exitCodes } from "./failure.ts";
import { printReport } from "./print_report.ts";
import { progress } from "./progress.ts";

/**
 * Explains and prints.
 *
 * @param options `model`: its folder.
 * @returns The exit code.
 */
export async function debug(
  options: DebugOptions & { readonly model: string },
  { json }: { json: boolean },
): Promise<number> {
  using line = progress();
  line.show(`loading ${options.model}`);
  using model = await loadModel(options.model);
  line.show("running");
  const report = await debugReport(model, options);
  line.clear();
  console.log(json ? JSON.stringify(report, null, 2) : printReport(report).join("\n"));
  return exitCodes.ok;
}
