/**
 * The plan of a run: which scalars can be derived, in which layers, and which slots
 * must be kept for them. Made before anything runs; nothing else is kept.
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import { checkTokens } from "../engine/model/check_tokens.ts";
import type { LocationName, PassType } from "../engine/tape/locations.ts";
import { type SlotKey, slotKey } from "../engine/tape/slots.ts";
import { checkBackward, checkLayers, checkNotRepeated, checkObjective } from "./check_request.ts";
import { checkAblation, type ResolvedAblation, tokensOfLoss } from "./check_sequence.ts";
import { checkTrace, type ResolvedTrace } from "./check_trace.ts";
import { layersOfLocation, type ModelFacts, type SequenceFacts } from "./facts.ts";
import type { AutoencoderFacts } from "./choose_autoencoder.ts";
import type { Loss } from "./losses.ts";
import {
  type DstConfig,
  type DstRequest,
  resolveConfig,
  type ResolvedDstConfig,
  type SequenceRequest,
} from "./request.ts";
import type { Rule } from "./rule.ts";
import { type SlotRef, slotRef } from "./site.ts";
import { needsBackwardPass, type ScalarName, type ScalarRow, scalarTable } from "./table.ts";

/** A scalar that will be derived. */
export interface PlannedScalar<Name extends string = ScalarName> {
  readonly dst: Name;
  readonly row: ScalarRow;
  readonly config: ResolvedDstConfig;
  /** `[null]` for a scalar without layers. */
  readonly layers: readonly (number | null)[];
  /** How its forward and, if wanted, its backward value is computed. */
  readonly rules: readonly { passType: PassType; rule: Rule }[];
  readonly needs: readonly SlotRef[];
}

/** A scalar, or an activation to be saved, that cannot be computed, and why. */
export interface NotComputable {
  /** The sequence it was asked for, by its number. */
  readonly sequence: number;
  /** As asked for. */
  readonly dst: ScalarName | LocationName;
  /** As asked for. */
  readonly config: DstConfig | null;
  /** Class of the mistake. */
  readonly error: string;
  /** What was asked, why it cannot be, and what would make it work. */
  readonly message: string;
}

/** One sequence of a run. */
export interface PlannedSequence {
  readonly tokens: readonly number[];
  readonly facts: SequenceFacts;
  readonly loss: Loss | null;
  readonly trace: ResolvedTrace | null;
  readonly ablations: readonly ResolvedAblation[];
  readonly scalars: readonly PlannedScalar[];
  /** Activations asked for by name. */
  readonly saved: readonly SlotRef[];
  readonly notComputable: readonly NotComputable[];
}

/** What a run will do. */
export interface Plan {
  readonly sequences: readonly PlannedSequence[];
  /** Slots whose activation is kept. */
  readonly save: ReadonlySet<SlotKey>;
  /** Slots whose gradient is kept; none without a backward pass. */
  readonly gradients: ReadonlySet<SlotKey>;
}

/** What a plan must know of the model. */
export interface Planning {
  readonly model: ModelFacts;
  readonly autoencoders: readonly AutoencoderFacts[];
  readonly encode: (text: string) => number[];
}

/**
 * Plans a run.
 *
 * @throws {RequestError} if tokens, loss, trace or ablations of a sequence make no
 * sense. A scalar that makes none is reported in `notComputable`.
 */
export function planRun(sequences: readonly SequenceRequest[], planning: Planning): Plan {
  const planned = sequences.map((sequence, i) => planSequence(sequence, i, planning));
  const save = new Set<SlotKey>();
  const gradients = new Set<SlotKey>();
  const slots = planned.flatMap(({ scalars, saved }) => [
    ...scalars.flatMap(({ needs }) => needs),
    ...saved,
  ]);
  for (const { location, layer, pass } of slots) {
    (pass === "forward" ? save : gradients).add(slotKey(location, layer));
  }
  return { sequences: planned, save, gradients };
}

