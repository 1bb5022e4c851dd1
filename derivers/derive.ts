/**
 * Runs a request: forward, backward, and the scalars asked for.
 *
 * @module
 */

import type { CommandCounts } from "../engine/gpu/command_counter.ts";
import type { Autoencoder } from "../engine/model/autoencoder.ts";
import type { Model } from "../engine/model/model.ts";
import { Arena, readTensors, sizeOf, type Tensor } from "../engine/tape/tensor.ts";
import { type AutoencoderFacts, checkAutoencoders } from "./choose_autoencoder.ts";
import { execute } from "./execute.ts";
import { shapeOf } from "./facts.ts";
import type { Input } from "./inputs.ts";
import { predictPeak } from "./memory_plan.ts";
import { type NotComputable, type Plan, type PlannedScalar, planRun, planScalar } from "./plan.ts";
import {
  asBatch,
  type DeriveRequestInput,
  type DstRequest,
  type OneSequenceInput,
  parseDeriveRequest,
} from "./request.ts";
import { type ScalarEntry, ScalarStore } from "./scalar_store.ts";
import { createSequenceRun } from "./sequence_run.ts";
import type { SequenceRun, Site, SlotRef } from "./site.ts";
import type { ScalarName } from "./table.ts";

/** A scalar to derive: its name, or its name and how. */
export type ScalarRequest = ScalarName | DstRequest;

/** What was derived for one sequence, before anything of it has been read. */
export interface RecordedSequence {
  /** Ids of the tokens. */
  readonly tokens: readonly number[];
  /** Their texts. */
  readonly tokenStrings: readonly string[];
  /** The scalars asked for that could be computed. */
  readonly scalars: ScalarStore;
  /** What was kept, for further computations such as those of `postprocess.ts`. */
  readonly run: SequenceRun;
  /** Activations and gradients asked for under `saveActivations`. */
  readonly activations: ReadonlyMap<SlotRef, Tensor>;
  /** What was asked for and cannot be computed, with the reason. */
  readonly notComputable: readonly NotComputable[];
}

/** What was derived for one sequence. */
export interface DerivedSequence extends RecordedSequence {
  /** In the loss's unit (logits, or a probability); `null` without a loss, or if it is NaN. */
  readonly loss: number | null;
  /** The traced activation; `null` without a trace. */
  readonly activationValueForBackwardPass: number | null;
}

/** What a run cost. */
export interface RunStats {
  /** From the request to the first results on the host. */
  readonly milliseconds: number;
  /**
   * Most bytes of GPU memory that the run was to add to those in use, known before anything
   * was allocated; `null` if it was not asked for.
   */
  readonly predictedBytes: number | null;
  /** Most bytes that it did add. */
  readonly peakBytes: number;
  /** Bytes that it holds until it is disposed of. */
  readonly heldBytes: number;
  /** Launches of kernels. */
  readonly dispatches: number;
  /** Those in each layer of the model, from layer 0; some belong to none. */
  readonly dispatchesByLayer: readonly LayerDispatches[];
  /** Batches of commands handed to the driver. */
  readonly submits: number;
  /** Slots whose activation, and whose gradient, was kept. */
  readonly kept: { readonly activations: number; readonly gradients: number };
}

/** Launches of kernels in one layer. */
export interface LayerDispatches {
  /** Of the forward pass. */
  readonly forward: number;
  /** Of the backward pass. */
  readonly backward: number;
  /** Of the scalars derived in the layer. */
  readonly scalars: number;
}

/** A request that was run. Dispose of it to give its memory back. */
export interface DerivedRun<Alongside = undefined> extends DerivedSequence, Disposable {
  /** One entry for each sequence of the request; the run itself shows the first. */
  readonly sequences: readonly DerivedSequence[];
  /** What {@linkcode DeriveOptions.alongside} gave. */
  readonly alongside: Alongside;
  /** What it cost. */
  readonly stats: RunStats;
  /**
   * Derives more scalars of a sequence from the activations that were kept, without
   * running the model again.
   *
   * @throws {RequestError} naming what is missing if they were not kept.
   */
  derive(scalars: readonly ScalarRequest[], options?: { sequence?: number }): ScalarStore;
}

