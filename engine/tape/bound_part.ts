/**
 * Binding a part of a tensor that is too large to be bound whole.
 *
 * @module
 */

import type { Bound } from "../gpu/pipelines.ts";
import type { Tensor } from "./tensor.ts";

/** Of elements: bindings start at multiples of 256 bytes. */
export const bindingAlignment = 64;

/**
 * What to bind to see `size` elements from `start` on, and where they start in it: the whole
 * tensor if it may be bound; else the part, begun and ended a little early and late.
 */
export function boundPart(
  { gpu, block, size: all }: Tensor,
  { start, size }: { start: number; size: number },
): { start: number; bound: Bound } {
  if (4 * all <= gpu.facts.maxBindingBytes) return { start, bound: block };
  const first = Math.floor(start / bindingAlignment) * bindingAlignment;
  const bytes = 16 * Math.ceil((start - first + size) / 4);
  return { start: start - first, bound: { block, byteOffset: 4 * first, bytes } };
}
