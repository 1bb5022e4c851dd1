/**
 * What a run will take of the GPU's memory, and its refusal where that is too much. The run
 * is rehearsed: the code that will run it runs with nothing but the shapes.
 *
 * @module
 */

import { GpuError } from "../engine/errors.ts";
import type { Gpu } from "../engine/gpu/gpu.ts";
import type { ForwardRun } from "../engine/model/model.ts";
import { type SlotKey, slotKey } from "../engine/tape/slots.ts";
import { Arena, type Tensor } from "../engine/tape/tensor.ts";
import type { Plan } from "./plan.ts";
import type { ScalarStore } from "./scalar_store.ts";

/** What a run keeps. */
export interface Kept {
  readonly forward: ForwardRun;
  readonly gradients: ReadonlyMap<Tensor, Tensor>;
  /** The scalars of each sequence. */
  readonly stores: readonly ScalarStore[];
}

/**
 * The most bytes that a run will add to those in use: to the byte, as every tensor is
 * counted with the size of the buffer that it will get.
 *
 * @param perform Runs the plan; what it makes is the arena's.
 * @throws {GpuError} if that is more than the GPU was opened with.
 */
export function predictPeak(gpu: Gpu, plan: Plan, perform: (arena: Arena) => Kept): number {
  const rehearsal = gpu.rehearsal();
  using arena = new Arena(rehearsal);
  const kept = perform(arena);
  const { peak } = rehearsal.memory();
  const { live } = gpu.memory();
  if (live + peak > gpu.maxMemoryBytes) {
    throw new GpuError(
      "out-of-memory",
      `Cannot run the request as it needs ${peak} bytes of GPU memory beside the ${live} in use, ` +
        `and maxMemoryBytes is ${gpu.maxMemoryBytes}: the most go to ` +
        `${largestOf(kept, { peak }).join(", ")}; ask for ${waysToShrink(plan).join(", ")}, or ` +
        "dispose of earlier runs",
    );
  }
  return peak;
}

const namedAtMost = 3;

/** What takes the most bytes of a run, with the bytes. */
function largestOf({ forward, gradients, stores }: Kept, { peak }: { peak: number }): string[] {
  const bytes = new Map<string, number>();
  const counted = new Set<Tensor["block"]>();
  let others = peak;
  const count = (what: string, { block }: Tensor) => {
    if (counted.has(block)) return;
    counted.add(block);
    bytes.set(what, (bytes.get(what) ?? 0) + block.bytes);
    others -= block.bytes;
  };
  const at = (key: SlotKey) => `"${key.split("/")[0]}"`;
  for (const [key, activation] of forward.slots.saved) {
    count(`activations at ${at(key)}`, activation);
  }
  for (const [key, activation] of forward.slots.watched) {
    const gradient = gradients.get(activation);
    if (gradient !== undefined) count(`gradients at ${at(key)}`, gradient);
  }
  for (const { entries } of stores) {
    for (const { dst, tensor } of entries) count(`scalar "${dst}"`, tensor);
  }
  bytes.set("intermediate results", others);
  return [...bytes].sort((a, b) => b[1] - a[1]).slice(0, namedAtMost)
    .map(([what, size]) => `${what} (${size} bytes)`);
}

function waysToShrink({ sequences, save, gradients }: Plan): string[] {
  const ways: string[] = [];
  if (save.size + gradients.size > 0) ways.push("fewer scalars or activations", "fewer layers");
  ways.push(sequences.length > 1 ? "shorter prompts" : "a shorter prompt");
  if (sequences.length > 1) ways.push("fewer sequences at a time");
  const logits = slotKey("logits", null);
  if (save.has(logits) || gradients.has(logits)) {
    ways.push("nothing that keeps the logits of all positions");
  }
  return ways;
}
