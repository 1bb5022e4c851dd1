/**
 * Affine maps of rows.
 *
 * @module
 */

import { ShapeError } from "../../errors.ts";
import { expectShape } from "../launch.ts";
import { type Context, type Op, run } from "../op.ts";
import { sizeOf, type Tensor } from "../tensor.ts";
import { filled, map } from "./map.ts";
import { matmul } from "./matmul.ts";
import { sumColumns } from "./reduce.ts";
import { padded, sliced } from "./slice.ts";

interface Attributes {
  /** Whether the weight is [out, in] instead of [in, out]. */
  readonly transposed: boolean;
  /** The slice of the weight's outputs that is computed. */
  readonly columns: { readonly start: number; readonly count: number };
  readonly alpha: number;
  /** Shape of the result. */
  readonly shape: readonly number[];
}

type LinearInputs = [
  x: Tensor,
  w: Tensor,
  bias: Tensor | undefined,
  addend: Tensor | undefined,
];

function product(
  cx: Context,
  [x, w, bias, addend]: LinearInputs,
  { transposed, columns: { start, count }, alpha, shape, gelu = false }: Attributes & {
    gelu?: boolean;
  },
): Tensor {
  const k = transposed ? w.width : w.rows;
  const y = matmul(cx, {
    layout: transposed ? "NT" : "NN",
    m: x.size / k,
    n: count,
    k,
    a: x.view({ shape: [x.size / k, k] }),
    b: w,
    bOffset: transposed ? start * k : start,
    bias,
    biasOffset: start,
    alpha,
    gelu,
    addend,
  });
  return y.view({ shape });
}

const linearOp: Op<LinearInputs, Attributes> = {
  name: "linear",
  forward: product,
  // y = alpha (x W + b) + c:  dx = alpha dy Wᵀ,  dW = alpha xᵀ dy,  db = alpha Σ dy,  dc = dy
  vjp(cx, { inputs: [x, w, bias], attributes }, dy, [xWanted, wWanted, biasWanted]) {
    const { transposed, columns: { start, count }, alpha } = attributes;
    const k = transposed ? w.width : w.rows;
    const m = x.size / k;
    const dyRows = dy.view({ shape: [m, count] });
    const dx = (before: Tensor | undefined) =>
      matmul(cx, {
        layout: transposed ? "NN" : "NT",
        m,
        n: k,
        k: count,
        a: dy.view({ shape: [m, count] }),
        b: w,
        bOffset: transposed ? start * k : start,
        alpha,
        addend: before,
      }).view({ shape: x.shape });
    const dw = () => {
      const whole = count === (transposed ? w.rows : w.width);
      const out = whole ? cx.arena.tensor(w.shape, "gradient of w") : filled(cx, w.shape, 0);
      const xRows = x.view({ shape: [m, k] });
      return matmul(
        cx,
        transposed
          ? {
            layout: "TN",
            m: count,
            n: k,
            k: m,
            a: dyRows,
            b: xRows,
            alpha,
            out,
            cOffset: start * k,
          }
          : { layout: "TN", m: k, n: count, k: m, a: xRows, b: dyRows, alpha, out, cOffset: start },
      );
    };
    const db = () => {
      const sum = sumColumns(cx, alpha === 1 ? dyRows : map(cx, "scale", { a: dyRows, alpha }));
      return padded(cx, sum, { size: bias!.size, start });
    };
    return [
      xWanted ? dx : undefined,
      wWanted ? dw() : undefined,
      biasWanted ? db() : undefined,
      dy,
    ];
  },
  // ty = alpha (tx W + x tW + tb) + tc
  jvp(cx, { inputs: [x, w], attributes }, [tx, tw, tb, tc]) {
    const terms: Tensor[] = [];
    if (tx !== undefined) terms.push(product(cx, [tx, w, undefined, undefined], attributes));
    if (tw !== undefined) terms.push(product(cx, [x, tw, undefined, undefined], attributes));
    if (tb !== undefined) {
      const { columns: { start, count }, alpha, shape } = attributes;
      const slice = sliced(cx, tb, { start, size: count });
      const spread = map(cx, "add", {
        a: filled(cx, [sizeOf(shape) / count, count], 0),
        b: slice,
        broadcast: "perColumn",
        alpha,
      });
      terms.push(spread.view({ shape }));
    }
    if (tc !== undefined) terms.push(tc.view({ shape: attributes.shape }));
    return terms.reduce((a, b) => map(cx, "add", { a, b }));
  },
};

/** Options of {@linkcode linear}. */
export interface LinearOptions {
  /** Weight: [in, out], or [out, in] if `transposed`. */
  readonly w: Tensor;
  /** Added to each row: [out]. */
  readonly bias?: Tensor | undefined;
  /** Whether the weight is [out, in]. */
  readonly transposed?: boolean;
  /** Compute only these outputs. */
  readonly columns?: { readonly start: number; readonly count: number };
  /** Factor of the whole result. */
  readonly alpha?: number;
  /** Added last; of the result's shape. */
  readonly addend?: Tensor | undefined;
  /** Shape of the result, instead of x's with `out` in the place of `in`. */
  readonly shape?: readonly number[];
}

/**
 * `alpha · (x W + b) + addend` for each row of x: [.., in] to [.., out]. Summed in f32 over
 * the inputs in order, so a row's result does not depend on the rows beside it.
 *
 * @throws {ShapeError} if the last dimensions of `x` do not fit the weight.
 */
export function linear(context: Context, x: Tensor, options: LinearOptions): Tensor {
  return run(context, linearOp, callOf(x, options));
}

function callOf(x: Tensor, options: LinearOptions) {
  const { w, bias, transposed = false, alpha = 1, addend } = options;
  const inputs = transposed ? w.width : w.rows;
  const outputs = transposed ? w.rows : w.width;
  const columns = options.columns ?? { start: 0, count: outputs };
  if (w.shape.length !== 2 || x.size % inputs !== 0) {
    throw new ShapeError(
      `Cannot multiply "${x.label}" by "${w.label}" as inner dimensions must be equal: current ` +
        `shapes are [${x.shape}] and [${w.shape}]`,
    );
  }
  const shape = options.shape ?? [x.size / inputs, columns.count];
  if (addend !== undefined) expectShape("linear", addend, { argument: "addend", shape });
  return {
    inputs: [x, w, bias, addend] as LinearInputs,
    attributes: { transposed, columns, alpha, shape },
  };
}

/**
 * An affine map `x W + b` that nobody has computed: the op that takes it says what follows,
 * and computes both in one kernel.
 */
export interface Affine {
  readonly x: Tensor;
  /** Weight: [in, out]. */
  readonly w: Tensor;
  /** Added to each row: [out]. */
  readonly bias: Tensor;
}

/** `gelu(x W + b)` in one kernel. Not recorded, as `x W + b` is not kept for a gradient. */
export function geluOfAffine(context: Context, { x, ...options }: Affine): Tensor {
  const { inputs, attributes } = callOf(x, options);
  return product(context, inputs, { ...attributes, gelu: true });
}
