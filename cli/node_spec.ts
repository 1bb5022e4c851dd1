/**
 * Nodes as they are written on the command line:
 *
 * ```text
 * TYPE:LAYER.INDEX[@TOKEN[,KEY]][:THROUGH][=VALUE]
 *
 * attention_head:1.3@7        head 3 of layer 1 at token 7, whatever it attends to
 * attention_head:1.3@7,2:QK   the same head attending from token 7 to token 2
 * mlp_neuron:0.17@5=1.5       neuron 17 of layer 0 at token 5, set to 1.5
 * mlp_autoencoder_latent:1.30 latent 30 of layer 1 at every token
 * ```
 *
 * @module
 */

import { InvalidArgumentError } from "commander";
import { nearest } from "../engine/tape/nearest.ts";
import { isTraceable, nodeTypes, traceableNodeTypes } from "../derivers/nodes.ts";
import type { TraceableNodeType } from "../derivers/nodes.ts";
import type { AblationSpec, AttentionTraceType, TraceConfig } from "../derivers/request.ts";

/** A node as written. */
export interface NodeSpec {
  readonly nodeType: TraceableNodeType;
  readonly layer: number;
  /** Which head, neuron or latent. */
  readonly index: number;
  /** The token, the query of a head; negative from the end; every token if absent. */
  readonly token?: number;
  /** The token that a head attends to. */
  readonly key?: number;
  /** Through which of its inputs a head is traced. */
  readonly through?: AttentionTraceType;
  /** What is written over it. */
  readonly value?: number;
}

const pattern =
  /^(?<type>[^:@=]+):(?<layer>\d+)\.(?<index>\d+)(?:@(?<token>-?\d+)(?:,(?<key>-?\d+))?)?(?::(?<through>QK|Q|K|V))?(?:=(?<value>.+))?$/;

/**
 * Reads a node.
 *
 * @throws {InvalidArgumentError} if it is not written as above, or its type does not exist.
 */
export function parseNodeSpec(text: string): NodeSpec {
  const groups = pattern.exec(text)?.groups;
  const [written] = text.split(":");
  if (
    written !== undefined && text.includes(":") && !traceableNodeTypes.some((t) => t === written)
  ) {
    throw new InvalidArgumentError(
      `Cannot find node type "${written}": did you mean "${nearest(written, traceableNodeTypes)}"?`,
    );
  }
  if (groups === undefined) {
    throw new InvalidArgumentError(
      "It must be TYPE:LAYER.INDEX[@TOKEN[,KEY]], such as attention_head:1.3@7",
    );
  }
  const { type, layer, index, token, key, through, value } = groups;
  const nodeType = type as TraceableNodeType;
  if (!isTraceable(nodeType)) throw new TypeError("Internal error: node type was checked above");
  const isHead = nodeType === "attention_head";
  if (!isHead && (key !== undefined || through !== undefined)) {
    throw new InvalidArgumentError(
      "Only an attention_head has a KEY token and a trace through Q, K, QK or V",
    );
  }
  if (value !== undefined && (value.trim() === "" || !Number.isFinite(Number(value)))) {
    throw new InvalidArgumentError(`The value must be a number: current value is "${value}"`);
  }
  return {
    nodeType,
    layer: Number(layer),
    index: Number(index),
    ...(token !== undefined && { token: Number(token) }),
    ...(key !== undefined && { key: Number(key) }),
    ...(through !== undefined && { through: through as AttentionTraceType }),
    ...(value !== undefined && { value: Number(value) }),
  };
}

/**
 * Reads what `--ablate` says. A head without KEY loses its whole row of the attention
 * pattern: it then writes nothing at that token.
 *
 * @throws {InvalidArgumentError} if it is no node.
 */
export function parseAblation(text: string): AblationSpec {
  const { nodeType, layer, index, token, key, through, value = 0 } = parseNodeSpec(text);
  if (through !== undefined) {
    throw new InvalidArgumentError(`An ablation has no ":${through}": leave it out`);
  }
  const place = token ?? "All";
  return {
    index: {
      activationLocationType: nodeTypes[nodeType].location,
      passType: "forward",
      layerIndex: layer,
      tensorIndices: nodeType === "attention_head" ? [place, key ?? "All", index] : [place, index],
    },
    value,
  };
}

/**
 * Reads what `--trace` says: the node before its nonlinearity, the scale of the layer
 * norm in front of it a constant. A head is traced through QK unless it says otherwise.
 *
 * @throws {InvalidArgumentError} if it is no node at one place.
 */
export function parseTrace(text: string): TraceConfig {
  const { nodeType, layer, index, token, key, through, value } = parseNodeSpec(text);
  if (value !== undefined) {
    throw new InvalidArgumentError(`A trace has no "=${value}": leave it out`);
  }
  const isHead = nodeType === "attention_head";
  if (token === undefined || (isHead && key === undefined)) {
    throw new InvalidArgumentError(
      `A trace needs ${isHead ? "both tokens of the head" : "the token"}, such as ` +
        `${nodeType}:${layer}.${index}@${token ?? 7}${isHead ? ",2:QK" : ""}`,
    );
  }
  return {
    nodeIndex: {
      nodeType,
      layerIndex: layer,
      tensorIndices: isHead ? [token, key!, index] : [token, index],
      passType: "forward",
    },
    preOrPostAct: "pre",
    detachLayerNormScale: true,
    attentionTraceType: isHead ? through ?? "QK" : null,
    downstreamTraceConfig: null,
  };
}
