import { deepStrictEqual, throws } from "node:assert/strict";
import {
  activationOfNode,
  nodeOfActivation,
  nodeOfScalar,
  pairOfTokens,
  ravel,
  resolveIndex,
  scalarOfNode,
  tokensOfPair,
  unravel,
} from "../../derivers/indices.ts";
import type { NodeIndex } from "../../derivers/request.ts";

const head: NodeIndex = {
  nodeType: "attention_head",
  layerIndex: 1,
  tensorIndices: [2, 1, 3],
  passType: "forward",
};

Deno.test("ravel() and unravel() are row-major and each other's inverse", () => {
  deepStrictEqual(ravel([1, 2, 3], [2, 3, 4]), 23);
  deepStrictEqual(unravel(23, [2, 3, 4]), [1, 2, 3]);
  deepStrictEqual(unravel(0, [2, 3]), [0, 0]);
  deepStrictEqual(ravel([], []), 0);
  for (let flat = 0; flat < 30; flat++) {
    deepStrictEqual(ravel(unravel(flat, [2, 5, 3]), [2, 5, 3]), flat);
  }
});

Deno.test("tokensOfPair() lists the lower triangle, also of long sequences", () => {
  deepStrictEqual([0, 1, 2, 3].map(tokensOfPair), [[0, 0], [1, 0], [1, 1], [2, 0]]);
  for (const [q, k] of [[1023, 0], [1023, 1023], [4095, 4095], [8191, 1]] as const) {
    deepStrictEqual(tokensOfPair(pairOfTokens(q, k)), [q, k]);
  }
});

Deno.test("resolveIndex() counts negative indices from the end", () => {
  const at = { name: "mlp.post_act", dim: "mlp_acts" } as const;
  deepStrictEqual(resolveIndex(127, 128, at), 127);
  deepStrictEqual(resolveIndex(-1, 128, at), 127);
  deepStrictEqual(resolveIndex(-128, 128, at), 0);
  throws(() => resolveIndex(128, 128, at), {
    name: "RequestError",
    code: "index_out_of_range",
    message: 'Cannot use index 128 for "mlp_acts" of "mlp.post_act": ' +
      "the size is 128, so indices must be from -128 to 127",
  });
  throws(() => resolveIndex(-129, 128, at), { code: "index_out_of_range" });
});

Deno.test("nodeOfScalar() and scalarOfNode() are each other's inverse", () => {
  const row = {
    dst: "attn_qk_probs",
    nodeType: "attention_head",
    dims: ["sequence_tokens", "attended_to_sequence_tokens", "attn_heads"],
  } as const;
  const index = scalarOfNode(head, row);
  deepStrictEqual(index, {
    dst: "attn_qk_probs",
    passType: "forward",
    layerIndex: 1,
    tensorIndices: [2, 1, 3],
  });
  deepStrictEqual(nodeOfScalar(index, row), head);
});

Deno.test("nodeOfScalar() turns a token pair into query and key", () => {
  const row = {
    dst: "attn_write_norm",
    nodeType: "attention_head",
    dims: ["sequence_token_pairs", "attn_heads"],
  } as const;
  const index = scalarOfNode(head, row);
  deepStrictEqual(index.tensorIndices, [4, 3]);
  deepStrictEqual(nodeOfScalar(index, row), head);
  throws(() => scalarOfNode({ ...head, tensorIndices: [1, 2, 3] }, row), {
    code: "index_out_of_range",
    message: 'Cannot use token pair (1, 2) for "attn_write_norm": ' +
      "a token attends only to itself and those before it",
  });
});

Deno.test("scalarOfNode() refuses another number of indices, naming the scalar", () => {
  const row = {
    dst: "attn_act_times_grad_per_sequence_token",
    dims: ["sequence_tokens", "attn_heads"],
  } as const;
  throws(() => scalarOfNode(head, row), {
    code: "wrong_number_of_indices",
    message: 'Cannot use tensorIndices [2,1,3] for "attn_act_times_grad_per_sequence_token": ' +
      "it has 2 dimensions, sequence_tokens, attn_heads",
  });
});

Deno.test("activationOfNode() and nodeOfActivation() are each other's inverse", () => {
  for (
    const nodeType of [
      "attention_head",
      "mlp_neuron",
      "autoencoder_latent",
      "mlp_autoencoder_latent",
      "attention_autoencoder_latent",
    ] as const
  ) {
    const node = { ...head, nodeType };
    deepStrictEqual(nodeOfActivation(activationOfNode(node)), node);
  }
  deepStrictEqual(activationOfNode(head), {
    activationLocationType: "attn.qk_probs",
    layerIndex: 1,
    tensorIndices: [2, 1, 3],
    passType: "forward",
  });
});

Deno.test("activationOfNode() refuses nodes that are no single activation", () => {
  throws(() => activationOfNode({ ...head, nodeType: "layer" }), { code: "node_is_no_activation" });
  throws(() => activationOfNode({ ...head, tensorIndices: [2, "All", 3] }), {
    code: "indices_not_integers",
    message: 'Cannot use tensorIndices [2,"All",3] for "attention_head": ' +
      "all of them must be integers",
  });
});
