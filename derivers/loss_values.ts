/**
 * The losses of the sequences of a run, by the way that costs least: a logit difference
 * needs no logits, other losses those of the last position, and only a sequence that
 * looks at its logits, or overwrites them, takes its loss from all of them.
 *
 * @module
 */

import type { ForwardRun, Model } from "../engine/model/model.ts";
import { unembed } from "../engine/model/transformer.ts";
import { rowLosses } from "../engine/tape/ops/loss.ts";
import { gatherRows, slice } from "../engine/tape/ops/slice.ts";
import { type Context, detached } from "../engine/tape/op.ts";
import type { Tensor } from "../engine/tape/tensor.ts";
import { logitDifferences, type Loss, rowLossOf } from "./losses.ts";
import type { PlannedSequence } from "./plan.ts";

interface WithLoss {
  readonly sequence: PlannedSequence;
  readonly loss: Loss;
  /** The sequence's number, and the row of its last position. */
  readonly s: number;
  readonly row: number;
}

/** Whether a gradient must pass the sequence's logits, or they are not what the model gave. */
function goesThroughLogits({ sequence: { ablations, scalars, saved } }: WithLoss): boolean {
  return ablations.some(({ location }) => location === "logits") ||
    [...saved, ...scalars.flatMap(({ needs }) => needs)].some(({ location, pass }) =>
      location === "logits" && pass === "backward"
    );
}

/**
 * The loss of each sequence that has one: [1] each. Adds the seeds of those from which
 * a backward pass starts: a trace takes the place of the loss.
 */
export function lossValues(
  model: Model,
  forward: ForwardRun,
  { sequences, seeds }: {
    sequences: readonly PlannedSequence[];
    seeds: [Tensor, Tensor][];
  },
): (Tensor | undefined)[] {
  const { context: cx, packing } = forward;
  const all = sequences.flatMap((sequence, s): WithLoss[] => {
    const row = packing.starts[s]! + packing.lengths[s]! - 1;
    return sequence.loss ? [{ sequence, loss: sequence.loss, s, row }] : [];
  });
  const values: (Tensor | undefined)[] = sequences.map(() => undefined);
  const ways = Map.groupBy(
    all,
    (each) =>
      goesThroughLogits(each)
        ? "logits"
        : each.loss.name === "logit_diff"
        ? "difference"
        : "last logits",
  );
  for (const [way, group] of ways) {
    const losses = group.map(({ loss }) => loss);
    const rows = group.map(({ row }) => row);
    const found = way === "logits"
      ? fromLogits(cx, forward.logits, { losses, rows })
      : fromLast(model, forward, { losses, rows, difference: way === "difference" });
    const seed = new Float32Array(group.map(({ sequence }) => sequence.trace === null ? 1 : 0));
    if (seed.some((each) => each !== 0)) {
      seeds.push([found, cx.arena.upload(seed, [seed.length], "seed")]);
    }
    group.forEach(({ s }, i) => {
      values[s] = slice(detached(cx), found, { start: i, shape: [1] });
    });
  }
  return values;
}

function fromLogits(
  cx: Context,
  logits: Tensor,
  { losses, rows }: { losses: readonly Loss[]; rows: readonly number[] },
): Tensor {
  const { width: dVocab } = logits;
  return rowLosses(cx, logits, losses.map((loss, i) => rowLossOf(loss, { row: rows[i]!, dVocab })));
}

function fromLast(
  model: Model,
  { context: cx, final }: ForwardRun,
  { losses, rows, difference }: {
    losses: readonly Loss[];
    rows: readonly number[];
    difference: boolean;
  },
): Tensor {
  const indices = cx.arena.upload(Uint32Array.from(rows), [rows.length], "last rows");
  const last = gatherRows(cx, final, indices);
  if (difference) return logitDifferences(cx, last, { model, losses });
  return fromLogits(cx, unembed(cx, last, model), { losses, rows: rows.map((_, i) => i) });
}
