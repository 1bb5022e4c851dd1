/**
 * What `debug` finds out, as data: `--json` prints it as it is, `print_report.ts` for
 * people.
 *
 * @module
 */

import type { DerivedSequence } from "../derivers/derive.ts";
import type {
  AblationSpec,
  LossFnConfig,
  SequenceRequest,
  TraceConfig,
} from "../derivers/request.ts";
import { slotRef } from "../derivers/site.ts";
import { unembed } from "../engine/model/transformer.ts";
import { slice } from "../engine/tape/ops/slice.ts";
import { readTensors } from "../engine/tape/tensor.ts";
import { deriveScalars, type Model } from "../mod.ts";
import { constantFinalScale } from "../server/tdb.ts";
import { type NextToken, nextTokens } from "./debug_logits.ts";
import { type Effects, effectsAt, type ReportNode, topNodes } from "./debug_nodes.ts";
import { dstsOf, scalarsToReport } from "./debug_scalars.ts";

/** What to explain. */
export interface DebugOptions {
  readonly prompts: readonly string[];
  readonly targets: readonly string[];
  readonly distractors: readonly string[];
  readonly ablations: readonly AblationSpec[];
  /** Explains this node in place of the loss. */
  readonly trace: TraceConfig | null;
  readonly autoencoders: readonly string[];
  /** Rows of each list. */
  readonly top: number;
}

/** One run of a prompt. */
export interface RunReport {
  /** Logits; `null` without a target. */
  readonly loss: number | null;
  /** The traced activation before its nonlinearity; `null` without a trace. */
  readonly tracedValue: number | null;
  /** Total effect of each token of the prompt, by its embedding. */
  readonly attributions: readonly number[];
  /** What may follow the prompt. */
  readonly nextTokens: readonly NextToken[];
}

/** A node, and what becomes of it when something is ablated. */
export interface NodeReport extends ReportNode, Effects {
  readonly afterAblation: Effects | null;
}

/** One prompt. */
export interface PromptReport {
  readonly prompt: string;
  readonly tokens: readonly { readonly id: number; readonly text: string }[];
  readonly run: RunReport;
  /** The same with the ablations; `null` without any. */
  readonly ablated: RunReport | null;
  /** The nodes with the largest total effects in the run without ablations. */
  readonly nodes: readonly NodeReport[];
}

/** Everything that `debug` finds out. */
export interface DebugReport {
  readonly model: {
    readonly name: string;
    readonly nLayers: number;
    readonly nHeads: number;
    readonly dModel: number;
    readonly dMlp: number;
  };
  readonly adapter: string;
  readonly lossFnConfig: LossFnConfig | null;
  readonly ablations: readonly AblationSpec[];
  readonly trace: TraceConfig | null;
  readonly autoencoders: readonly string[];
  readonly prompts: readonly PromptReport[];
  readonly stats: { readonly milliseconds: number; readonly bytes: number };
}

/**
 * Runs the prompts, all in one batch, without and with the ablations.
 *
 * @throws {RequestError} if a token, node or autoencoder does not exist.
 */
export async function debugReport(model: Model, options: DebugOptions): Promise<DebugReport> {
  const started = performance.now();
  const { prompts, targets, distractors, ablations, trace, top } = options;
  const autoencoders = [];
  for (const name of options.autoencoders) autoencoders.push(await model.autoencoder(name, null));
  const kinds = scalarsToReport(autoencoders, model.config.nLayers);
  const lossFnConfig: LossFnConfig | null = targets.length === 0 ? null : {
    name: "logit_diff",
    targetTokens: [...targets],
    distractorTokens: [...distractors],
  };
  const sequenceOf = (prompt: string, specs: readonly AblationSpec[]): SequenceRequest => ({
    prompt,
    lossFnConfig,
    traceConfig: trace,
    ablationSpecs: [constantFinalScale, ...specs],
    dsts: dstsOf(kinds, trace),
    saveActivations: [{ activationLocationType: "resid.post_ln_f", passType: "forward" }],
  });
  const isAblated = ablations.length > 0;
  using run = await deriveScalars(model, {
    autoencoders: options.autoencoders.map((name) => ({ name })),
    sequences: [
      ...prompts.map((prompt) => sequenceOf(prompt, [])),
      ...(isAblated ? prompts.map((prompt) => sequenceOf(prompt, ablations)) : []),
    ],
  });
  const [refused] = run.sequences.flatMap(({ notComputable }) => notComputable);
  if (refused !== undefined) throw new Error(refused.message);
  const logits = await readResults(model, run.sequences);

  const runReport = async (s: number): Promise<RunReport> => {
    const { scalars, loss, activationValueForBackwardPass: tracedValue } = run.sequences[s]!;
    const attributions = (await scalars.read()).get(scalars.get({ dst: "token_attribution" }))!;
    const { tokenizer } = model;
    return {
      loss,
      tracedValue,
      attributions: [...attributions],
      nextTokens: nextTokens(logits[s]!, { top, tokenizer, targets, distractors }),
    };
  };
  const reports: PromptReport[] = [];
  for (const [p, prompt] of prompts.entries()) {
    const sequence = run.sequences[p]!;
    const ablated = isAblated ? run.sequences[prompts.length + p]! : null;
    const nodes: NodeReport[] = [];
    for (const node of await topNodes(sequence, { kinds, top })) {
      nodes.push({
        kind: node.kind,
        node: node.node,
        tokens: node.tokens,
        ...await effectsAt(sequence, node),
        afterAblation: ablated && await effectsAt(ablated, node),
      });
    }
    reports.push({
      prompt,
      tokens: sequence.tokens.map((id, t) => ({ id, text: sequence.tokenStrings[t]! })),
      run: await runReport(p),
      ablated: isAblated ? await runReport(prompts.length + p) : null,
      nodes,
    });
  }
  const { nLayers, nHeads, dModel, dMlp } = model.config;
  return {
    model: { name: model.name, nLayers, nHeads, dModel, dMlp },
    adapter: model.gpu.facts.name,
    lossFnConfig,
    ablations,
    trace,
    autoencoders: options.autoencoders,
    prompts: reports,
    stats: { milliseconds: performance.now() - started, bytes: run.stats.peakBytes },
  };
}

/**
 * Brings all scalars, and the logits of each last token, to the host in one transfer.
 *
 * @returns The logits of each sequence.
 */
async function readResults(
  model: Model,
  sequences: readonly DerivedSequence[],
): Promise<Float32Array[]> {
  const last = sequences.map(({ run }) => {
    const y = run.activation(slotRef("resid.post_ln_f", null, "forward")); // [T, d_model]
    const start = y.size - y.width;
    return unembed(run.cx, slice(run.cx, y, { start, shape: [1, y.width] }), model);
  });
  const entries = sequences.flatMap(({ scalars }) =>
    scalars.entries.map(({ tensor }) => ({ scalars, tensor }))
  );
  const values = await readTensors([...last, ...entries.map(({ tensor }) => tensor)]);
  entries.forEach(({ scalars, tensor }, i) => scalars.setValues(tensor, values[last.length + i]!));
  return values.slice(0, last.length);
}
