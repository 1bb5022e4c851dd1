/** The requests of the golden data: what is valid passes, what is not is refused as it says. */

import { deepStrictEqual, throws } from "node:assert/strict";
import {
  autoencoderForEdge,
  checkActivationTrace,
  checkDirectionTrace,
  checkFakeGrad,
  checkLatentTrace,
  checkNodeForAttribution,
} from "../../derivers/check_nodes.ts";
import { checkBackward, checkLayers, checkNotRepeated } from "../../derivers/check_request.ts";
import { checkAblation, checkLoss } from "../../derivers/check_sequence.ts";
import { checkTokens } from "../../engine/model/check_tokens.ts";
import { checkTrace } from "../../derivers/check_trace.ts";
import { autoencoderForLocation, checkAutoencoders } from "../../derivers/choose_autoencoder.ts";
import type { SequenceFacts } from "../../derivers/facts.ts";
import {
  type DeriveRequest,
  type DstRequest,
  dstRequestSchema,
  parseDeriveRequest,
  resolveConfig,
} from "../../derivers/request.ts";
import { parseModelConfig } from "../../engine/model/config.ts";

const GOLDEN = new URL("../golden/", import.meta.url);
const IN_EDGE = /_in_edge_/;

interface Row {
  readonly value: string;
  readonly hasBackwardValue: boolean;
  readonly needsBackwardPassForForwardValue: boolean;
}

function readJson(path: string) {
  return JSON.parse(Deno.readTextFileSync(new URL(path, GOLDEN)));
}

const rows = new Map<string, Row>(readJson("dst_table.json").map((row: Row) => [row.value, row]));

function factsOf(request: DeriveRequest, nTokens: number): SequenceFacts {
  const model = parseModelConfig(readJson(`models/${request.model}/config.json`), "config.json");
  const autoencoders = request.autoencoders.map(({ name, layers }) => {
    const config = readJson(`models/${request.model}/autoencoders/${name}/config.json`);
    const all = Array.from({ length: model.nLayers }, (_, layer) => layer);
    const { dst, n_latents: nLatents, n_inputs: nInputs } = config;
    return { name, dst, layers: layers ?? all, nLatents, nInputs };
  });
  return { ...model, nTokens, autoencoders };
}

/** Makes the checks that the scalar's name calls for. */
function checkScalar({ dst, config: given }: DstRequest, facts: SequenceFacts) {
  const row = rows.get(dst)!;
  const config = resolveConfig(given, { needsBackwardPass: row.needsBackwardPassForForwardValue });
  const { autoencoders } = facts;
  const { hasBackwardValue } = row;
  checkBackward(dst, { deriveGradients: config.deriveGradients, hasBackwardValue });
  const layers = checkLayers(dst, config.layerIndices, facts);
  if (dst.includes("_final_activation_residual_grad")) checkActivationTrace(dst, config, facts);
  if (dst.endsWith("_to_final_residual_grad")) checkDirectionTrace(config.traceConfig, facts);
  if (dst.startsWith("attn_write_to_latent") && !dst.endsWith("_batched")) {
    checkLatentTrace(dst, config, { facts, inputs: ["resid_delta_attn"] });
  }
  if (dst === "vocab_token_write_to_input_direction") checkFakeGrad(dst, config, facts);
  const edge = dst.includes("_edge_") || dst.startsWith("single_node");
  if (edge || dst.includes("subnode")) {
    const upstream = IN_EDGE.test(dst) || dst.startsWith("single_node");
    const side = upstream ? "upstream" : "downstream";
    const node = checkNodeForAttribution(dst, config, { facts, side });
    if (dst.startsWith("online_autoencoder")) {
      autoencoderForEdge(dst, node.nodeType, { autoencoders, layers });
    }
    return;
  }
  const latents = /^(?:online_)?(mlp_|attention_|)autoencoder_(?!error|latent_grad)/.exec(dst);
  if (latents !== null) {
    const location = `online_${latents[1] as
      | "mlp_"
      | "attention_"
      | ""}autoencoder_latent` as const;
    autoencoderForLocation(location, autoencoders, { asked: dst });
  }
  const error = /^(online_(?:residual_)?(?:mlp|attention)_autoencoder_error)/.exec(dst);
  if (error !== null) {
    autoencoderForLocation(error[1] as "online_mlp_autoencoder_error", autoencoders, {
      asked: dst,
    });
  }
}

Deno.test("parseDeriveRequest() and the checks accept every golden case", () => {
  let cases = 0;
  for (const { name } of Deno.readDirSync(new URL("cases", GOLDEN))) {
    if (!name.endsWith(".json") || name.endsWith(".expected.json")) continue;
    const json = readJson(`cases/${name}`);
    const request = parseDeriveRequest(json, name);
    const sequences = json.sequences.map((sequence: Record<string, unknown>) => ({
      saveActivations: [],
      ...sequence,
    }));
    deepStrictEqual(request, { topK: 10, ...json, sequences }, name);
    checkAutoencoders(factsOf(request, 1).autoencoders);
    for (const sequence of request.sequences) {
      const facts = factsOf(request, sequence.tokens!.length);
      checkTokens(sequence.tokens!, facts);
      if (sequence.lossFnConfig !== null) checkLoss(sequence.lossFnConfig);
      const lossPresent = sequence.lossFnConfig !== null;
      if (sequence.traceConfig !== null) checkTrace(sequence.traceConfig, facts, { lossPresent });
      for (const spec of sequence.ablationSpecs) checkAblation(spec, facts);
      sequence.dsts.forEach((entry, i) => {
        checkNotRepeated(entry.dst, sequence.dsts.slice(0, i).map(({ dst }) => dst));
        checkScalar(entry, facts);
      });
    }
    cases++;
  }
  deepStrictEqual(cases > 200, true);
});

Deno.test("checks refuse what the golden data says is not computable, with its code", () => {
  let refused = 0;
  for (const { name } of Deno.readDirSync(new URL("cases", GOLDEN))) {
    if (!name.endsWith(".expected.json")) continue;
    const request = parseDeriveRequest(readJson(`cases/${name.replace(".expected", "")}`), name);
    for (const { dst, config, sequence, error } of readJson(`cases/${name}`).notComputable ?? []) {
      const facts = factsOf(request, request.sequences[sequence]!.tokens!.length);
      throws(() => checkScalar(dstRequestSchema.parse({ dst, config }), facts), {
        name: "RequestError",
        code: error,
        message: new RegExp(`"${dst}"`),
      }, `${name} ${dst}`);
      refused++;
    }
  }
  deepStrictEqual(refused > 100, true);
});
