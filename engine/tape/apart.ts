/**
 * Work with memory of its own.
 *
 * @module
 */

import type { Context } from "./op.ts";
import { Arena, type Tensor } from "./tensor.ts";

/**
 * Runs `work` in an arena of its own, without a tape. All its memory is given back
 * but that of the results, which the context's arena takes over.
 */
export function apart<T extends readonly (Tensor | undefined)[]>(
  { gpu, arena }: Context,
  work: (at: Context) => T,
): T {
  using inner = new Arena(gpu);
  const results = work({ gpu, arena: inner });
  return results.map((result) => result && inner.handOver(result, arena)) as unknown as T;
}
