/**
 * `info`: the GPU, a model, and all slots and scalars there are.
 *
 * @module
 */

import type { ScalarDimName } from "../derivers/nodes.ts";
import { openGpu } from "../mod.ts";
import { exitCodes } from "./failure.ts";
import { type InfoReport, infoReport, type ModelInfo } from "./info_report.ts";
import { bytes } from "./text_format.ts";
import { textTable } from "./text_table.ts";

/**
 * Finds out and prints.
 *
 * @returns The exit code.
 * @throws {GpuError} if there is no adapter, once the rest is printed.
 */
export async function info(
  { model = null, json }: { model?: string | null; json: boolean },
): Promise<number> {
  const report = await infoReport(model);
  console.log(json ? JSON.stringify(report, null, 2) : printInfo(report).join("\n"));
  if (report.adapter === null) await openGpu(); // throws what to install
  return exitCodes.ok;
}

const letters: Readonly<Record<ScalarDimName, string>> = {
  sequence_tokens: "t",
  attended_to_sequence_tokens: "k",
  sequence_token_pairs: "pairs",
  attn_heads: "h",
  query_and_key_channels: "c",
  value_channels: "c",
  residual_stream_channels: "o",
  mlp_acts: "n",
  vocab_size: "v",
  autoencoder_latents: "i",
  singleton: "1",
};

/** The lines of a report. */
export function printInfo(report: InfoReport): string[] {
  const { model, slots, scalars } = report;
  return [
    ...pairs(report.versions),
    ...adapterLines(report),
    ...(model === null ? [] : ["", ...modelLines(model)]),
    "",
    `Slots (${slots.length}), in the order of the forward pass`,
    ...textTable(
      [{ title: "location" }, { title: "dims" }, { title: "layers" }],
      slots.map((slot) => [slot.location, dimsOf(slot), slot.perLayer ? "each" : "none"]),
    ),
    "",
    `Scalars (${scalars.length}); b: needs a backward pass, g: has a gradient of its own, ` +
    "l: one in each layer",
    ...scalars.flatMap((scalar) => [
      `  ${flags(scalar)}  ${scalar.dst} [${dimsOf(scalar)}]`,
      `       = ${scalar.formula}`,
    ]),
    "",
    "Dims: t token; q query, k key, pairs of them with k <= q; h head, c channel of a head; n neuron;",
    "o channel of the residual stream; i latent; v token of the vocabulary.",
  ];
}

function flags(scalar: InfoReport["scalars"][number]): string {
  const { needsBackwardPass, hasBackwardValue, perLayer } = scalar;
  return [[needsBackwardPass, "b"], [hasBackwardValue, "g"], [perLayer, "l"]]
    .map(([is, letter]) => is ? letter : "-").join("");
}

function dimsOf({ dims }: { dims: readonly ScalarDimName[] }): string {
  const isPattern = dims[1] === "attended_to_sequence_tokens";
  return dims.map((dim, i) => i === 0 && isPattern ? "q" : letters[dim]).join(",");
}

function adapterLines({ adapter }: InfoReport): string[] {
  if (adapter === null) return pairs({ adapter: "none" });
  return pairs({
    adapter: `${adapter.name}, class "${adapter.class}"`,
    "largest binding": bytes(adapter.maxBindingBytes),
    "largest buffer": bytes(adapter.maxBufferBytes),
    workgroups: `${adapter.maxWorkgroups} in each dimension`,
  });
}

function modelLines(model: ModelInfo): string[] {
  const { nLayers, nHeads, dHead, dModel, dMlp } = model;
  return [
    `Model ${model.folder}`,
    ...pairs({
      layers: `${nLayers}, of ${nHeads} heads of ${dHead} channels and ${dMlp} neurons`,
      "residual stream": `${dModel} channels`,
      vocabulary: `${model.dVocab} tokens, unembedding ${
        model.tiedUnembedding ? "tied to the embedding" : "of its own"
      }`,
      context: `${model.nCtx} tokens`,
      parameters: `${model.parameters.toLocaleString("en")}, ${bytes(model.bytes)} on the GPU`,
    }),
    ...model.autoencoders.map((name, i) =>
      `  ${(i === 0 ? "autoencoders" : "").padEnd(16)}${name}`
    ),
  ];
}

function pairs(entries: Readonly<Record<string, string>>): string[] {
  return Object.entries(entries).map(([name, value]) => `  ${name.padEnd(16)}${value}`);
}
