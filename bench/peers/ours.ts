/**
 * Our side of each comparison.
 *
 * @module
 */

import type { Gpu } from "../../engine/gpu/gpu.ts";
import { matmulWork } from "../support/matmul_work.ts";
import { randomModel, someTokens } from "../support/random_model.ts";
import type { Sizes } from "./peer.ts";

/** Work of ours. */
export interface OurWork {
  run(): void;
  dispose(): void;
}

/** A product with a weight. */
export async function ourMatmul(gpu: Gpu, sizes: Sizes): Promise<OurWork> {
  const work = await matmulWork(gpu, { ...sizes, place: "peers", layout: "NN", constant: true });
  return { run: work.run, dispose: () => work[Symbol.dispose]() };
}

/** The forward pass through blocks of GPT-2 small, embedding included and no logits. */
export function ourBlocks(
  gpu: Gpu,
  { layers, length }: { layers: number; length: number },
): OurWork {
  const model = randomModel(gpu, "gpt2", { n_layer: layers });
  const tokens = someTokens(length);
  return {
    run() {
      using _run = model.forward(tokens, { logits: "none" });
    },
    dispose: () => model[Symbol.dispose](),
  };
}
