/**
 * Training of a small model: one step forward and back, and AdamW.
 *
 * @module
 */

import type { ModelConfig } from "../../engine/model/config.ts";
import type { TensorData } from "../../engine/model/safetensors_write.ts";
import { transformer } from "../../engine/model/transformer.ts";
import { createAdamW } from "../../engine/tape/ops/adamw.ts";
import { crossEntropy } from "../../engine/tape/ops/softmax.ts";
import { pack } from "../../engine/tape/packing.ts";
import { Slots } from "../../engine/tape/slots.ts";
import { Tape } from "../../engine/tape/tape.ts";
import { Arena, type Tensor } from "../../engine/tape/tensor.ts";
import type { Context } from "../../engine/tape/op.ts";
import type { Random } from "../../tests/support/random.ts";
import type { RecallPrompt } from "./recall_data.ts";
import { initialWeights, readWeights } from "./weights.ts";

/** Highest learning rate, after the warm-up. */
const highestRate = 2e-3;
const warmUpSteps = 100;

/** A model in training. */
export interface Trainer extends Disposable {
  /**
   * One step on a batch.
   *
   * @returns The mean loss of the determined positions (nats) if asked to wait for it.
   */
  step(batch: readonly RecallPrompt[], options?: { wait?: boolean }): Promise<number> | undefined;
  /** Part of the determined positions whose most probable next token is the right one. */
  accuracy(prompts: readonly RecallPrompt[]): Promise<number>;
  /** The weights as they are now, by their names in a checkpoint. */
  weights(): Promise<[string, TensorData][]>;
}

/** Starts the training of a model. */
export function createTrainer(
  arena: Arena,
  config: ModelConfig,
  { random, steps }: { random: Random; steps: number },
): Trainer {
  const { gpu } = arena;
  const trainable = initialWeights(arena, config, { random });
  const model = { config, weights: trainable.weights };
  const parameters = [...trainable.byFileName.values()];
  const optimizer = createAdamW({ gpu, arena }, parameters, {
    betas: [0.9, 0.98],
    weightDecay: 0.01,
    maxNorm: 1,
  });
  let stepsDone = 0;

  const forward = (cx: Context, prompts: readonly RecallPrompt[]): Tensor => {
    const packing = pack(cx.arena, prompts.map(({ tokens }) => tokens.length));
    const ids = new Uint32Array(
      prompts.flatMap(({ tokens, offset }) => tokens.flatMap((token, i) => [token, offset + i])),
    );
    return transformer(cx, model, {
      ids: cx.arena.upload(ids, [packing.nRows, 2], "tokens and positions"),
      packing,
      slots: new Slots({ packing, nLayers: config.nLayers }),
    }).logits!;
  };

  return {
    step(batch, { wait = false } = {}) {
      const step = ++stepsDone;
      const decay = (steps - step + 1) / Math.max(steps - warmUpSteps, 1);
      const rate = highestRate * Math.min(step / warmUpSteps, decay);
      const stepArena = new Arena(gpu);
      try {
        const tape = new Tape();
        for (const parameter of parameters) tape.watch(parameter);
        const cx = { gpu, arena: stepArena, tape };
        const logits = forward(cx, batch);
        const targets = Uint32Array.from(batch.flatMap(({ next }) => next));
        const loss = crossEntropy(cx, logits, {
          targets: stepArena.upload(targets, [targets.length], "targets"),
          weights: stepArena.upload(determinedWeights(batch), [targets.length], "weights"),
        });
        const one = stepArena.upload(new Float32Array([1]), [1], "one");
        const gradients = tape.backward(cx, {
          seeds: [[loss, one]],
          wanted: new Set(parameters),
        });
        optimizer.step(gradients, { rate });
        gpu.flush();
        if (!wait) return;
        return loss.read().then(([value]) => value!);
      } finally {
        stepArena[Symbol.dispose]();
      }
    },
    async accuracy(prompts) {
      using evaluation = new Arena(gpu);
      const logits = forward({ gpu, arena: evaluation }, prompts);
      const values = await logits.read();
      const { dVocab } = config;
      let right = 0;
      let all = 0;
      let row = 0;
      for (const { tokens, next, determined } of prompts) {
        for (const position of determined) {
          const at = (row + position) * dVocab;
          const scores = values.subarray(at, at + dVocab);
          let best = 0;
          for (let token = 1; token < dVocab; token++) {
            if (scores[token]! > scores[best]!) best = token;
          }
          if (best === next[position]) right++;
          all++;
        }
        row += tokens.length;
      }
      return right / all;
    },
    weights: () => readWeights(trainable),
    [Symbol.dispose]: () => optimizer[Symbol.dispose](),
  };
}

/** The weight of each position in the mean loss: 0 where nothing determines the next token. */
function determinedWeights(batch: readonly RecallPrompt[]): Float32Array<ArrayBuffer> {
  const count = batch.reduce((sum, { determined }) => sum + determined.length, 0);
  return Float32Array.from(
    batch.flatMap(({ tokens, determined }) => {
      const weights = new Array<number>(tokens.length).fill(0);
      for (const position of determined) weights[position] = 1 / count;
      return weights;
    }),
  );
}