function planSequence(
  request: SequenceRequest,
  index: number,
  { model, autoencoders, encode }: Planning,
): PlannedSequence {
  const tokens = request.tokens ?? encode(request.prompt!);
  checkTokens(tokens, model);
  const facts = { ...model, nTokens: tokens.length, autoencoders };
  const { lossFnConfig, traceConfig } = request;
  const loss = lossFnConfig && {
    name: lossFnConfig.name,
    ...tokensOfLoss(lossFnConfig, { encode, dVocab: model.dVocab }),
  };
  const trace = traceConfig && checkTrace(traceConfig, facts, { lossPresent: loss !== null });
  const ablations = request.ablationSpecs.map((spec) => checkAblation(spec, facts));
  const hasObjective = loss !== null || trace !== null;

  const scalars: PlannedScalar[] = [];
  const saved: SlotRef[] = [];
  const notComputable: NotComputable[] = [];
  const attempt = (what: Pick<NotComputable, "dst" | "config">, plan: () => void) => {
    try {
      plan();
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      const { code, message } = error;
      notComputable.push({ sequence: index, ...what, error: code, message });
    }
  };
  for (const asked of request.dsts) {
    attempt({ dst: asked.dst, config: asked.config ?? null }, () => {
      checkNotRepeated(asked.dst, scalars.map(({ dst }) => dst));
      scalars.push(planScalar(asked, { facts, hasObjective }));
    });
  }
  for (const { activationLocationType: location, passType } of request.saveActivations) {
    attempt({ dst: location, config: null }, () => {
      const layers = layersOfLocation(location, facts) ?? [null];
      checkObjective(location, { needsGradients: passType === "backward", hasObjective });
      saved.push(...layers.map((layer) => slotRef(location, layer, passType)));
    });
  }
  return { tokens, facts, loss, trace, ablations, scalars, saved, notComputable };
}

/**
 * Plans one scalar.
 *
 * @throws {RequestError} if it makes no sense with its configuration.
 */
export function planScalar(asked: DstRequest, sequence: SequenceToPlan): PlannedScalar {
  return planRow(scalarTable[asked.dst], asked, sequence);
}

/** What the plan of a scalar must know of the sequence. */
export interface SequenceToPlan {
  readonly facts: SequenceFacts;
  /** Whether it has a loss or a trace. */
  readonly hasObjective: boolean;
}

/** Plans a scalar of any row, of the table or not; see {@linkcode planScalar}. */
export function planRow<Name extends string>(
  row: ScalarRow,
  { dst, config: written }: { dst: Name; config?: DstConfig | null | undefined },
  { facts, hasObjective }: SequenceToPlan,
): PlannedScalar<Name> {
  const { backward } = row;
  const config = resolveConfig(written, {
    needsBackwardPass: needsBackwardPass(row),
    hasGradient: backward !== undefined && hasObjective,
  });
  const { deriveGradients } = config;
  checkBackward(dst, { deriveGradients, hasBackwardValue: backward !== undefined });
  const asked = { dst, config, facts };
  const allowed = checkLayers(dst, config.layerIndices, facts);
  const existing = row.rule.layers?.(asked) ?? allowed;
  const layers = row.perLayer ? existing.filter((layer) => allowed.includes(layer)) : [null];
  const rules: { passType: PassType; rule: Rule }[] = [{ passType: "forward", rule: row.rule }];
  if (deriveGradients && backward) rules.push({ passType: "backward", rule: backward });
  const inputs = rules.flatMap(({ rule }) => rule.inputs);
  // Checked in some layer even where the scalar exists in none of those asked for.
  const places = layers.length > 0 ? layers : existing.slice(0, 1);
  const needs = places.flatMap((layer) =>
    inputs.flatMap((input) => input.needs({ ...asked, layer }))
  );
  checkObjective(dst, {
    needsGradients: inputs.some(({ usesGradient }) => usesGradient),
    hasObjective,
  });
  return { dst, row, config, layers, rules, needs: layers.length > 0 ? needs : [] };
}
