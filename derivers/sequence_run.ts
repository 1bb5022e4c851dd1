/**
 * The kept activations and gradients of one sequence of a run, in the locations'
 * own shapes.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import type { Autoencoder } from "../engine/model/autoencoder.ts";
import type { ForwardRun, Model } from "../engine/model/model.ts";
import { filled } from "../engine/tape/ops/map.ts";
import { sliced } from "../engine/tape/ops/slice.ts";
import { locations } from "../engine/tape/locations.ts";
import type { Context } from "../engine/tape/op.ts";
import { pack, type Packing } from "../engine/tape/packing.ts";
import { slotKey } from "../engine/tape/slots.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import { shapeOfLocation } from "./facts.ts";
import { tokenOfLoss } from "./objective.ts";
import type { PlannedSequence } from "./plan.ts";
import type { SequenceRun, SlotRef } from "./site.ts";

/** Where a sequence's part of a packed tensor is, in elements. */
export function partOf(
  packed: Tensor,
  { packing, sequence, overPairs }: { packing: Packing; sequence: number; overPairs: boolean },
): { start: number; size: number } {
  const { lengths, starts, pairStarts, nRows, nPairs } = packing;
  const length = lengths[sequence]!;
  const width = packed.size / (overPairs ? nPairs : nRows);
  return overPairs
    ? { start: pairStarts[sequence]! * width, size: length * length * width }
    : { start: starts[sequence]! * width, size: length * width };
}

/** Whether a location's activations are over (query, key) pairs. */
export function isOverPairs(location: SlotRef["location"]): boolean {
  return locations[location].dims[1] === "attended_to_sequence_tokens";
}

/** The view that rules have of one sequence of a run. */
export function createSequenceRun(
  { model, forward, gradients, planned, sequence, autoencoders }: {
    model: Model;
    forward: ForwardRun;
    gradients: ReadonlyMap<Tensor, Tensor>;
    planned: PlannedSequence;
    sequence: number;
    autoencoders: readonly Autoencoder[];
  },
): SequenceRun {
  const { gpu, arena } = forward.context;
  const cx: Context = { gpu, arena };
  const { facts } = planned;
  const alone = forward.packing.lengths.length === 1;
  const packing = alone ? forward.packing : pack(arena, [facts.nTokens]);
  arena.retain(packing.rows);
  arena.retain(packing.tiles);
  const known = new Map<string, Tensor>();

  const once = (key: string, make: () => Tensor): Tensor => {
    let found = known.get(key);
    if (found === undefined) {
      found = make();
      arena.retain(found);
      known.set(key, found);
    }
    return found;
  };

  const activation = ({ location, layer, pass }: SlotRef): Tensor =>
    once(`${pass} ${slotKey(location, layer)}`, () => {
      const shape = shapeOfLocation(location, facts);
      const { dims } = locations[location];
      const { slots } = forward;
      const key = slotKey(location, layer);
      const kept = (pass === "forward" ? slots.saved : slots.watched).get(key);
      if (kept === undefined) {
        throw new RequestError(
          "not_kept",
          `Cannot use the ${pass === "forward" ? "activation" : "gradient"} of "${location}" ` +
            `(layer ${layer ?? "none"}) as the run did not keep it: name the scalars that need ` +
            'it, or the location under "saveActivations", when the run is made',
        );
      }
      const packed = pass === "forward" ? kept : gradients.get(kept);
      if (packed === undefined) return filled(cx, shape, 0);
      if (alone) return packed.view({ shape, dims });
      const part = partOf(packed, {
        packing: forward.packing,
        sequence,
        overPairs: isOverPairs(location),
      });
      return sliced(cx, packed, part).view({ shape, dims });
    });

  return {
    model,
    facts,
    cx,
    packing,
    tokenOfLoss: tokenOfLoss(planned),
    once,
    activation,
    autoencoder: ({ name }) => autoencoders.find((each) => each.name === name)!,
  };
}
