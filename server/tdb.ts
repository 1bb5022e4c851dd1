/**
 * What a debugger asks about a prompt, in terms of a batch.
 *
 * @module
 */

import { activationOfNode, checkRank } from "../derivers/indices.ts";
import { isTraceable, nodeTypes, traceableNodeTypes } from "../derivers/nodes.ts";
import type { AblationSpec, NodeIndex, TraceConfig } from "../derivers/request.ts";
import type { ScalarName } from "../derivers/table.ts";
import { RequestError } from "../engine/errors.ts";
import { parseRequest } from "./parse.ts";
import type { InferenceSubRequest, RequestOf, TdbRequestSpec } from "./requests.ts";

type NodeToTrace = NonNullable<TdbRequestSpec["upstreamNodeToTrace"]>;

/** By group, the scalars of embeddings, and of each kind of component. */
const groups = {
  write_norm: {
    embedding: "resid_post_embedding_norm",
    neuron: "mlp_write_norm",
    mlpLatent: "online_mlp_autoencoder_write_norm",
    head: "unflattened_attn_write_norm",
    attentionLatent: "online_attention_autoencoder_write_norm",
  },
  act_times_grad: {
    embedding: "token_attribution",
    neuron: "mlp_act_times_grad",
    mlpLatent: "online_mlp_autoencoder_act_times_grad",
    head: "unflattened_attn_act_times_grad",
    attentionLatent: "online_attention_autoencoder_act_times_grad",
  },
  direction_write: {
    embedding: "resid_post_embedding_proj_to_final_residual_grad",
    neuron: "mlp_write_to_final_residual_grad",
    mlpLatent: "online_mlp_autoencoder_write_to_final_residual_grad",
    head: "unflattened_attn_write_to_final_residual_grad",
    attentionLatent: "online_attention_autoencoder_write_to_final_residual_grad",
  },
  activation: {
    embedding: "always_one",
    neuron: "mlp_post_act",
    mlpLatent: "online_mlp_autoencoder_latent",
    head: "attn_qk_probs",
    attentionLatent: "online_attention_autoencoder_latent",
  },
} as const satisfies Record<string, Record<string, ScalarName>>;

type Component = keyof (typeof groups)["activation"];

const numTokens = 10; // best and worst tokens that a client lists of each node
const numTokensAttendedTo = 3; // likewise, of an attention latent
const numLogits = 100; // likewise, of the prediction

/**
 * The batch that answers what a debugger asks.
 *
 * @throws {RequestError} if a node cannot be ablated, or two nodes to trace do not
 * go together.
 */
export function batchOfTdb({ subRequests }: RequestOf<"batched_tdb">): RequestOf<"batched"> {
  return parseRequest("batched", { inferenceSubRequests: subRequests.map(subRequestOfTdb) });
}

