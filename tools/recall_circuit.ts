/**
 * Prints how the recall model does it, measured with the library: what each head
 * looks at, what it contributes to the right word, and what is lost without it.
 *
 * Usage: `deno run --allow-all tools/recall_circuit.ts [PROMPT]`, the last word of
 * a prompt having been there before.
 *
 * @module
 */

import { deriveScalars, loadModel, type Model } from "../mod.ts";
import { createRandom } from "../tests/support/random.ts";
import { type RecallPrompt, recallPrompt, words } from "./train/recall_data.ts";

const seed = 4;
const nPrompts = 64;

/** A head by layer and index. */
interface Head {
  readonly layer: number;
  readonly head: number;
}

/** What is measured for each head, averaged over prompts. */
interface HeadMeasures extends Head {
  /** Attention from each token to the one before it. */
  readonly previous: number;
  /** Attention from a repeated word to the token after its first appearance. */
  readonly induction: number;
  /** Pattern times its gradient, summed over all tokens. */
  readonly actTimesGrad: number;
  /** Write of the last token along the gradient at the final residual stream. */
  readonly directWrite: number;
}

/** A request's ablation of a head, at one token or at all. */
function without({ layer, head }: Head, token: number | "All" = "All") {
  return {
    index: {
      activationLocationType: "attn.qk_probs" as const,
      passType: "forward" as const,
      tensorIndices: [token, "All" as const, head],
      layerIndex: layer,
    },
    value: 0,
  };
}

/** The final layer norm's scale is a constant for gradients, as for `hooktape debug`. */
const detachFinalNorm = {
  index: {
    activationLocationType: "resid.ln_f.scale" as const,
    passType: "backward" as const,
    tensorIndices: ["All" as const, "All" as const],
    layerIndex: null,
  },
  value: 0,
};

/** The place after the first appearance of the word at `position`. */
function afterFirst(tokens: readonly number[], position: number): number {
  return tokens.indexOf(tokens[position]!) + 1;
}

const average = (values: readonly number[]) =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** What was derived for one prompt in one layer. */
interface PromptValues {
  readonly prompt: RecallPrompt;
  /** [query, key, head] */
  readonly pattern: Float32Array;
  /** [query, head] */
  readonly effect: Float32Array;
  /** [query, head] */
  readonly write: Float32Array;
}

/** The measures of all heads. The objective is the right word's logit less the mean logit. */
async function measureHeads(
  model: Model,
  prompts: readonly RecallPrompt[],
): Promise<HeadMeasures[]> {
  using run = await deriveScalars(model, {
    sequences: prompts.map(({ tokens, next }) => ({
      tokens: [...tokens],
      lossFnConfig: {
        name: "logit_minus_mean" as const,
        targetTokens: [model.tokenizer.token(next.at(-1)!)],
      },
      ablationSpecs: [detachFinalNorm],
      dsts: [
        { dst: "attn_qk_probs" as const, config: {} },
        "attn_act_times_grad_per_sequence_token" as const,
        "attn_write_to_final_residual_grad_per_sequence_token" as const,
      ],
    })),
  });
  const { nLayers, nHeads } = model.config;
  const found: HeadMeasures[] = [];
  for (let layer = 0; layer < nLayers; layer++) {
    const perPrompt: PromptValues[] = [];
    for (const [index, { scalars }] of run.sequences.entries()) {
      const read = (dst: Parameters<typeof scalars.get>[0]["dst"]) =>
        scalars.get({ dst, layerIndex: layer }).read();
      perPrompt.push({
        prompt: prompts[index]!,
        pattern: await read("attn_qk_probs"),
        effect: await read("attn_act_times_grad_per_sequence_token"),
        write: await read("attn_write_to_final_residual_grad_per_sequence_token"),
      });
    }
    for (let head = 0; head < nHeads; head++) {
      const attention = (
        positionsOf: (prompt: RecallPrompt) => readonly number[],
        keyOf: (tokens: readonly number[], position: number) => number,
      ) =>
        average(perPrompt.flatMap(({ prompt, pattern }) => {
          const { tokens } = prompt;
          return positionsOf(prompt).map((q) =>
            pattern[(q * tokens.length + keyOf(tokens, q)) * nHeads + head]!
          );
        }));
      const ofHead = (values: Float32Array) => values.filter((_, i) => i % nHeads === head);
      found.push({
        layer,
        head,
        previous: attention(
          ({ tokens }) => tokens.map((_, position) => position).slice(1),
          (_, position) => position - 1,
        ),
        induction: attention(({ determined }) => determined, afterFirst),
        actTimesGrad: average(
          perPrompt.map(({ effect }) => ofHead(effect).reduce((sum, value) => sum + value, 0)),
        ),
        directWrite: average(perPrompt.map(({ write }) => ofHead(write).at(-1)!)),
      });
    }
  }
  return found;
}

