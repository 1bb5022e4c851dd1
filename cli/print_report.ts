/**
 * A report as text, no line wider than 100 columns.
 *
 * @module
 */

import type { DebugReport, PromptReport, RunReport } from "./debug_report.ts";
import { describeAblation, describeTrace, nodeName, nodePlaces } from "./describe_node.ts";
import { bar, decimalsFor, factor, percent, plain, quoted, signed } from "./text_format.ts";
import { sideBySide, type TextColumn, textTable } from "./text_table.ts";

/** A run with the name that tells it from the others. */
interface NamedRun {
  readonly label: string;
  readonly prompt: PromptReport;
  readonly run: RunReport;
}

/** The lines of a report. */
export function printReport(report: DebugReport): string[] {
  return [
    ...heading(report),
    "",
    ...objective(report),
    "",
    ...printTokens(report),
    "",
    ...printNextTokens(report),
    ...report.prompts.flatMap((prompt, p) => ["", ...printNodes(report, prompt, p)]),
    "",
    ...explanation(report),
  ];
}

/** Every run of a report, those of a prompt next to each other. */
function namedRuns({ prompts }: Pick<DebugReport, "prompts">): NamedRun[] {
  return prompts.flatMap((prompt, p) => {
    const name = prompts.length > 1 ? `prompt ${p + 1}` : "";
    if (prompt.ablated === null) return [{ label: name, prompt, run: prompt.run }];
    const prefix = name === "" ? "" : `${name}, `;
    return [
      { label: `${prefix}before`, prompt, run: prompt.run },
      { label: `${prefix}after`, prompt, run: prompt.ablated },
    ];
  });
}

function heading({ model, adapter, stats, ablations, trace, autoencoders }: DebugReport): string[] {
  const { name, nLayers, nHeads, dMlp } = model;
  return [
    `${name}: ${nLayers} layers of ${nHeads} heads and ${dMlp} neurons, on ${adapter}, ` +
    `${Math.round(stats.milliseconds)} ms`,
    ...autoencoders.map((each) => `Autoencoder: ${each}`),
    ...ablations.map((spec) => `Ablated: ${describeAblation(spec)}`),
    ...(trace === null ? [] : [`Traced: ${describeTrace(trace)}`]),
  ];
}

/** What the effects are effects on. */
function objective(report: DebugReport): string[] {
  const runs = namedRuns(report);
  const lines: string[] = [];
  const width = Math.max(0, ...runs.map(({ label }) => label.length));
  const row = ({ label }: NamedRun, text: string) =>
    `  ${label.padEnd(width)}${width > 0 ? "  " : ""}${text}`.trimEnd();
  if (report.trace !== null) {
    const decimals = decimalsFor(runs.map(({ run }) => run.tracedValue));
    lines.push("Value of that node");
    for (const named of runs) lines.push(row(named, signed(named.run.tracedValue, decimals)));
  }
  if (report.lossFnConfig !== null) {
    if (lines.length > 0) lines.push("");
    const decimals = decimalsFor(runs.map(({ run }) => run.loss));
    lines.push(...lossTitle(report));
    for (const named of runs) {
      const { loss } = named.run;
      lines.push(row(named, `${signed(loss, decimals)} logits  ${odds(report, loss)}`));
    }
    if (report.prompts.length === 1 && report.prompts[0]!.ablated !== null) {
      const { run, ablated } = report.prompts[0]!;
      const change = (ablated?.loss ?? NaN) - (run.loss ?? NaN);
      lines.push(`  ${"change".padEnd(width)}  ${signed(change, decimals)} logits`);
    }
  }
  return lines;
}

function lossTitle({ lossFnConfig }: DebugReport): string[] {
  const mean = (texts: readonly string[]) =>
    `${texts.length > 1 ? "mean logit" : "logit"} of ${texts.map((t) => quoted(t)).join(", ")}`;
  const targets = lossFnConfig?.targetTokens ?? [];
  const distractors = lossFnConfig?.distractorTokens ?? [];
  if (distractors.length > 0) return [`Loss: ${mean(targets)} minus ${mean(distractors)}`];
  return [`Loss: ${mean(targets)} (give a --distractor to compare it with another token's)`];
}

