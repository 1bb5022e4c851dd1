/**
 * A loaded model, and its forward pass with hooks.
 *
 * @module
 */

import { RequestError } from "../errors.ts";
import { type Gpu, openGpu } from "../gpu/gpu.ts";
import { apart } from "../tape/apart.ts";
import type { Context } from "../tape/op.ts";
import { pack, type Packing } from "../tape/packing.ts";
import { type Hook, type SlotKey, Slots } from "../tape/slots.ts";
import type { Tape } from "../tape/tape.ts";
import { Arena, type Tensor } from "../tape/tensor.ts";
import { type Autoencoder, loadAutoencoder, restrictLayers } from "./autoencoder.ts";
import { checkTokens } from "./check_tokens.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { type ModelConfig, parseModelConfig } from "./config.ts";
import { folderOf, readJson, type SourceFolder, subfolder } from "./source.ts";
import { loadTokenizer, type Tokenizer } from "./tokenizer.ts";
import { transformer } from "./transformer.ts";
import { loadWeights, type Weights } from "./weights.ts";

/** Where a model is: a folder, its URL, or files from anywhere. */
export type ModelSource = string | URL | SourceFolder;

/** How to load a model. */
export interface LoadModelOptions {
  /** The GPU to load it on; one is opened, and disposed of with the model, if absent. */
  readonly gpu?: Gpu;
}

/** How to run {@linkcode Model.forward}. */
export interface ForwardOptions {
  /** Functions at slots. */
  readonly hooks?: readonly Hook[];
  /** Records the ops that depend on what it watches. */
  readonly tape?: Tape;
  /** Slots whose activation is kept. */
  readonly save?: ReadonlySet<SlotKey>;
  /** Slots whose gradient is wanted; needs a tape. */
  readonly gradients?: ReadonlySet<SlotKey>;
  /** Autoencoders spliced in where their input is. */
  readonly autoencoders?: readonly Autoencoder[];
  /**
   * Which logits to compute: of all positions, the default; of each sequence's last
   * position only, [B, V]; none.
   */
  readonly logits?: "all" | "last" | "none";
  /** Owns what the run makes; a new one if absent. That of a rehearsal rehearses the run. */
  readonly arena?: Arena;
}

/** What a forward pass gives. Dispose of it to give its memory back. */
export interface ForwardRun extends Disposable {
  /** [N, V], N positions of all sequences; [B, V] of the last ones; throws if not computed. */
  readonly logits: Tensor;
  /** The output of the final layer norm, which the unembedding reads: [N, d_model]. */
  readonly final: Tensor;
  /** Where each sequence's rows are. */
  readonly packing: Packing;
  /** What the slots kept. */
  readonly slots: Slots;
  /** For further ops on the results. */
  readonly context: Context;
}

/** A GPT-2 family model on the GPU. */
export interface Model extends Disposable {
  /** Where it is. */
  readonly gpu: Gpu;
  /** As its configuration says, or its folder is called. */
  readonly name: string;
  /** Its sizes. */
  readonly config: ModelConfig;
  /** On the GPU. */
  readonly weights: Weights;
  /** Text to tokens and back. */
  readonly tokenizer: Tokenizer;
  /** Where it was loaded from. */
  readonly folder: SourceFolder;
  /** A tensor derived from the weights alone, computed at the first call and kept. */
  constant(cx: Context, made: { name: string; make: (cx: Context) => Tensor }): Tensor;
  /**
   * An autoencoder in `autoencoders/NAME` of the model's folder, or in a folder of
   * that path, loaded at the first call and kept.
   *
   * @param layers Those it is used in; `null` for all that it has.
   */
  autoencoder(name: string, layers: readonly number[] | null): Promise<Autoencoder>;
  /**
   * Runs sequences of tokens.
   *
   * @throws {RequestError} if a sequence is empty, longer than the context, or
   * has tokens that do not exist.
   */
  forward(
    tokens: readonly number[] | readonly (readonly number[])[],
    options?: ForwardOptions,
  ): ForwardRun;
}

/**
 * Loads a GPT-2 family model: `config.json`, `model.safetensors` (or shards with an
 * index) and `tokenizer.json`.
 *
 * @throws {GpuError} if there is no GPU adapter.
 * @throws {SafetensorsError} if weights are malformed, missing or misshapen.
 */
