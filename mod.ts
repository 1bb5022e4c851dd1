/**
 * hooktape: a compute engine for looking inside transformers.
 *
 * Loads a GPT-2 family model from safetensors, runs it forward and backward on its
 * own WebGPU kernels with a slot at every named activation, and derives from what
 * the slots kept how much each neuron, head, latent or token wrote, mattered or
 * attributed to a chosen direction.
 *
 * @example
 * ```ts
 * import { deriveScalars, loadModel } from "./mod.ts";
 *
 * using model = await loadModel("models/recall");
 * using run = await deriveScalars(model, {
 *   prompt: "river stone cloud river",
 *   lossFnConfig: { name: "logit_diff", targetTokens: [" stone"] },
 *   dsts: ["mlp_act_times_grad", "unflattened_attn_act_times_grad"],
 * });
 * for (const { node, value } of await run.scalars.topk(10)) console.log(node, value);
 * ```
 *
 * @module
 */

export * from "./engine/errors.ts";
export { type AdapterFacts, type OpenGpuOptions } from "./engine/gpu/adapter.ts";
export { Gpu, openGpu } from "./engine/gpu/gpu.ts";
export {
  type ForwardOptions,
  type ForwardRun,
  loadModel,
  type Model,
} from "./engine/model/model.ts";
export { type LocationName, locations } from "./engine/tape/locations.ts";
export { type Hook, slotKey } from "./engine/tape/slots.ts";
export { Tape } from "./engine/tape/tape.ts";
export { Arena, Tensor } from "./engine/tape/tensor.ts";
export {
  type DerivedRun,
  type DerivedSequence,
  deriveScalars,
  type RunStats,
} from "./derivers/derive.ts";
export { type ScalarName, scalarNames, scalarTable } from "./derivers/table.ts";
