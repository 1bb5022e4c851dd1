/**
 * Forward and backward passes of a model, ready to be run.
 *
 * @module
 */

import { deriveScalars } from "../../derivers/derive.ts";
import type { Model } from "../../engine/model/model.ts";
import { transformer } from "../../engine/model/transformer.ts";
import { locationNames, locations } from "../../engine/tape/locations.ts";
import { pack } from "../../engine/tape/packing.ts";
import { type SlotKey, slotKey, type Slots } from "../../engine/tape/slots.ts";
import { Arena } from "../../engine/tape/tensor.ts";

/** A bare forward pass. */
export function runForward(
  model: Model,
  { tokens, logits }: { tokens: readonly number[]; logits: "all" | "last" },
): void {
  using _run = model.forward(tokens, { logits });
}

/** A forward pass, and a backward pass from a logit difference to the embeddings. */
export async function runForwardBackward(model: Model, tokens: readonly number[]): Promise<void> {
  using _run = await deriveScalars(model, {
    tokens: [...tokens],
    lossFnConfig: { name: "logit_diff", targetTokens: ["<13>"], distractorTokens: ["<17>"] },
    dsts: ["token_attribution"],
  }, { predict: false });
}

/** Every slot that the model has without autoencoders. */
export function allSlots({ config: { nLayers } }: Model): ReadonlySet<SlotKey> {
  return new Set(
    locationNames.filter((name) => !name.startsWith("online_")).flatMap((name) =>
      locations[name].perLayer
        ? Array.from({ length: nLayers }, (_, layer) => slotKey(name, layer))
        : [slotKey(name, null)]
    ),
  );
}

/** A forward pass that keeps every activation. */
export function runSaving(
  model: Model,
  { tokens, save }: { tokens: readonly number[]; save: ReadonlySet<SlotKey> },
): void {
  using _run = model.forward(tokens, { save });
}

/** A forward pass whose slots only count how often they are passed; nothing is looked up. */
export function runWithoutSlots(model: Model, tokens: readonly number[]): number {
  const { gpu, config, weights } = model;
  using arena = new Arena(gpu);
  let visits = 0;
  const slots: Pick<Slots, "visit" | "inUse" | "replaces"> = {
    visit(_, x) {
      visits++;
      return x;
    },
    inUse: () => false,
    replaces: () => false,
  };
  const ids = new Uint32Array(tokens.flatMap((token, position) => [token, position]));
  transformer({ gpu, arena }, { config, weights }, {
    ids: arena.upload(ids, [tokens.length, 2], "tokens and positions"),
    packing: pack(arena, [tokens.length]),
    slots: slots as Slots,
  });
  return visits;
}
