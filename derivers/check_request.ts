/**
 * Whether a scalar can be derived with the configuration that it was asked with.
 * Each check throws a {@linkcode RequestError}; its code is one of
 *
 * | code | the message names |
 * |---|---|
 * | `malformed_request` | the file, and each field with its value |
 * | `prompt_empty`, `prompt_too_long` | the limit |
 * | `token_out_of_range` | the token |
 * | `target_tokens_missing`, `distractor_tokens_not_allowed` | the field |
 * | `not_one_token` | the string and its tokens |
 * | `gradients_without_objective`, `backward_not_defined` | the scalar |
 * | `scalar_repeated` | the scalar |
 * | `no_such_autoencoder` | the scalar, location or node type, and the layer |
 * | `generic_name_with_two_autoencoders` | the scalar, location or node type |
 * | `two_autoencoders_of_one_node_type` | both autoencoders |
 * | `trace_config_missing`, `node_index_missing`, `fake_grad_index_missing`, `layer_indices_missing` | the scalar and the field |
 * | `wrong_layer_indices` | the scalar and the field |
 * | `invalid_trace` | the field |
 * | `no_such_layer` | the layer |
 * | `wrong_number_of_indices` | the location, node type or scalar |
 * | `index_out_of_range` | the index |
 * | `indices_not_integers`, `node_is_no_activation` | the node type |
 *
 * @module
 */

import { RequestError } from "../engine/errors.ts";
import type { ModelFacts } from "./facts.ts";
import type { ResolvedDstConfig } from "./request.ts";

/**
 * Checks that a scalar is asked for only once.
 *
 * @param earlier The scalars of the same sequence that stand before it.
 * @throws {RequestError} `scalar_repeated`.
 */
export function checkNotRepeated(dst: string, earlier: readonly string[]): void {
  if (!earlier.includes(dst)) return;
  throw new RequestError(
    "scalar_repeated",
    `Cannot derive "${dst}" twice for one sequence: ask for it once`,
  );
}

/**
 * Checks that the gradients that something needs can be had.
 *
 * @param name The scalar or location that needs them.
 * @param options `needsGradients`; `hasObjective`: whether there is a loss or a trace.
 * @throws {RequestError} `gradients_without_objective`.
 */
export function checkObjective(
  name: string,
  { needsGradients, hasObjective }: { needsGradients: boolean; hasObjective: boolean },
): void {
  if (!needsGradients || hasObjective) return;
  throw new RequestError(
    "gradients_without_objective",
    `Cannot compute "${name}" as it needs a backward pass: ` +
      "the sequence must have a lossFnConfig or a traceConfig",
  );
}

/**
 * Checks that a scalar of which the backward value is asked has one.
 *
 * @throws {RequestError} `backward_not_defined`.
 */
export function checkBackward(
  dst: string,
  options: { deriveGradients: boolean; hasBackwardValue: boolean },
): void {
  if (!options.deriveGradients || options.hasBackwardValue) return;
  throw new RequestError(
    "backward_not_defined",
    `Cannot derive "${dst}" with deriveGradients: it has no backward value`,
  );
}

const codeOfMissing = {
  traceConfig: "trace_config_missing",
  nodeIndexForAttribution: "node_index_missing",
  activationIndexForFakeGrad: "fake_grad_index_missing",
  layerIndices: "layer_indices_missing",
} as const;

/**
 * A field of the configuration without which the scalar cannot be derived.
 *
 * @throws {RequestError} `trace_config_missing`, `node_index_missing`,
 * `fake_grad_index_missing` or `layer_indices_missing`.
 */
export function requireField<Field extends keyof typeof codeOfMissing>(
  dst: string,
  config: ResolvedDstConfig,
  field: Field,
): NonNullable<ResolvedDstConfig[Field]> {
  const value = config[field];
  if (value != null) return value;
  throw new RequestError(
    codeOfMissing[field],
    `Cannot derive "${dst}" without ${field}: current value is null`,
  );
}

/**
 * The layers that are asked for, all for `null`.
 *
 * @throws {RequestError} `no_such_layer` naming the layer.
 */
export function checkLayers(
  dst: string,
  layerIndices: readonly number[] | null,
  { nLayers }: Pick<ModelFacts, "nLayers">,
): number[] {
  if (layerIndices === null) return Array.from({ length: nLayers }, (_, layer) => layer);
  const wrong = layerIndices.find((layer) => layer < 0 || layer >= nLayers);
  if (wrong !== undefined) {
    throw new RequestError(
      "no_such_layer",
      `Cannot derive "${dst}" in layer ${wrong}: layers must be from 0 to ${nLayers - 1}`,
    );
  }
  return [...new Set(layerIndices)].sort((a, b) => a - b);
}

/**
 * The only layer, for scalars that are derived in one layer at a time.
 *
 * @param config Must have just one layer index, or `null` if that is `allowed`.
 * @param options `layer`: the layer it must be, any if left out. `nullMeans`: the
 * layer that `null` stands for, an error if left out.
 * @throws {RequestError} `layer_indices_missing`, `wrong_layer_indices` or `no_such_layer`.
 */
export function checkOnlyLayer(
  dst: string,
  config: ResolvedDstConfig,
  { nLayers, layer, nullMeans }: { nLayers: number; layer?: number; nullMeans?: number },
): number {
  if (config.layerIndices === null && nullMeans !== undefined) return nullMeans;
  const layers = checkLayers(dst, requireField(dst, config, "layerIndices"), { nLayers });
  const [only] = layers;
  if (only !== undefined && layers.length === 1 && (layer === undefined || only === layer)) {
    return only;
  }
  throw new RequestError(
    "wrong_layer_indices",
    `Cannot derive "${dst}" with layerIndices ${JSON.stringify(config.layerIndices)}: ` +
      `it must be ${layer === undefined ? "one layer" : `[${layer}]`}`,
  );
}
