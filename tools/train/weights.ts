/**
 * The weights of a model that is to be trained: their first values, and their
 * names in a checkpoint.
 *
 * @module
 */

import type { ModelConfig } from "../../engine/model/config.ts";
import {
  globalWeightNames,
  globalWeights,
  layerWeightNames,
  layerWeights,
  type WeightRow,
} from "../../engine/model/weight_names.ts";
import type { Weights } from "../../engine/model/weights.ts";
import { type Arena, readTensors, sizeOf, type Tensor } from "../../engine/tape/tensor.ts";
import type { TensorData } from "../../engine/model/safetensors_write.ts";
import type { Random } from "../../tests/support/random.ts";

/** Deviation of the weights at the start, as in GPT-2. */
const initialDeviation = 0.02;

/** Weights by our names, and each once by its name in a checkpoint. */
export interface TrainableWeights {
  readonly weights: Weights;
  readonly byFileName: ReadonlyMap<string, Tensor>;
}

/**
 * First weights as GPT-2's (Radford et al. 2019): normal with deviation 0.02, what
 * writes to the residual stream scaled by 1/√(2 nLayers); gains 1, biases 0.
 */
export function initialWeights(
  arena: Arena,
  config: ModelConfig,
  { random }: { random: Random },
): TrainableWeights {
  const byFileName = new Map<string, Tensor>();
  const make = (
    name: string,
    { fileName, prefix }: { fileName: string; prefix: string },
    row: WeightRow,
  ) => {
    const shape = row.shape(config);
    const values = new Float32Array(sizeOf(shape));
    if (name.endsWith(".gain")) values.fill(1);
    else if (shape.length === 2) {
      const writes = name === "attn.wO" || name === "mlp.wOut";
      const deviation = initialDeviation / (writes ? Math.sqrt(2 * config.nLayers) : 1);
      for (let i = 0; i < values.length; i++) values[i] = deviation * random.normal();
    }
    const tensor = arena.upload(values, shape, prefix + fileName);
    byFileName.set(prefix + fileName, tensor);
    return tensor;
  };
  const global: Record<string, Tensor> = {};
  for (const name of globalWeightNames) {
    global[name] = name === "wU" && config.tiedUnembedding
      ? global.wE!
      : make(name, { fileName: globalWeights[name].fileName, prefix: "" }, globalWeights[name]);
  }
  const layers = Array.from(
    { length: config.nLayers },
    (_, layer) =>
      Object.fromEntries(layerWeightNames.map((name) => [
        name,
        make(
          name,
          { fileName: layerWeights[name].fileName, prefix: `h.${layer}.` },
          layerWeights[name],
        ),
      ])),
  );
  return { weights: { global, layers } as unknown as Weights, byFileName };
}

/** The values of all weights, for a checkpoint. */
export async function readWeights(
  { byFileName }: TrainableWeights,
): Promise<[string, TensorData][]> {
  const values = await readTensors([...byFileName.values()]);
  return [...byFileName].map(([name, { shape }], i) => [name, { shape, data: values[i]! }]);
}