export async function loadModel(
  source: ModelSource,
  options: LoadModelOptions = {},
): Promise<Model> {
  const folder = typeof source === "string" || source instanceof URL ? folderOf(source) : source;
  const configSource = await folder.open("config.json");
  if (configSource === undefined) {
    throw new Error(`Cannot load model "${folder.name}": it must have "config.json"`);
  }
  const config = parseModelConfig(await readJson(configSource), configSource.name);
  const tokenizer = await loadTokenizer(folder);
  const checkpoint = await openCheckpoint(folder);
  const gpu = options.gpu ?? await openGpu();
  const arena = new Arena(gpu, { constant: true });
  try {
    const weights = await loadWeights(arena, checkpoint, config);
    return createModel({ gpu, arena, config, weights, tokenizer, folder }, {
      ownsGpu: options.gpu === undefined,
    });
  } catch (error) {
    arena[Symbol.dispose]();
    if (options.gpu === undefined) gpu[Symbol.dispose]();
    throw error;
  }
}

/** A model from its parts; `loadModel` finds them in a folder. */
export function createModel(
  parts: {
    gpu: Gpu;
    /** Owns the weights. */
    arena: Arena;
    config: ModelConfig;
    weights: Weights;
    tokenizer: Tokenizer;
    folder: SourceFolder;
  },
  { ownsGpu }: { ownsGpu: boolean },
): Model {
  const { gpu, arena: weightsArena, config, weights, tokenizer, folder } = parts;
  const autoencoders = new Map<string, Promise<Autoencoder>>();
  return {
    gpu,
    name: config.name ?? folder.name.replace(/\/+$/, "").split("/").at(-1)!,
    config,
    weights,
    tokenizer,
    folder,
    forward: (tokens, options = {}) => forward({ gpu, config, weights }, tokens, options),
    constant(cx, { name, make }) {
      return weightsArena.once(
        cx.gpu,
        name,
        (arena) => apart({ gpu: arena.gpu, arena }, (at): [Tensor] => [make(at)])[0],
      );
    },
    async autoencoder(name, layers) {
      let whole = autoencoders.get(name);
      if (whole === undefined) {
        whole = openAutoencoder(folder, name).then((opened) =>
          loadAutoencoder(weightsArena, opened, { config })
        );
        autoencoders.set(name, whole);
        whole.catch(() => autoencoders.delete(name));
      }
      return restrictLayers(await whole, layers);
    },
    [Symbol.dispose]() {
      weightsArena[Symbol.dispose]();
      if (ownsGpu) gpu[Symbol.dispose]();
    },
  };
}

async function openAutoencoder(folder: SourceFolder, name: string): Promise<SourceFolder> {
  const inside = subfolder(folder, `autoencoders/${name}`);
  try {
    if (await inside.open("config.json") !== undefined) return inside;
  } catch {
    // A path that leads out of the model's folder: tried by itself below.
  }
  const outside = folderOf(name);
  if (await outside.open("config.json") !== undefined) return outside;
  throw new RequestError(
    "no_such_autoencoder",
    `Cannot find autoencoder "${name}": neither "${inside.name}" nor "${outside.name}" has a ` +
      '"config.json"',
  );
}

function forward(
  model: { gpu: Gpu; config: ModelConfig; weights: Weights },
  tokens: readonly number[] | readonly (readonly number[])[],
  options: ForwardOptions,
): ForwardRun {
  const sequences =
    (typeof tokens[0] === "number" || tokens.length === 0
      ? [tokens]
      : tokens) as readonly (readonly number[])[];
  sequences.forEach((sequence) => checkTokens(sequence, model.config));
  const arena = options.arena ?? new Arena(model.gpu);
  const { gpu } = arena;
  const packing = pack(arena, sequences.map(({ length }) => length));
  const context: Context = { gpu, arena, tape: options.tape };
  const slots = new Slots({
    packing,
    nLayers: model.config.nLayers,
    hooks: options.hooks ?? [],
    save: options.save ?? new Set(),
    gradients: options.gradients ?? new Set(),
  });
  const ids = new Uint32Array(
    sequences.flatMap((sequence) => sequence.flatMap((token, position) => [token, position])),
  );
  const { final, logits } = transformer(context, model, {
    ids: arena.upload(ids, [packing.nRows, 2], "tokens and positions"),
    packing,
    slots,
    autoencoders: options.autoencoders ?? [],
    logitRows: logitRows(arena, packing, options.logits ?? "all"),
  });
  slots.checkFired(["forward", "after"]);
  return {
    get logits() {
      if (logits !== undefined) return logits;
      throw new TypeError('Cannot read logits that were not computed: ask for logits "all"');
    },
    final,
    packing,
    slots,
    context,
    [Symbol.dispose]() {
      if (options.arena === undefined) arena[Symbol.dispose]();
    },
  };
}

function logitRows(
  arena: Arena,
  { starts, lengths }: Packing,
  which: "all" | "last" | "none",
): Tensor | null | undefined {
  if (which !== "last") return which === "all" ? undefined : null;
  const rows = new Uint32Array(starts.map((start, s) => start + lengths[s]! - 1));
  return arena.upload(rows, [rows.length], "last rows");
}
