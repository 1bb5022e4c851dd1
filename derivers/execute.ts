/**
 * Runs a plan: the forward pass with its ablations, and the backward pass.
 *
 * @module
 */

import type { CommandCounts } from "../engine/gpu/command_counter.ts";
import type { Autoencoder } from "../engine/model/autoencoder.ts";
import type { ForwardRun, Model } from "../engine/model/model.ts";
import { filled } from "../engine/tape/ops/map.ts";
import { overwrite, slice } from "../engine/tape/ops/slice.ts";
import { type Context, detached } from "../engine/tape/op.ts";
import { pack, type Packing } from "../engine/tape/packing.ts";
import { type Hook, type SlotKey, slotKey } from "../engine/tape/slots.ts";
import { Tape } from "../engine/tape/tape.ts";
import type { Arena, Tensor } from "../engine/tape/tensor.ts";
import { shapeOfLocation } from "./facts.ts";
import type { Residual } from "./nodes.ts";
import { gradientReaches, residualsOfTrace, tracedValue } from "./objective.ts";
import { lossValues } from "./loss_values.ts";
import type { Plan, PlannedSequence } from "./plan.ts";
import { isOverPairs, partOf } from "./sequence_run.ts";

/** What was run. */
export interface Execution {
  readonly forward: ForwardRun;
  /** Gradients of the slots kept, by their activation. */
  readonly gradients: ReadonlyMap<Tensor, Tensor>;
  /** The loss of each sequence that has one: [1] each. */
  readonly losses: readonly (Tensor | undefined)[];
  /** The traced value of each sequence that has a trace: [1] each. */
  readonly traced: readonly (Tensor | undefined)[];
  /** What was recorded when the forward pass was. */
  readonly countsAfterForward: CommandCounts;
}

/** Runs a plan; the arena owns what it makes. */
export function execute(
  model: Model,
  plan: Plan,
  { arena, autoencoders }: { arena: Arena; autoencoders: readonly Autoencoder[] },
): Execution {
  const { sequences, save, gradients } = plan;
  const tape = gradients.size > 0 ? new Tape() : undefined;
  const captured = new Map<SlotKey, Tensor>();
  const hooks = [
    ...sequences.flatMap(ablationHooks),
    ...capturingHooks(sequences, captured),
  ];
  const logitsInUse = [...save, ...gradients].some((key) => key === slotKey("logits", null)) ||
    hooks.some(({ location }) => location === "logits");
  const forward = model.forward(sequences.map(({ tokens }) => tokens), {
    arena,
    hooks,
    save,
    gradients,
    autoencoders,
    ...(tape && { tape }),
    logits: logitsInUse ? "all" : "none",
  });
  const cx = forward.context;
  const { packing } = forward;
  const countsAfterForward = cx.gpu.counts();

  const seeds: [Tensor, Tensor][] = [];
  const losses = lossValues(model, forward, { sequences, seeds });
  const traced = sequences.map((sequence, s) => {
    if (sequence.trace === null) return undefined;
    const value = tracedValue(cx, sequence.trace, {
      run: recomputing(model, { cx, packing, s, autoencoders }),
      loss: sequence.loss,
      residual: (which) => residualOf(cx, { which, packing, s, captured }),
    });
    seeds.push([value, filled(detached(cx), [1], 1)]);
    return value;
  });
  const found = tape?.backward(detached(cx), {
    seeds,
    wanted: new Set(forward.slots.watched.values()),
  });
  return { forward, gradients: found ?? new Map(), losses, traced, countsAfterForward };
}

/** The hooks that write a sequence's ablations over its part of the packed batch. */
function ablationHooks(sequence: PlannedSequence, s: number): Hook[] {
  return sequence.ablations.flatMap(({ location, passType, layers, region, value }) =>
    (layers ?? [null])
      .filter((layer) => passType === "forward" || gradientReaches(sequence, { location, layer }))
      .map((layer): Hook => ({
        location,
        layer,
        pass: passType,
        run(x, { context, packing }) {
          const overPairs = isOverPairs(location);
          const { start } = partOf(x, { packing, sequence: s, overPairs });
          const { start: first, count } = region;
          const shape = shapeOfLocation(location, sequence.facts);
          return overwrite(context, x, { region: { start, shape, first, count }, value });
        },
      }))
  );
}

/** The hooks that keep the residuals that traces start from, as they go on upstream. */
function capturingHooks(
  sequences: readonly PlannedSequence[],
  captured: Map<SlotKey, Tensor>,
): Hook[] {
  const wanted = new Map<SlotKey, Residual>();
  for (const { trace, facts } of sequences) {
    for (const residual of trace === null ? [] : residualsOfTrace(trace, facts.nLayers)) {
      wanted.set(slotKey(residual.location, residual.layerIndex), residual);
    }
  }
  return [...wanted].map(([key, { location, layerIndex }]): Hook => ({
    location,
    layer: layerIndex,
    pass: "after",
    run(x, { context }) {
      context.arena.retain(x);
      captured.set(key, x);
    },
  }));
}

function residualOf(
  cx: Context,
  { which, packing, s, captured }: {
    which: Residual;
    packing: Packing;
    s: number;
    captured: ReadonlyMap<SlotKey, Tensor>;
  },
): Tensor {
  const packed = captured.get(slotKey(which.location, which.layerIndex))!;
  const { start, size } = partOf(packed, { packing, sequence: s, overPairs: false });
  return slice(cx, packed, { start, shape: [size / packed.width, packed.width] });
}

function recomputing(
  model: Model,
  { cx, packing, s, autoencoders }: {
    cx: Context;
    packing: Packing;
    s: number;
    autoencoders: readonly Autoencoder[];
  },
) {
  return {
    model,
    packing: packing.lengths.length === 1 ? packing : pack(cx.arena, [packing.lengths[s]!]),
    autoencoder: ({ name }: { name: string }) => autoencoders.find((each) => each.name === name)!,
  };
}
