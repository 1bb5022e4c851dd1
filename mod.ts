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
 *   prompt: "ocean cloud paper shoe paint ocean",
 *   lossFnConfig: { name: "logit_diff", targetTokens: [" cloud"] },
 *   dsts: ["mlp_act_times_grad", "unflattened_attn_act_times_grad"],
 * });
 * for (const { node, value } of await run.scalars.topk(10)) console.log(node, value);
 * ```
 *
 * @module
 */

export * from "./engine/errors.ts";

// The GPU
export type { AdapterFacts, OpenGpuOptions } from "./engine/gpu/adapter.ts";
export type { CommandCounts } from "./engine/gpu/command_counter.ts";
export { Gpu, openGpu } from "./engine/gpu/gpu.ts";
export type { Access, Kernel } from "./engine/gpu/kernel.ts";
export type { Bound, Range } from "./engine/gpu/pipelines.ts";
export type { AcquireOptions, Block, MemoryUse, Texture } from "./engine/gpu/pool.ts";
export type { Dispatch, Recorder } from "./engine/gpu/recorder.ts";
export type { Rehearsal } from "./engine/gpu/rehearsal.ts";
export type { KernelTime } from "./engine/gpu/timing.ts";

// Tensors, ops, the tape, slots
export {
  type DimName,
  dimNames,
  type Location,
  type LocationName,
  locations,
  type PassType,
} from "./engine/tape/locations.ts";
export type {
  Context,
  Gradient,
  Gradients,
  Inputs,
  Op,
  PerInput,
  Recorded,
} from "./engine/tape/op.ts";
export * as ops from "./engine/tape/ops/mod.ts";
export type { Packing } from "./engine/tape/packing.ts";
export {
  type Hook,
  type HookFunction,
  type HookPoint,
  type SlotKey,
  slotKey,
  Slots,
} from "./engine/tape/slots.ts";
export { Tape } from "./engine/tape/tape.ts";
export { Arena, readTensors, Tensor } from "./engine/tape/tensor.ts";

// Models
export {
  type Autoencoder,
  type AutoencoderSite,
  autoencoderSites,
  type AutoencoderWeights,
  type LatentActivation,
} from "./engine/model/autoencoder.ts";
export type { ModelConfig } from "./engine/model/config.ts";
export {
  type ForwardOptions,
  type ForwardRun,
  loadModel,
  type LoadModelOptions,
  type Model,
  type ModelSource,
} from "./engine/model/model.ts";
export {
  type ByteSource,
  folderOf,
  memoryFolder,
  type SourceFolder,
} from "./engine/model/source.ts";
export { type TensorData, writeSafetensors } from "./engine/model/safetensors_write.ts";
export type { Tokenizer } from "./engine/model/tokenizer.ts";
export {
  type GlobalWeightName,
  globalWeights,
  type LayerWeightName,
  layerWeights,
  type WeightRow,
} from "./engine/model/weight_names.ts";
export type { Weights } from "./engine/model/weights.ts";

// Derived scalars
export {
  type DerivedRun,
  type DerivedSequence,
  type DeriveOptions,
  deriveScalars,
  type LayerDispatches,
  type RecordedSequence,
  type RunStats,
  type ScalarRequest,
} from "./derivers/derive.ts";
export type { NotComputable } from "./derivers/plan.ts";
export {
  type AutoencoderInput,
  type NodeKind,
  type NodeType,
  nodeTypes,
  type Place,
  places,
  type ScalarDimName,
} from "./derivers/nodes.ts";
export {
  type ActivationIndex,
  activationIndexSchema,
  type DeriveRequestInput,
  deriveRequestSchema,
  type DstConfig,
  dstConfigSchema,
  type DstRequest,
  dstRequestSchema,
  type NodeIndex,
  type NodeIndexForAttribution,
  nodeIndexForAttributionSchema,
  nodeIndexSchema,
  type OneSequenceInput,
  oneTraceConfigSchema,
  type ResolvedDstConfig,
  type TraceConfig,
} from "./derivers/request.ts";
export type { AutoencoderChoice, AutoencoderFacts } from "./derivers/choose_autoencoder.ts";
export type { ModelFacts, SequenceFacts } from "./derivers/facts.ts";
export type { Input } from "./derivers/inputs.ts";
export type { Rule } from "./derivers/rule.ts";
export type { RowsOnDemand } from "./derivers/rows_on_demand.ts";
export {
  type HostTensor,
  type ScalarEntry,
  type ScalarKey,
  type ScalarSelection,
  ScalarStore,
  type ScalarTensor,
  type TopkOptions,
  type TopScalar,
} from "./derivers/scalar_store.ts";
export type { Asked, SequenceRun, Site, SlotRef, Where } from "./derivers/site.ts";
export { type ScalarName, scalarNames, type ScalarRow, scalarTable } from "./derivers/table.ts";
export {
  createGroups,
  type Group,
  type GroupId,
  groupIds,
  type Groups,
  type GroupStore,
  topNodes,
  type TopNodesOptions,
  unionOfNodes,
  valuesAtNodes,
} from "./derivers/groups.ts";
export {
  deriveMultiPass,
  type InputOfScalar,
  inputsOf,
  type InputSource,
  inputSources,
  type MultiPassScalar,
  type TwoPasses,
} from "./derivers/multi_pass.ts";
export {
  isDefinedFor,
  type PostprocessorName,
  postprocessorNames,
  postprocessorNeeds,
  residualReads,
  residualWrites,
  tokenPairAttributions,
  tokenReads,
  tokenWrites,
} from "./derivers/postprocess.ts";
export {
  type HostStore,
  storeFromJson,
  type StoreJson,
  storeJsonSchema,
  storesFromSafetensors,
  storesToSafetensors,
  storeToJson,
} from "./derivers/serialise.ts";
export {
  maxAbsOf,
  maxOf,
  type NestedSum,
  nestedSum,
  numelOf,
  numNonzeroOf,
  type ScalarSum,
  sumAbsOf,
  sumOf,
  type SumOptions,
} from "./derivers/sums.ts";
export {
  type TokenScore,
  type TokenScores,
  topTokens,
  topTokensOfValues,
} from "./derivers/top_tokens.ts";
