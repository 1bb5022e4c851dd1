/**
 * From which tokens attention brings a latent what activates it.
 *
 * @module
 */

import { encode } from "../engine/model/autoencoder.ts";
import { linear } from "../engine/tape/ops/linear.ts";
import { matmul } from "../engine/tape/ops/matmul.ts";
import { readTensors, type Tensor } from "../engine/tape/tensor.ts";
import { groupNodes, type NodeGroup } from "./node_groups.ts";
import { entriesAt, rowsAt } from "./node_rows.ts";
import type { NodeIndex } from "./request.ts";
import { type SequenceRun, slotRef } from "./site.ts";

/**
 * For a latent i at token t of an autoencoder on `resid_delta_attn`, how much attention
 * from each token k adds to its pre-activation: `⟨Σ_h A[t,k,h] v[k,h] W_O[h], W_enc[i]⟩`, 0
 * for k > t; `"inactive"` where the latent, encoded from the saved activation, is 0.
 *
 * @throws {RequestError} `not_defined` naming the node type for other nodes; otherwise as
 * `residualWrites`.
 */
export async function tokenPairAttributions(
  run: SequenceRun,
  nodes: readonly NodeIndex[],
): Promise<(number[] | "inactive")[]> {
  const groups = groupNodes(nodes, { facts: run.facts, name: "tokenPairAttributions" });
  const { arena } = run.cx;
  const pending = groups.map((group) => arena.tidy(() => termsOf(run, group)));
  try {
    const read = await readTensors(pending.flat());
    const results: (number[] | "inactive")[] = nodes.map(() => "inactive");
    groups.forEach((group, g) => {
      const [latents, probs, onto] = read.slice(3 * g, 3 * g + 3);
      group.nodes.forEach(({ place }, i) => {
        if (latents![i]! > 0) {
          results[place] = sumOverHeads(
            run,
            { probs: probs!, onto: onto!, n: group.nodes.length },
            i,
          );
        }
      });
    });
    return results;
  } finally {
    for (const tensor of pending.flat()) arena.free(tensor);
  }
}

/** Offline latents [n, 1], the pattern's rows [n, T H], values along W_enc[i] [H, n, T]. */
function termsOf(run: SequenceRun, { layer, autoencoder, nodes }: NodeGroup): Tensor[] {
  const { cx, model, facts: { nTokens, nHeads, dHead } } = run;
  const { activation, layers } = run.autoencoder(autoencoder!);
  const weights = layers.get(layer!)!;
  const tokens = nodes.map(({ indices: [t = 0] }) => t);
  const units = nodes.map(({ indices: [, i = 0] }) => i);

  const distinct = [...new Set(tokens)];
  const input = run.activation(slotRef("resid.delta_attn", layer, "forward"));
  const encoded = encode(cx, rowsAt(cx, input, distinct), { activation, weights });
  const latents = entriesAt(
    cx,
    encoded,
    nodes.map((_, i) => distinct.indexOf(tokens[i]!) * encoded.width + units[i]!),
  );

  const probs = run.activation(slotRef("attn.qk_probs", layer, "forward"));
  const pattern = rowsAt(cx, probs.view({ shape: [nTokens, nTokens * nHeads] }), tokens);

  const v = run.activation(slotRef("attn.v", layer, "forward"));
  const direction = linear(cx, rowsAt(cx, weights.wEnc, units), {
    w: model.weights.layers[layer!]!["attn.wO"],
    transposed: true,
  }); // [n, H e]
  const onto = cx.arena.tensor([nHeads, nodes.length, nTokens], "values along the latents");
  for (let head = 0; head < nHeads; head++) {
    matmul(cx, {
      layout: "NT",
      m: nodes.length,
      n: nTokens,
      k: dHead,
      a: direction,
      aOffset: head * dHead,
      b: v.view({ shape: [nTokens, nHeads * dHead] }),
      bOffset: head * dHead,
      out: onto,
      cOffset: head * nodes.length * nTokens,
    });
  }
  return [latents, pattern, onto];
}

/** `Σ_h A[t,k,h] ⟨v[k,h], W_enc[i] W_O[h]ᵀ⟩` of the i-th node, for each k. */
function sumOverHeads(
  { facts: { nTokens, nHeads } }: SequenceRun,
  { probs, onto, n }: { probs: Float32Array; onto: Float32Array; n: number },
  i: number,
): number[] {
  return Array.from({ length: nTokens }, (_, k) => {
    let sum = 0;
    for (let head = 0; head < nHeads; head++) {
      sum += probs[(i * nTokens + k) * nHeads + head]! * onto[(head * n + i) * nTokens + k]!;
    }
    return sum;
  });
}