/** What a difference of two logits means. */
function odds({ lossFnConfig }: DebugReport, loss: number | null): string {
  const targets = lossFnConfig?.targetTokens ?? [];
  const distractors = lossFnConfig?.distractorTokens ?? [];
  if (targets.length !== 1 || distractors.length !== 1 || loss === null) return "";
  const [likely, other] = loss >= 0
    ? [targets[0]!, distractors[0]!]
    : [distractors[0]!, targets[0]!];
  return `${quoted(likely)} is ${factor(Math.exp(Math.abs(loss)))} times as likely as ${
    quoted(other)
  }`;
}

/** The unit of the effects. */
function unitOf({ trace }: DebugReport): string {
  return trace === null ? "logits" : "units of that node";
}

/** The tokens of each prompt, with a bar for their effect. */
export function printTokens(report: DebugReport): string[] {
  const runs = namedRuns(report);
  const all = runs.flatMap(({ run }) => run.attributions);
  const largest = Math.max(...all.map(Math.abs));
  const decimals = decimalsFor(all);
  const width = runs.length === 1 ? 30 : 8;
  const columns: TextColumn[] = [
    { title: "", align: "right" },
    { title: "token" },
    { title: "effect", align: "right" },
    { title: "" },
  ];
  const blocks = runs.map(({ label, prompt, run }) => [
    ...(label === "" ? [] : [`  ${label}`]),
    ...textTable(
      columns,
      prompt.tokens.map(({ text }, t) => {
        const effect = run.attributions[t]!;
        return [`${t}`, quoted(text), signed(effect, decimals), bar(effect, { largest, width })];
      }),
    ),
  ]);
  return [
    `Tokens of the prompt and their total effect, in ${unitOf(report)}`,
    ...sideBySide(blocks),
  ];
}

/** What may follow each prompt. */
export function printNextTokens(report: Pick<DebugReport, "prompts">): string[] {
  const columns: TextColumn[] = [
    { title: "", align: "right" },
    { title: "token" },
    { title: "logit", align: "right" },
    { title: "probability", align: "right" },
    { title: "" },
  ];
  const blocks = namedRuns(report).map(({ label, run }) => [
    ...(label === "" ? [] : [`  ${label}`]),
    ...textTable(
      columns,
      run.nextTokens.map(({ rank, text, logit, probability, role }) => [
        `${rank}`,
        quoted(text),
        plain(logit, 3),
        percent(probability),
        role ?? "",
      ]),
    ),
  ]);
  return ["Most likely next tokens", ...sideBySide(blocks)];
}

/** The nodes that matter most to a prompt. */
export function printNodes(
  report: DebugReport,
  { nodes, ablated }: PromptReport,
  p: number,
): string[] {
  const name = report.prompts.length > 1 ? ` of prompt ${p + 1}` : "";
  const title = `Nodes${name} with the largest total effects` +
    (ablated === null ? "" : ", before and after the ablation");
  if (nodes.length === 0) return [title, "  none: nothing here has an effect on it"];
  const decimals = decimalsFor(
    nodes.flatMap(({ totalEffect, directEffect, afterAblation }) => [
      totalEffect,
      directEffect,
      afterAblation?.totalEffect,
    ]),
  );
  const normDecimals = decimalsFor(nodes.map(({ writeNorm }) => writeNorm));
  const columns: TextColumn[] = [
    { title: "node" },
    { title: "at" },
    { title: "total effect", align: "right" },
    ...(ablated === null ? [] : [{ title: "after", align: "right" } as const]),
    { title: "direct effect", align: "right" },
    { title: "write norm", align: "right" },
  ];
  const rows = nodes.map((node) => [
    nodeName(node),
    nodePlaces(node).join(" → "),
    signed(node.totalEffect, decimals),
    ...(ablated === null ? [] : [signed(node.afterAblation?.totalEffect, decimals)]),
    signed(node.directEffect, decimals),
    plain(node.writeNorm, normDecimals),
  ]);
  return [title, ...textTable(columns, rows)];
}

/** What the columns of the node table are. */
export function explanation(report: DebugReport): string[] {
  const end = report.trace === null ? "the last residual" : "the residual that node reads";
  return [
    `Total effect: activation times gradient along every path, to first order, in ${
      unitOf(report)
    }.`,
    `Direct effect: its write along the gradient of ${end}. Write norm: its length.`,
  ];
}
