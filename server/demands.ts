/**
 * The scalars that the specs of a batch need of its run.
 *
 * @module
 */

import { nodeOfActivation } from "../derivers/indices.ts";
import type { DstConfig, DstRequest, TraceConfig } from "../derivers/request.ts";
import { type ScalarName, type ScalarRow, scalarTable } from "../derivers/table.ts";
import { RequestError } from "../engine/errors.ts";
import type {
  DerivedAttentionScalarsRequestSpec,
  DerivedScalarsRequestSpec,
  InferenceRequestSpec,
  InferenceSubRequest,
  ProcessingRequestSpec,
} from "./requests.ts";

/** The scalar that compares the vocabulary with the input direction of a unit. */
export const vocabularyScalar = "vocab_token_write_to_input_direction" satisfies ScalarName;

/** Scalars that are the activation of a node with a write, by which its tokens can be told. */
const activationScalars: readonly ScalarName[] = [
  "mlp_post_act",
  "online_autoencoder_latent",
  "online_mlp_autoencoder_latent",
  "online_attention_autoencoder_latent",
];

const toLatent = "attn_write_to_latent_summed_over_heads" satisfies ScalarName;

/** The scalars over token pairs that can be asked for by themselves. */
const attentionScalarNames: readonly ScalarName[] = ["unflattened_attn_write_norm", toLatent];

interface Demand {
  readonly dst: ScalarName;
  readonly config: DstConfig;
}

/**
 * The scalars that a sub-request needs, each once.
 *
 * @throws {RequestError} if a spec asks for what cannot be had in its way, or two
 * specs ask for one scalar with different configurations.
 */
export function demandsOf(
  { inferenceRequestSpec, processingRequestSpecByName }: InferenceSubRequest,
): DstRequest[] {
  const byDst = new Map<ScalarName, DstConfig>();
  for (const spec of Object.values(processingRequestSpecByName)) {
    for (const { dst, config } of demandsOfSpec(spec, inferenceRequestSpec)) {
      const earlier = byDst.get(dst);
      byDst.set(dst, earlier === undefined ? config : merged(dst, earlier, config));
    }
  }
  return [...byDst].map(([dst, config]) => ({ dst, config }));
}

function merged(dst: ScalarName, a: DstConfig, b: DstConfig): DstConfig {
  if (JSON.stringify(a.traceConfig) !== JSON.stringify(b.traceConfig)) {
    throw new RequestError(
      "scalar_repeated",
      `Cannot derive "${dst}" with two different configurations for one prompt: ` +
        "use two sub-requests",
    );
  }
  const layers = a.layerIndices && b.layerIndices && [...a.layerIndices, ...b.layerIndices];
  return {
    ...a,
    ...b,
    deriveGradients: a.deriveGradients || b.deriveGradients || false,
    layerIndices: layers ?? null,
  };
}

function demandsOfSpec(spec: ProcessingRequestSpec, inference: InferenceRequestSpec): Demand[] {
  switch (spec.specType) {
    case "multiple_top_k_derived_scalars_request_spec": {
      const { dstListByGroupId, passType } = spec;
      const { traceConfig } = inference;
      const config = { deriveGradients: passType === "backward", traceConfig };
      return Object.values(dstListByGroupId).flatMap((dsts) =>
        (dsts ?? []).map((dst) => ({ dst, config }))
      );
    }
    case "derived_scalars_request_spec":
      return [demandOfUnit(spec, inference)];
    case "derived_attention_scalars_request_spec":
      return [demandOfAttention(spec, inference)];
    case "scored_tokens_request_spec":
    case "token_pair_attribution_request_spec":
      return [];
  }
}

function demandOfUnit(
  spec: DerivedScalarsRequestSpec,
  { traceConfig, ablationSpecs }: InferenceRequestSpec,
): Demand {
  const { dst, passType, numTopTokens } = spec;
  const row: ScalarRow = scalarTable[dst];
  refuseRecords(spec);
  if (row.dims.length !== 2 || row.dims[0] === "sequence_token_pairs") {
    throw new RequestError(
      "scalar_not_supported",
      `Cannot answer with "${dst}" by token: its dimensions are ${row.dims.join(", ")}, ` +
        "they must be a token and one other",
    );
  }
  if (numTopTokens !== null && dst !== vocabularyScalar) {
    if (!activationScalars.includes(dst) || passType === "backward") {
      const names = [...activationScalars, vocabularyScalar].map((name) => `"${name}"`);
      throw new RequestError(
        "scalar_not_supported",
        `Cannot answer with numTopTokens for "${dst}" (${passType}): ` +
          `the scalar must be one of ${names.join(", ")}, and forward`,
      );
    }
  }
  const layerIndices = layersOf(spec);
  const deriveGradients = passType === "backward";
  if (dst !== vocabularyScalar) {
    return { dst, config: { deriveGradients, layerIndices, traceConfig } };
  }
  const [ablation, ...others] = ablationSpecs ?? [];
  if (ablation === undefined || others.length > 0) {
    throw new RequestError(
      "fake_grad_index_missing",
      `Cannot derive "${dst}" with ${ablationSpecs?.length ?? 0} ablationSpecs: ` +
        "there must be just one, whose index is that of the unit",
    );
  }
  const activationIndexForFakeGrad = ablation.index;
  return { dst, config: { deriveGradients, activationIndexForFakeGrad } };
}

function demandOfAttention(
  spec: DerivedAttentionScalarsRequestSpec,
  { traceConfig, activationIndexForWithinLayerGrad: latent }: InferenceRequestSpec,
): Demand {
  const { dst } = spec;
  refuseRecords(spec);
  if (!attentionScalarNames.includes(dst)) {
    throw new RequestError(
      "scalar_not_supported",
      `Cannot answer with "${dst}" by token pair: it must be one of ` +
        attentionScalarNames.map((name) => `"${name}"`).join(", "),
    );
  }
  const layerIndices = layersOf(spec);
  if (dst !== toLatent) return { dst, config: { layerIndices, traceConfig } };
  if (latent === null) {
    throw new RequestError(
      "trace_config_missing",
      `Cannot derive "${dst}" without activationIndexForWithinLayerGrad: current value is null`,
    );
  }
  const latentTrace: TraceConfig = {
    nodeIndex: { ...nodeOfActivation(latent), passType: "forward" },
    preOrPostAct: "post",
    detachLayerNormScale: false,
  };
  return { dst, config: { layerIndices, traceConfig: latentTrace } };
}

/** The layer that a spec means, as a list; `null` for a scalar without layers. */
function layersOf(
  { dst, layerIndex }: DerivedScalarsRequestSpec | DerivedAttentionScalarsRequestSpec,
): number[] | null {
  const { perLayer }: ScalarRow = scalarTable[dst];
  if (perLayer === (layerIndex !== null)) return layerIndex === null ? null : [layerIndex];
  throw new RequestError(
    "no_such_layer",
    `Cannot answer with "${dst}" in layerIndex ${layerIndex}: ` +
      `it has ${perLayer ? "one value in each layer" : "no layers, so layerIndex must be null"}`,
  );
}

function refuseRecords(
  { normalizeActivationsUsingNeuronRecord: record, dst }:
    | DerivedScalarsRequestSpec
    | DerivedAttentionScalarsRequestSpec,
): void {
  if (record === null) return;
  throw new RequestError(
    "not_served",
    `Cannot normalize "${dst}" by normalizeActivationsUsingNeuronRecord: ` +
      "this server has no neuron records, so it must be null",
  );
}