/** How to run a request. */
export interface DeriveOptions<Alongside = undefined> {
  /**
   * Whether `stats.predictedBytes` is wanted, the default. The run is then rehearsed, which
   * takes less than a millisecond for each layer. With `maxMemoryBytes` it always is.
   */
  readonly predict?: boolean;
  /**
   * What else to read of the run, such as `([{ scalars }]) => scalars.topk(10)`: what it reads
   * before it first waits comes in the same transfer as the losses.
   */
  readonly alongside?: (sequences: readonly RecordedSequence[]) => Alongside | Promise<Alongside>;
}

/**
 * Runs the sequences of a request and derives their scalars.
 *
 * @param request One sequence, or a batch under `sequences`.
 * @throws {RequestError} if the request is malformed, or a loss, trace, ablation or
 * autoencoder makes no sense. A scalar that cannot be computed does not stop the
 * others: it is listed in `notComputable`.
 * @throws {GpuError} if it needs more memory than `maxMemoryBytes` of `openGpu` leaves: before
 * anything is allocated, naming what takes the most and what would shrink it.
 */
export async function deriveScalars<Alongside = undefined>(
  model: Model,
  request: DeriveRequestInput | OneSequenceInput,
  { predict = true, alongside: readAlongside }: DeriveOptions<Alongside> = {},
): Promise<DerivedRun<Alongside>> {
  const started = performance.now();
  const parsed = parseDeriveRequest(asBatch(request), request.name ?? "request");
  const autoencoders: Autoencoder[] = [];
  for (const { name, layers } of parsed.autoencoders) {
    autoencoders.push(await model.autoencoder(name, layers));
  }
  const facts = autoencoders.map(factsOf);
  checkAutoencoders(facts);
  const plan = planRun(parsed.sequences, {
    model: model.config,
    autoencoders: facts,
    encode: (text) => model.tokenizer.encode(text),
  });

  const { gpu } = model;
  const performIn = (arena: Arena) => perform(model, plan, { arena, autoencoders });
  const predictedBytes = predict || gpu.maxMemoryBytes < Infinity
    ? predictPeak(gpu, plan, performIn)
    : null;
  const before = { ...gpu.counts(), live: gpu.memory().live };
  const arena = new Arena(gpu);
  try {
    const { result, peakBytes } = gpu.peakOf(() => performIn(arena));
    const heldBytes = gpu.memory().live - before.live;
    const after = gpu.counts(); // now, as other runs may go on while this one is read
    const { losses, traced, runs, stores, countsAfterForward, countsAfterBackward } = result;
    const recorded = plan.sequences.map((planned, s): RecordedSequence => ({
      tokens: planned.tokens,
      tokenStrings: planned.tokens.map((token) => model.tokenizer.token(token)),
      scalars: stores[s]!,
      run: runs[s]!,
      activations: new Map(planned.saved.map((slot) => [slot, runs[s]!.activation(slot)])),
      notComputable: planned.notComputable,
    }));
    const single = [...losses, ...traced].filter((value) => value !== undefined);
    const [read, alongside] = await Promise.all([readTensors(single), readAlongside?.(recorded)]);
    const numbers = new Map(single.map((tensor, i) => [tensor, read[i]![0]!]));
    const numberOf = (tensor: Tensor | undefined) => {
      const value = tensor && numbers.get(tensor);
      return value === undefined || Number.isNaN(value) ? null : value;
    };
    const sequences = recorded.map((sequence, s): DerivedSequence => ({
      ...sequence,
      loss: numberOf(losses[s]),
      activationValueForBackwardPass: numberOf(traced[s]),
    }));
    return {
      ...sequences[0]!,
      sequences,
      alongside: alongside as Alongside,
      stats: {
        milliseconds: performance.now() - started,
        predictedBytes,
        peakBytes,
        heldBytes,
        dispatches: after.dispatches - before.dispatches,
        dispatchesByLayer: model.weights.layers.map((_, layer) => {
          const at = ({ dispatchesByLayer }: CommandCounts) => dispatchesByLayer[layer] ?? 0;
          return {
            forward: at(countsAfterForward) - at(before),
            backward: at(countsAfterBackward) - at(countsAfterForward),
            scalars: at(after) - at(countsAfterBackward),
          };
        }),
        submits: gpu.counts().submits - before.submits,
        kept: { activations: plan.save.size, gradients: plan.gradients.size },
      },
      derive(scalars, { sequence = 0 } = {}) {
        const { facts, loss, trace } = plan.sequences[sequence]!;
        const hasObjective = loss !== null || trace !== null;
        const asked = scalars.map((scalar) =>
          typeof scalar === "string" ? { dst: scalar, config: {} } : scalar
        );
        return deriveAll(
          runs[sequence]!,
          asked.map((each) => planScalar(each, { facts, hasObjective })),
        );
      },
      [Symbol.dispose]: () => arena[Symbol.dispose](),
    };
  } catch (error) {
    arena[Symbol.dispose]();
    throw error;
  }
}

