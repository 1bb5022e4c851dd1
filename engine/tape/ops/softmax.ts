/**
 * Log-softmax over the vocabulary, and cross entropy.
 *
 * @module
 */

import { wgsl } from "../../../shaders/mod.ts";
import { type Kernel, kernelFamily } from "../../gpu/kernel.ts";
import type { Block } from "../../gpu/pool.ts";
import { rowLaunch } from "../launch.ts";
import { type Context, type Op, run } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { map } from "./map.ts";
import { sumTo } from "./reduce.ts";

const family = kernelFamily({
  name: "softmax",
  wgsl: wgsl.softmax,
  bindings: { x: "read", y: "read", targets: "read", perRow: "read", out: "readWrite" },
  uniforms: { rows: "u32", width: "u32" },
});
const logSoftmaxKernel = family("log_softmax", ["x", "out"]);
const logSoftmaxVjpKernel = family("log_softmax_vjp", ["x", "y", "out"]);
const logSoftmaxJvpKernel = family("log_softmax_jvp", ["x", "y", "out"]);
const crossEntropyKernel = family("cross_entropy", ["x", "targets", "perRow", "out"]);
const crossEntropyVjpKernel = family("cross_entropy_vjp", [
  "x",
  "y",
  "targets",
  "perRow",
  "out",
]);

/** Launches one of the kernels on the rows of x. */
function launch<Binding extends string>(
  { gpu }: Context,
  kernel: Kernel<Binding, "rows" | "width">,
  { x, bind }: { x: Tensor; bind: Readonly<Record<Binding, Block>> },
): void {
  const { rows, width } = x;
  const laid = rowLaunch(gpu, kernel, { rows, width, passes: 3 });
  gpu.dispatch(laid.kernel, { bind, uniforms: { rows, width }, workgroups: laid.workgroups });
}

function jacobian(
  cx: Context,
  kernel: typeof logSoftmaxVjpKernel,
  { x, y }: { x: Tensor; y: Tensor },
): Tensor {
  const out = cx.arena.tensor(x.shape, "derivative of log softmax");
  launch(cx, kernel, {
    x,
    bind: { x: x.block, y: y.block, out: out.block },
  });
  return out;
}

const logSoftmaxOp: Op<[Tensor], null> = {
  name: "logSoftmax",
  forward(cx, [x]) {
    const out = cx.arena.tensor(x.shape, "log softmax");
    launch(cx, logSoftmaxKernel, {
      x,
      bind: { x: x.block, out: out.block },
    });
    return out;
  },
  // dx = dy - softmax(x) sum(dy)
  vjp: (cx, { output: y }, dy) => [jacobian(cx, logSoftmaxVjpKernel, { x: dy, y })],
  // ty = tx - sum(softmax(x) tx)
  jvp: (cx, { output: y }, [tx]) => jacobian(cx, logSoftmaxJvpKernel, { x: tx!, y }),
};

/** `x − log Σ exp(x)` for each row, with the row maximum taken off first: [N, V]. */
export function logSoftmax(context: Context, x: Tensor): Tensor {
  return run(context, logSoftmaxOp, { inputs: [x], attributes: null });
}

interface Targets {
  /** Token of each row: u32 [N]. */
  readonly targets: Tensor;
  /** Weight of each row: [N]. */
  readonly weights: Tensor;
}

function crossEntropyGradient(
  cx: Context,
  { logits, dy, targets, weights }: Targets & { logits: Tensor; dy: Tensor },
): Tensor {
  const out = cx.arena.tensor(logits.shape, "gradient of the logits");
  launch(cx, crossEntropyVjpKernel, {
    x: logits,
    bind: {
      x: logits.block,
      y: dy.block,
      targets: targets.block,
      perRow: weights.block,
      out: out.block,
    },
  });
  return out;
}

const crossEntropyOp: Op<[Tensor], Targets> = {
  name: "crossEntropy",
  forward(cx, [logits], { targets, weights }) {
    const perRow = cx.arena.tensor([logits.rows], "cross entropy of each row");
    launch(cx, crossEntropyKernel, {
      x: logits,
      bind: {
        x: logits.block,
        targets: targets.block,
        perRow: weights.block,
        out: perRow.block,
      },
    });
    return sumTo(cx, perRow, [1]);
  },
  // dz = w (softmax(z) - 1 at the target) dy
  vjp: (cx, { inputs: [logits], attributes }, dy) => [
    crossEntropyGradient(cx, { logits, dy, ...attributes }),
  ],
  jvp(cx, { inputs: [logits], attributes }, [tz]) {
    const one = cx.arena.upload(new Float32Array([1]), [1], "one");
    const gradient = crossEntropyGradient(cx, { logits, dy: one, ...attributes });
    return sumTo(cx, map(cx, "mul", { a: gradient, b: tz! }), [1]);
  },
};

/** `Σ_n w_n · −log softmax(logits)[n, target_n]`, in nats: [N, V] to [1]. */
export function crossEntropy(context: Context, logits: Tensor, targets: Targets): Tensor {
  return run(context, crossEntropyOp, { inputs: [logits], attributes: targets });
}