function subRequestOfTdb(spec: TdbRequestSpec) {
  const { prompt, targetTokens, distractorTokens, upstreamNodeToTrace: upstream } = spec;
  const traceConfig = traceOf(spec);
  const needsLoss = traceConfig === null ||
    traceConfig.attentionTraceType === "V" && traceConfig.downstreamTraceConfig === null;
  const mlp = spec.componentTypeForMlp === "neuron" ? "neuron" : "mlpLatent";
  const attention = spec.componentTypeForAttention === "attention_head"
    ? "head"
    : "attentionLatent";
  const scored = (tokenScoringType: string) => ({
    specType: "scored_tokens_request_spec",
    tokenScoringType,
    numTokens,
    dependsOnSpecName: "topKComponents",
  });
  return {
    inferenceRequestSpec: {
      prompt,
      ablationSpecs: [...(spec.nodeAblations ?? []).map(ablationOfNode), constantFinalScale],
      lossFnConfig: needsLoss ? { name: "logit_diff", targetTokens, distractorTokens } : null,
      traceConfig,
      activationIndexForWithinLayerGrad: null,
    },
    processingRequestSpecByName: {
      topKComponents: topK(["embedding", mlp, attention], spec.topAndBottomKForNodeTable),
      // Each token's sums are always shown over neurons and heads.
      componentSumsForTokenDisplay: topK(["embedding", "neuron", "head"], 1),
      upvotedOutputTokens: scored("upvoted_output_tokens"),
      inputTokensThatUpvoteMlp: scored("input_tokens_that_upvote_mlp"),
      inputTokensThatUpvoteAttnQ: scored("input_tokens_that_upvote_attn_q"),
      inputTokensThatUpvoteAttnK: scored("input_tokens_that_upvote_attn_k"),
      tokenPairAttribution: {
        specType: "token_pair_attribution_request_spec",
        numTokensAttendedTo,
        dependsOnSpecName: "topKComponents",
      },
      topOutputTokenLogits: {
        specType: "multiple_top_k_derived_scalars_request_spec",
        dstListByGroupId: { logits: ["logits"] },
        tokenIndex: tokenOf(upstream),
        topAndBottomK: numLogits,
      },
    },
  } satisfies Record<keyof InferenceSubRequest, unknown>;
}

/** The token whose prediction is shown: that of the traced node, or the last one. */
function tokenOf(traced: NodeToTrace | null): number {
  const token = traced?.nodeIndex.tensorIndices[0];
  return typeof token === "number" ? token : -1; // what is no token, the trace refuses
}

function topK(components: readonly Component[], topAndBottomK: number) {
  return {
    specType: "multiple_top_k_derived_scalars_request_spec",
    dstListByGroupId: Object.fromEntries(
      Object.entries(groups).map(([id, dsts]) => [id, components.map((each) => dsts[each])]),
    ),
    topAndBottomK,
  };
}

/** Makes the scale of the final layer norm a constant for the backward pass. */
export const constantFinalScale: AblationSpec = {
  index: {
    activationLocationType: "resid.ln_f.scale",
    passType: "backward",
    tensorIndices: ["All", "All"],
    layerIndex: null,
  },
  value: 0,
};

function traceOf(
  { upstreamNodeToTrace: upstream, downstreamNodeToTrace: downstream }: TdbRequestSpec,
): TraceConfig | null {
  if (downstream !== null && upstream?.attentionTraceType !== "V") {
    throw new RequestError(
      "invalid_trace",
      'Cannot trace towards "downstreamNodeToTrace" unless ' +
        '"upstreamNodeToTrace.attentionTraceType" is "V": current value is ' +
        JSON.stringify(upstream?.attentionTraceType ?? null),
    );
  }
  if (upstream === null) return null;
  return {
    ...traceConfigOf(upstream),
    downstreamTraceConfig: downstream === null ? null : traceConfigOf(downstream),
  };
}

function traceConfigOf({ nodeIndex, attentionTraceType }: NodeToTrace): TraceConfig {
  return {
    nodeIndex,
    preOrPostAct: "pre",
    detachLayerNormScale: true,
    attentionTraceType,
    downstreamTraceConfig: null,
  };
}

/** The ablation of a node; that of a head takes its whole row, whatever the key. */
function ablationOfNode(
  { nodeIndex, value }: { nodeIndex: NodeIndex; value: number },
): AblationSpec {
  const { nodeType, tensorIndices } = nodeIndex;
  if (!isTraceable(nodeType)) {
    throw new RequestError(
      "node_is_no_activation",
      `Cannot ablate a node of nodeType "${nodeType}": it must be one of ` +
        traceableNodeTypes.map((name) => `"${name}"`).join(", "),
    );
  }
  checkRank(tensorIndices, nodeTypes[nodeType].dims, { name: nodeType });
  const index = activationOfNode(nodeIndex);
  if (nodeType !== "attention_head") return { index, value };
  const [q, _key, head] = index.tensorIndices;
  return { index: { ...index, tensorIndices: [q!, "All", head!] }, value };
}
