/**
 * Nodes and ablations in words.
 *
 * @module
 */

import type { AblationSpec, NodeIndex, TraceConfig } from "../derivers/request.ts";
import type { ReportNode } from "./debug_nodes.ts";
import { quoted } from "./text_format.ts";

/** Longest text of a token in a table. */
const LONGEST = 12;

/** Which node it is, such as `head 1.3`. */
export function nodeName({ kind, node }: Pick<ReportNode, "kind" | "node">): string {
  return kind === "token" ? "token" : `${kind} ${node.layerIndex}.${node.tensorIndices.at(-1)}`;
}

/** At which tokens it is, such as `" river"@5`: two for a head, the query and the key. */
export function nodePlaces({ node, tokens }: Pick<ReportNode, "node" | "tokens">): string[] {
  return tokens.map((text, i) => `${quoted(text, LONGEST)}@${node.tensorIndices[i]}`);
}

const nouns: Readonly<Partial<Record<NodeIndex["nodeType"], string>>> = {
  attention_head: "head",
  mlp_neuron: "neuron",
  autoencoder_latent: "latent",
  mlp_autoencoder_latent: "mlp latent",
  attention_autoencoder_latent: "attention latent",
};

/** What is traced, such as `the pre-activation of neuron 1.17 at token 5`. */
export function describeTrace({ nodeIndex, attentionTraceType }: TraceConfig): string {
  const { nodeType, layerIndex, tensorIndices } = nodeIndex;
  const name = `${nouns[nodeType]} ${layerIndex}.${tensorIndices.at(-1)}`;
  const [token, key] = tensorIndices;
  if (nodeType !== "attention_head") return `the pre-activation of ${name} at token ${token}`;
  const from = `${name} at token ${token} attending to token ${key}`;
  if (attentionTraceType === "V") return `what ${from} moves towards the loss`;
  const inputs = { Q: "its query", K: "its key", QK: "its query and key" };
  return `the score of ${from}, through ${inputs[attentionTraceType ?? "QK"]}`;
}

const nounOfLocation: Readonly<Partial<Record<string, string>>> = {
  "attn.qk_probs": "head",
  "mlp.post_act": "neuron",
  online_autoencoder_latent: "latent",
  online_mlp_autoencoder_latent: "mlp latent",
  online_attention_autoencoder_latent: "attention latent",
};

/** What is overwritten, such as `head 1.3 at token 7 set to 0`. */
export function describeAblation({ index, value }: AblationSpec): string {
  const { activationLocationType, layerIndex, tensorIndices } = index;
  const [token, key] = tensorIndices;
  const noun = nounOfLocation[activationLocationType] ?? activationLocationType;
  const at = token === "All" ? "every token" : `token ${token}`;
  const towards = noun === "head" && key !== "All" ? ` attending to token ${key}` : "";
  return `${noun} ${layerIndex}.${tensorIndices.at(-1)} at ${at}${towards} set to ${value}`;
}