/** How right the model is, perhaps without some heads. */
async function measureRecall(
  model: Model,
  prompts: readonly RecallPrompt[],
  { ablated }: { ablated: readonly Head[] },
): Promise<{ accuracy: number; logit: number; probability: number }> {
  using run = await deriveScalars(model, {
    sequences: prompts.map(({ tokens }) => ({
      tokens: [...tokens],
      ablationSpecs: ablated.map((head) => without(head)),
      dsts: [{ dst: "logits" as const, config: {} }],
    })),
  });
  let right = 0;
  let positions = 0;
  const lastLogits: number[] = [];
  const lastProbabilities: number[] = [];
  for (const [index, { scalars }] of run.sequences.entries()) {
    const { tokens, next, determined } = prompts[index]!;
    const logits = await scalars.get({ dst: "logits" }).read();
    const { dVocab } = model.config;
    for (const position of determined) {
      const row = logits.subarray(position * dVocab, (position + 1) * dVocab);
      const target = row[next[position]!]!;
      if (row.indexOf(Math.max(...row)) === next[position]) right++;
      positions++;
      if (position !== tokens.length - 1) continue;
      lastLogits.push(target - average([...row]));
      const total = row.reduce((sum, logit) => sum + Math.exp(logit - target), 0);
      lastProbabilities.push(1 / total);
    }
  }
  return {
    accuracy: right / positions,
    logit: average(lastLogits),
    probability: average(lastProbabilities),
  };
}

/** Probabilities of the most probable next words. */
async function mostProbable(
  model: Model,
  tokens: readonly number[],
  { ablationSpecs }: { ablationSpecs: ReturnType<typeof without>[] },
): Promise<string> {
  using run = await deriveScalars(model, {
    tokens: [...tokens],
    ablationSpecs,
    dsts: [{ dst: "logits", config: {} }],
  });
  const { dVocab } = model.config;
  const row = (await run.scalars.get({ dst: "logits" }).read()).subarray(-dVocab);
  const largest = Math.max(...row);
  const total = row.reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
  return [...row.entries()]
    .sort(([, a], [, b]) => b - a)
    .slice(0, 4)
    .map(([token, logit]) =>
      `${words[token]} ${(Math.exp(logit - largest) / total).toFixed(3)} (logit ${
        logit.toFixed(2)
      })`
    )
    .join(", ");
}

const nameOf = ({ layer, head }: Head) => `L${layer}H${head}`;

/** One line of a table. */
const line = (cells: readonly (string | number)[]) =>
  `| ${cells.map((cell) => typeof cell === "number" ? cell.toFixed(3) : cell).join(" | ")} |`;

/** A table of every head, alone and with the others of its layer. */
async function printHeads(model: Model, heads: readonly HeadMeasures[]): Promise<void> {
  const { nLayers } = model.config;
  const header = [
    ...["head", "to previous", "to after first", "act × grad", "direct write"],
    ...["accuracy without", "logit − mean without", "probability without"],
  ];
  const withoutHeads = async (ablated: readonly Head[]) => {
    const { accuracy, logit, probability } = await measureRecall(model, prompts, { ablated });
    return [accuracy, logit, probability];
  };
  console.log(line(header));
  console.log(line(header.map(() => "---")));
  console.log(line(["none", "", "", "", "", ...await withoutHeads([])]));
  for (const each of heads) {
    const { previous, induction, actTimesGrad, directWrite } = each;
    const measures = [previous, induction, actTimesGrad, directWrite];
    console.log(line([nameOf(each), ...measures, ...await withoutHeads([each])]));
  }
  for (let layer = 0; layer < nLayers; layer++) {
    const ofLayer = heads.filter((head) => head.layer === layer);
    const cells = await withoutHeads(ofLayer);
    console.log(line([`all of layer ${layer}`, "", "", "", "", ...cells]));
  }
}

/** What the model says next, whole and without each head. */
async function printPrompt(
  model: Model,
  prompt: string,
  { heads }: { heads: readonly Head[] },
): Promise<void> {
  const tokens = model.tokenizer.encode(prompt);
  const show = async (what: string, ablationSpecs: ReturnType<typeof without>[]) =>
    console.log(`${what}: ${await mostProbable(model, tokens, { ablationSpecs })}`);
  await show(`\n"${prompt}"`, []);
  for (const head of heads) await show(`without ${nameOf(head)}`, [without(head)]);
  const source = afterFirst(tokens, tokens.length - 1);
  for (const head of heads) {
    await show(`without ${nameOf(head)} at token ${source}`, [without(head, source)]);
  }
}

using model = await loadModel(new URL("../models/recall/", import.meta.url));
const random = createRandom(seed);
const prompts = Array.from({ length: nPrompts }, () => recallPrompt(random));
const heads = await measureHeads(model, prompts);
await printHeads(model, heads);
await printPrompt(model, Deno.args[0] ?? "ocean cloud paper shoe paint ocean", { heads });
