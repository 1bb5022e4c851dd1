/**
 * Ops that work element by element, where the second operand may be one value
 * for each column, for each row, or a single number.
 *
 * @module
 */

import { expectShape } from "../launch.ts";
import { type Context, type Op, run } from "../op.ts";
import { Tensor } from "../tensor.ts";
import { type Affine, geluOfAffine, linear } from "./linear.ts";
import { type Broadcast, filled, map } from "./map.ts";
import { sumColumns, sumRows, sumTo } from "./reduce.ts";

const addOp: Op<[Tensor, Tensor], { alpha: number; broadcast: Broadcast }> = {
  name: "add",
  forward: (cx, [a, b], { alpha, broadcast }) => map(cx, "add", { a, b, alpha, broadcast }),
  // y = a + alpha b:  da = dy,  db = alpha dy, summed over what b was spread over
  vjp: (cx, { inputs: [, b], attributes: { alpha, broadcast } }, dy, [, bWanted]) => [
    dy,
    bWanted
      ? unspread(cx, alpha === 1 ? dy : map(cx, "scale", { a: dy, alpha }), {
        broadcast,
        like: b,
      })
      : undefined,
  ],
  jvp: (cx, { output, attributes: { alpha, broadcast } }, [ta, tb]) => {
    if (tb === undefined) return ta!.view();
    const a = ta ?? filled(cx, output.shape, 0);
    return map(cx, "add", { a, b: tb, alpha, broadcast });
  },
};

/**
 * `a + b`; b of a's shape, or spread over a's columns or rows, or an affine map, which is
 * then computed in the same kernel.
 */
export function add(
  context: Context,
  a: Tensor,
  b: Tensor | Affine,
  { broadcast = "same" }: { broadcast?: Broadcast } = {},
): Tensor {
  if (!(b instanceof Tensor)) return linear(context, b.x, { ...b, addend: a });
  expectSpread("add", { a, b, broadcast });
  return run(context, addOp, { inputs: [a, b], attributes: { alpha: 1, broadcast } });
}

/** `a - b`; b of a's shape, or spread over a's columns or rows. */
export function sub(
  context: Context,
  a: Tensor,
  b: Tensor,
  { broadcast = "same" }: { broadcast?: Broadcast } = {},
): Tensor {
  expectSpread("sub", { a, b, broadcast });
  return run(context, addOp, { inputs: [a, b], attributes: { alpha: -1, broadcast } });
}

function expectSpread(
  operation: string,
  { a, b, broadcast }: { a: Tensor; b: Tensor; broadcast: Broadcast },
): void {
  if (broadcast === "same") return expectShape(operation, b, { argument: "b", shape: a.shape });
  const size = { perColumn: a.width, perRow: a.rows, single: 1 }[broadcast];
  if (b.size !== size) expectShape(operation, b, { argument: "b", shape: [size] });
}

const mulOp: Op<[Tensor, Tensor], { broadcast: Broadcast }> = {
  name: "mul",
  forward: (cx, [a, b], { broadcast }) => map(cx, "mul", { a, b, broadcast }),
  // y = a b:  da = dy b,  db = dy a, summed over what b was spread over
  vjp: (cx, { inputs: [a, b], attributes: { broadcast } }, dy, [aWanted, bWanted]) => [
    aWanted ? map(cx, "mul", { a: dy, b, broadcast }) : undefined,
    bWanted ? unspread(cx, map(cx, "mul", { a: dy, b: a }), { broadcast, like: b }) : undefined,
  ],
  jvp: (cx, { inputs: [a, b], attributes: { broadcast } }, [ta, tb]) => {
    const fromA = ta && map(cx, "mul", { a: ta, b, broadcast });
    const fromB = tb && map(cx, "mul", { a, b: tb, broadcast });
    return fromA && fromB ? map(cx, "add", { a: fromA, b: fromB }) : (fromA ?? fromB)!;
  },
};

function unspread(
  cx: Context,
  x: Tensor,
  { broadcast, like }: { broadcast: Broadcast; like: Tensor },
): Tensor {
  switch (broadcast) {
    case "same":
      return x;
    case "perColumn":
      return sumColumns(cx, x).view({ shape: like.shape });
    case "perRow":
      return sumRows(cx, x).view({ shape: like.shape });
    case "single":
      return sumTo(cx, x, []).view({ shape: like.shape });
  }
}

/** `a · b`; b of a's shape, or spread over a's columns or rows. */
export function mul(
  context: Context,
  a: Tensor,
  b: Tensor,
  { broadcast = "same" }: { broadcast?: Broadcast } = {},
): Tensor {
  expectSpread("mul", { a, b, broadcast });
  return run(context, mulOp, { inputs: [a, b], attributes: { broadcast } });
}

const scaleOp: Op<[Tensor], { alpha: number }> = {
  name: "scale",
  forward: (cx, [a], { alpha }) => map(cx, "scale", { a, alpha }),
  // y = alpha a:  da = alpha dy
  vjp: (cx, { attributes: { alpha } }, dy) => [map(cx, "scale", { a: dy, alpha })],
  jvp: (cx, { attributes: { alpha } }, [ta]) => map(cx, "scale", { a: ta!, alpha }),
};

/** `alpha · a`. */
export function scale(context: Context, a: Tensor, alpha: number): Tensor {
  return run(context, scaleOp, { inputs: [a], attributes: { alpha } });
}

const geluOp: Op<[Tensor], null> = {
  name: "gelu",
  forward: (cx, [x]) => map(cx, "gelu", { a: x }),
  // dx = gelu'(x) dy
  vjp: (cx, { inputs: [x] }, dy) => [map(cx, "geluVjp", { a: x, b: dy })],
  jvp: (cx, { inputs: [x] }, [tx]) => map(cx, "geluVjp", { a: x, b: tx! }),
};

/** `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))` (Hendrycks & Gimpel 2016), as GPT-2 uses it. */
export function gelu(context: Context, x: Tensor | Affine): Tensor {
  if (!(x instanceof Tensor)) {
    if (context.tape === undefined) return geluOfAffine(context, x);
    return gelu(context, linear(context, x.x, x)); // a gradient needs what gelu is applied to
  }
  return run(context, geluOp, { inputs: [x], attributes: null });
}

const reluOp: Op<[Tensor], null> = {
  name: "relu",
  forward: (cx, [x]) => map(cx, "relu", { a: x }),
  // dx = dy where x > 0
  vjp: (cx, { inputs: [x] }, dy) => [map(cx, "reluVjp", { a: x, b: dy })],
  jvp: (cx, { inputs: [x] }, [tx]) => map(cx, "reluVjp", { a: x, b: tx! }),
};

/** `max(x, 0)`. */
export function relu(context: Context, x: Tensor): Tensor {
  return run(context, reluOp, { inputs: [x], attributes: null });
}
