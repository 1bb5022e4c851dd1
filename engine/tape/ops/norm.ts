/**
 * Layer norm in two ops, so that its scale is an activation that can be read,
 * replaced or detached.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { type Kernel, kernelFamily } from "../../gpu/kernel.ts";
import type { Block } from "../../gpu/pool.ts";
import { expectShape, rowLaunch } from "../launch.ts";
import { type Context, type Op, run } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { filled, map } from "./map.ts";
import { sumColumns } from "./reduce.ts";

const family = kernelFamily({
  name: "norm",
  wgsl: wgsl.norm,
  bindings: {
    x: "read",
    scale: "read",
    gain: "read",
    third: "read",
    fourth: "read",
    out: "readWrite",
    outScale: "readWrite",
  },
  uniforms: { rows: "u32", width: "u32", eps: "f32", hasBefore: "u32" },
});
const scaleKernel = family("norm_scale", ["x", "out"]);
const scaleVjpKernel = family("norm_scale_vjp", ["x", "scale", "third", "fourth", "out"]);
const scaleJvpKernel = family("norm_scale_jvp", ["x", "scale", "third", "out"]);
const applyKernel = family("norm_apply", ["x", "scale", "gain", "third", "out"]);
const applyVjpKernel = family("norm_apply_vjp", [
  "x",
  "scale",
  "gain",
  "third",
  "fourth",
  "out",
  "outScale",
]);
const applyJvpKernel = family("norm_apply_jvp", ["x", "scale", "gain", "third", "fourth", "out"]);

/** Launches one of the kernels on the rows of x. */
function launch<Binding extends string>(
  { gpu }: Context,
  kernel: Kernel<Binding, "rows" | "width" | "eps" | "hasBefore">,
  { x, bind, eps = 0, hasBefore = false }: {
    x: Tensor;
    bind: Readonly<Record<Binding, Block>>;
    eps?: number;
    hasBefore?: boolean;
  },
): void {
  const { rows, width } = x;
  const laid = rowLaunch(gpu, kernel, { rows, width, passes: 3 });
  gpu.dispatch(laid.kernel, {
    bind,
    uniforms: { rows, width, eps, hasBefore: Number(hasBefore) },
    workgroups: laid.workgroups,
  });
}

const normScaleOp: Op<[Tensor], { eps: number }> = {
  name: "normScale",
  forward(cx, [x], { eps }) {
    const out = cx.arena.tensor([x.rows, 1], "layer norm scale");
    launch(cx, scaleKernel, {
      x,
      bind: { x: x.block, out: out.block },
      eps,
    });
    return out;
  },
  // ds/dx = (x - mean) / (C s)
  vjp(cx, { inputs: [x], output: scale }, ds) {
    return [(before) => {
      const dx = cx.arena.tensor(x.shape, "gradient of x");
      launch(cx, scaleVjpKernel, {
        x,
        bind: {
          x: x.block,
          scale: scale.block,
          third: ds.block,
          fourth: (before ?? x).block,
          out: dx.block,
        },
        hasBefore: before !== undefined,
      });
      return dx;
    }];
  },
  jvp(cx, { inputs: [x], output: scale }, [tx]) {
    const ts = cx.arena.tensor(scale.shape, "tangent of the scale");
    launch(cx, scaleJvpKernel, {
      x,
      bind: { x: x.block, scale: scale.block, third: tx!.block, out: ts.block },
    });
    return ts;
  },
};

/**
 * The layer norm scale of each row, `s = √(mean((x − mean)²) + eps)`: [N, C] to
 * [N, 1]. Two passes in f32.
 */
export function normScale(context: Context, x: Tensor, eps: number): Tensor {
  return run(context, normScaleOp, { inputs: [x], attributes: { eps } });
}

const normApplyOp: Op<[Tensor, Tensor, Tensor, Tensor], null> = {
  name: "normApply",
  forward(cx, [x, scale, gain, bias]) {
    const out = cx.arena.tensor(x.shape, "layer norm");
    launch(cx, applyKernel, {
      x,
      bind: {
        x: x.block,
        scale: scale.block,
        gain: gain.block,
        third: bias.block,
        out: out.block,
      },
    });
    return out;
  },
  // With g = dy gain:  dx = (g - mean(g)) / s,  ds = -sum(g (x - mean)) / s²,
  // dgain = sum over rows of dy (x - mean) / s,  dbias = sum over rows of dy
  vjp(cx, { inputs: [x, scale, gain] }, dy, [xWanted, scaleWanted, gainWanted, biasWanted]) {
    const gradientOfScale = () => cx.arena.tensor(scale.shape, "gradient of the scale");
    const ds = scaleWanted ? gradientOfScale() : undefined;
    const dxAndDs = (before: Tensor | undefined) => {
      const dx = cx.arena.tensor(x.shape, "gradient of x");
      launch(cx, applyVjpKernel, {
        x,
        bind: {
          x: x.block,
          scale: scale.block,
          gain: gain.block,
          third: dy.block,
          fourth: (before ?? x).block,
          out: dx.block,
          outScale: (ds ?? gradientOfScale()).block,
        },
        hasBefore: before !== undefined,
      });
      return dx;
    };
    if (!xWanted && scaleWanted) dxAndDs(undefined);
    const dGain = () => {
      const ones = filled(cx, gain.shape, 1);
      const zeros = filled(cx, gain.shape, 0);
      const centred = normApplyOp.forward(cx, [x, scale, ones, zeros], null);
      return sumColumns(cx, map(cx, "mul", { a: centred, b: dy }));
    };
    return [
      xWanted ? dxAndDs : undefined,
      ds,
      gainWanted ? dGain() : undefined,
      biasWanted ? sumColumns(cx, dy) : undefined,
    ];
  },
  // ty = gain ((tx - mean(tx)) / s - (x - mean) ts / s²) + tgain (x - mean) / s + tbias
  jvp(cx, { inputs: [x, scale, gain, bias] }, [tx, ts, tGain, tBias]) {
    if (tGain !== undefined || tBias !== undefined) {
      throw new Error("Internal error: normApply() has no tangent for gain and bias");
    }
    const ty = cx.arena.tensor(x.shape, "tangent of the layer norm");
    launch(cx, applyJvpKernel, {
      x,
      bind: {
        x: x.block,
        scale: scale.block,
        gain: gain.block,
        third: (tx ?? filled(cx, x.shape, 0)).block,
        fourth: (ts ?? filled(cx, scale.shape, 0)).block,
        out: ty.block,
      },
    });
    return bias && ty;
  },
};

/**
 * `(x − mean) / scale · gain + bias` for each row (Ba et al. 2016): x [N, C],
 * scale [N, 1], gain and bias [C].
 */
export function normApply(
  context: Context,
  x: Tensor,
  { scale, gain, bias }: { scale: Tensor; gain: Tensor; bias: Tensor },
): Tensor {
  expectShape("normApply", gain, { argument: "gain", shape: [x.width] });
  expectShape("normApply", bias, { argument: "bias", shape: [x.width] });
  if (scale.size !== x.rows) {
    expectShape("normApply", scale, { argument: "scale", shape: [x.rows, 1] });
  }
  return run(context, normApplyOp, { inputs: [x, scale, gain, bias], attributes: null });
}
