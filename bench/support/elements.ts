/**
 * Reads single elements, for checks: a read of much would make all later ones slower.
 *
 * @module
 */

import { gatherRows } from "../../engine/tape/ops/slice.ts";
import { Arena, type Tensor } from "../../engine/tape/tensor.ts";

/** The elements at these places. */
export async function elements(x: Tensor, places: readonly number[]): Promise<Float32Array> {
  using arena = new Arena(x.gpu);
  const indices = arena.upload(new Uint32Array(places), [places.length], "places");
  const column = x.view({ shape: [x.size, 1] });
  const found = await gatherRows({ gpu: x.gpu, arena }, column, indices).read();
  x.arena.free(column);
  return found;
}