/** Runs a plan and derives its scalars; waits for nothing. */
function perform(
  model: Model,
  plan: Plan,
  { arena, autoencoders }: { arena: Arena; autoencoders: readonly Autoencoder[] },
) {
  const execution = execute(model, plan, { arena, autoencoders });
  const countsAfterBackward = arena.gpu.counts();
  const { forward, gradients } = execution;
  const runs = plan.sequences.map((planned, sequence) =>
    createSequenceRun({ model, forward, gradients, planned, sequence, autoencoders })
  );
  const stores = plan.sequences.map(({ scalars }, s) => deriveAll(runs[s]!, scalars));
  return { ...execution, countsAfterBackward, runs, stores };
}

function factsOf({ name, site, layers, nLatents, nInputs }: Autoencoder): AutoencoderFacts {
  return { name, dst: site, layers: [...layers.keys()], nLatents, nInputs };
}

/** Derives scalars of one sequence. */
function deriveAll(run: SequenceRun, scalars: readonly PlannedScalar[]): ScalarStore {
  const store = new ScalarStore();
  for (const scalar of scalars) {
    for (const entry of deriveScalar(run, scalar)) store.add(entry);
  }
  return store;
}

/**
 * Derives a scalar in all its layers.
 *
 * @param options `inputValue`: where an input's value comes from, if not from the run.
 */
export function deriveScalar<Name extends string>(
  run: SequenceRun,
  { dst, row, config, layers, rules }: PlannedScalar<Name>,
  { inputValue = (input, site) => input.value(site) }: {
    inputValue?: (input: Input, site: Site, place: number) => Tensor;
  } = {},
): (Omit<ScalarEntry, "dst"> & { readonly dst: Name })[] {
  const { cx, facts } = run;
  return rules.flatMap(({ passType, rule }) =>
    layers.map((layer) => {
      const site = { dst, config, facts, layer, run, cx };
      const value = cx.gpu.inLayer(
        layer,
        () =>
          cx.arena.tidy(() =>
            rule.value(site, ...rule.inputs.map((input, i) => inputValue(input, site, i)))
          ),
      );
      const tensor = value.view({ shape: namedShape(value, row.dims, run), label: dst });
      return { dst, passType, layerIndex: layer, tensor };
    })
  );
}

/** The shape of a scalar; the number of latents follows from the number of values. */
function namedShape(
  value: Tensor,
  dims: PlannedScalar["row"]["dims"],
  { facts }: SequenceRun,
): number[] {
  const others = sizeOf(shapeOf(dims, facts, { nLatents: 1 }));
  return shapeOf(dims, facts, { nLatents: value.size / others });
}
