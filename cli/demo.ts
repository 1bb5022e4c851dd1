/**
 * `demo`: why the model of this repository answers a prompt as it does.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { loadModel, type Model } from "../mod.ts";
import {
  type DebugOptions,
  type DebugReport,
  debugReport,
  type NodeReport,
} from "./debug_report.ts";
import { nodeName, nodePlaces } from "./describe_node.ts";
import { exitCodes } from "./failure.ts";
import { parseAblation } from "./node_spec.ts";
import { explanation, printNextTokens, printNodes, printTokens } from "./print_report.ts";
import { progress } from "./progress.ts";
import { percent, quoted } from "./text_format.ts";

/** The prompt, its answer, and an answer that is as good to whoever has not read it. */
const story = {
  prompt: "ocean cloud paper shoe paint ocean",
  target: " cloud",
  distractor: " ocean",
} as const;

const folder = fileURLToPath(new URL("../models/recall", import.meta.url));

/**
 * Tells the story.
 *
 * @returns The exit code.
 */
export async function demo(): Promise<number> {
  using line = progress();
  line.show("loading models/recall");
  using model = await loadModel(folder);
  line.show("running");
  const lines = await tellStory(model, story);
  line.clear();
  console.log(lines.join("\n"));
  return exitCodes.ok;
}

/** A prompt and the two tokens that are compared after it. */
export interface Story {
  readonly prompt: string;
  readonly target: string;
  readonly distractor: string;
}

/** The lines of the demo. */
export async function tellStory(model: Model, { prompt, target, distractor }: Story) {
  const options: DebugOptions = {
    prompts: [prompt],
    targets: [target],
    distractors: [distractor],
    ablations: [],
    trace: null,
    autoencoders: [],
    top: 6,
  };
  const report = await debugReport(model, options);
  const { run, nodes } = report.prompts[0]!;
  const head = nodes.find(({ kind, totalEffect }) => kind === "head" && totalEffect > 0);
  const lines = [
    ...opening(report, { prompt, target, distractor }),
    "",
    ...printTokens(report),
    "",
    ...printNodes(report, report.prompts[0]!, 0),
    "",
    ...explanation(report),
  ];
  if (head === undefined) return lines;
  const spec = specOf(head);
  const without = await debugReport(model, {
    ...options,
    ablations: [parseAblation(spec)],
    top: 3,
  });
  return [
    ...lines,
    "",
    ...cause(head),
    "",
    ...printNextTokens(without),
    "",
    ...ending(without, { before: run, target, head }),
    "",
    "Look for yourself, with other prompts, tokens and nodes:",
    `  deno task hooktape debug --model models/recall --prompt "${prompt}" \\`,
    `    --target "${target}" --distractor "${distractor}" --ablate ${spec}`,
  ];
}

function opening(report: DebugReport, { prompt, target, distractor }: Story): string[] {
  const { run } = report.prompts[0]!;
  const [answer] = run.nextTokens;
  return [
    "The model in models/recall has learnt one thing: when a word of a list comes back, it says",
    "what came after that word the first time. It was given",
    "",
    `    ${prompt}`,
    "",
    `and its answer is ${quoted(answer!.text)}, with a probability of ${
      percent(answer!.probability)
    }. Who in it knew?`,
    `The score (logit) of ${quoted(target)} is ${run.loss!.toFixed(2)} above that of ` +
    `${quoted(distractor)}, another word of the list.`,
    "One backward pass tells how much of this difference each part of the model accounts for: the",
    "words it read, its neurons, and its attention heads, each by the word it looks from and the",
    "word it looks at (→).",
  ];
}

function cause(head: NodeReport): string[] {
  const [from, to] = nodePlaces(head);
  return [
    `The head that counts most is ${nodeName(head)}: at ${from} it looks at ${
      from === to ? "that word itself" : to
    }, and writes`,
    "what it finds there. If it is the cause, the answer must go when the head is switched off. So",
    "here is the model once more, and then with this one head silent:",
  ];
}

function ending(
  report: DebugReport,
  { before, target, head }: {
    before: DebugReport["prompts"][number]["run"];
    target: string;
    head: NodeReport;
  },
): string[] {
  const after = report.prompts[0]!.ablated!;
  const targetOf = (run: typeof after) => run.nextTokens.find(({ role }) => role === "target")!;
  const [was, is] = [targetOf(before), targetOf(after)];
  return [
    `${quoted(target)} falls from ${percent(was.probability)} to ${
      percent(is.probability)
    }, and from place ${was.rank} to place ${is.rank}:`,
    is.rank === 1
      ? `${nodeName(head)} matters, but others hold the answer up without it.`
      : `the answer came by way of ${nodeName(head)}.`,
  ];
}

/** The head as it is written on the command line, wherever it looks from. */
function specOf({ node }: NodeReport): string {
  return `attention_head:${node.layerIndex}.${node.tensorIndices.at(-1)}`;
}
