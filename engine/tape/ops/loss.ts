/**
 * Losses on the logits of each sequence's last position.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { kernelFamily } from "../../gpu/kernel.ts";
import { outputGrid, withLanes } from "../launch.ts";
import { type Context, type Op, run } from "../op.ts";
import type { Tensor } from "../tensor.ts";

const family = kernelFamily({
  name: "loss",
  wgsl: wgsl.loss,
  bindings: {
    logits: "read",
    specs: "read",
    coefficients: "read",
    seeds: "read",
    out: "readWrite",
  },
  uniforms: { width: "u32", sequences: "u32", n: "u32" },
});
const lossKernel = family("loss", ["logits", "specs", "coefficients", "out"]);
const lossVjpKernel = family("loss_vjp", ["logits", "specs", "coefficients", "seeds", "out"]);
const lossJvpKernel = family("loss_jvp", ["logits", "specs", "coefficients", "seeds", "out"]);
const zerosKernel = family("zeros", ["out"]);

const kinds = ["linear", "probs", "zero"] as const;

/** The loss of one row of logits, as a weighted sum over the vocabulary. */
export interface RowLoss {
  /** Row of the logits. */
  readonly row: number;
  /**
   * `"linear"`: Σ c z. `"probs"`: Σ c softmax(z). `"zero"`: 0, whatever c is.
   */
  readonly kind: (typeof kinds)[number];
  /** c, one for each token of the vocabulary. */
  readonly coefficients: Float32Array;
}

interface Attributes {
  /** (row, kind) of each loss: u32 [B, 2]. */
  readonly specs: Tensor;
  /** [B, V]. */
  readonly coefficients: Tensor;
}

function bindingsOf({ specs, coefficients }: Attributes, logits: Tensor) {
  return { logits: logits.block, specs: specs.block, coefficients: coefficients.block };
}

const lossOp: Op<[Tensor], Attributes> = {
  name: "loss",
  forward(cx, [logits], attributes) {
    const { gpu, arena } = cx;
    const sequences = attributes.specs.rows;
    const out = arena.tensor([sequences], "losses");
    gpu.dispatch(withLanes(gpu, lossKernel, 4 * logits.width), {
      bind: { ...bindingsOf(attributes, logits), out: out.block },
      uniforms: { width: logits.width, sequences, n: 0 },
      workgroups: [sequences],
    });
    return out;
  },
  // linear: dz = dl c;  probs: dz = dl p (c - Σ c p), at each sequence's row
  vjp({ gpu, arena }, { inputs: [logits], attributes }, dl) {
    const out = arena.tensor(logits.shape, "gradient of the logits");
    const uniforms = {
      width: logits.width,
      sequences: attributes.specs.rows,
      n: logits.size,
    };
    gpu.dispatch(zerosKernel, {
      bind: { out: out.block },
      uniforms,
      workgroups: outputGrid(gpu, out.size),
    });
    gpu.dispatch(withLanes(gpu, lossVjpKernel, 4 * logits.width), {
      bind: { ...bindingsOf(attributes, logits), seeds: dl.block, out: out.block },
      uniforms,
      workgroups: [attributes.specs.rows],
    });
    return [out];
  },
  jvp({ gpu, arena }, { inputs: [logits], attributes }, [tz]) {
    const sequences = attributes.specs.rows;
    const out = arena.tensor([sequences], "tangents of the losses");
    gpu.dispatch(withLanes(gpu, lossJvpKernel, 4 * logits.width), {
      bind: { ...bindingsOf(attributes, logits), seeds: tz!.block, out: out.block },
      uniforms: { width: logits.width, sequences, n: 0 },
      workgroups: [sequences],
    });
    return out;
  },
};

/** One loss for each row given: logits [N, V] to [B]. */
export function rowLosses(context: Context, logits: Tensor, losses: readonly RowLoss[]): Tensor {
  const { arena } = context;
  const specs = new Uint32Array(2 * losses.length);
  const coefficients = new Float32Array(losses.length * logits.width);
  losses.forEach(({ row, kind, coefficients: c }, b) => {
    specs.set([row, kinds.indexOf(kind)], 2 * b);
    if (kind !== "zero") coefficients.set(c, b * logits.width);
  });
  return run(context, lossOp, {
    inputs: [logits],
    attributes: {
      specs: arena.upload(specs, [losses.length, 2], "rows of the losses"),
      coefficients: arena.upload(
        coefficients,
        [losses.length, logits.width],
        "coefficients of the losses",
      ),
    },
  });
}
