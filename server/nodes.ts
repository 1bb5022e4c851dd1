/**
 * Nodes and numbers as they go over the wire.
 *
 * @module
 */

import type { NodeIndex } from "../derivers/request.ts";
import { RequestError } from "../engine/errors.ts";
import type { ResponseNodeIndex } from "./responses.ts";

/** A node with its fields in the order that clients rely on. */
export function wireNode(
  { nodeType, tensorIndices, layerIndex, passType }: NodeIndex,
): ResponseNodeIndex {
  const indices = tensorIndices.map((index) => {
    if (typeof index === "number") return index;
    throw new TypeError(`Internal error: a node of a response has index ${index}`);
  });
  return { nodeType, tensorIndices: indices, layerIndex, passType };
}

/**
 * The value, which must be finite, since JSON has no other numbers.
 *
 * @param name The scalar that it belongs to.
 * @throws {RequestError} `non_finite` naming it.
 */
export function finite(value: number, name: string): number {
  if (Number.isFinite(value)) return value;
  throw new RequestError(
    "non_finite",
    `Cannot answer with the value ${value} of "${name}": all values must be finite`,
  );
}
