/**
 * The reference's ops as the tape's, and the comparison of the two: values,
 * gradients and tangents.
 *
 * @module
 */

import assert from "node:assert/strict";

import { qkLogits, qkProbs, weightedSum } from "../../engine/tape/ops/attention.ts";
import { attention } from "../../engine/tape/ops/attention_fused.ts";
import { add, gelu, mul, relu, scale, sub } from "../../engine/tape/ops/elementwise.ts";
import { embed } from "../../engine/tape/ops/embed.ts";
import { linear } from "../../engine/tape/ops/linear.ts";
import { rowLosses } from "../../engine/tape/ops/loss.ts";
import { normApply, normScale } from "../../engine/tape/ops/norm.ts";
import { rowDot, rowNorm, sumMiddle } from "../../engine/tape/ops/reduce.ts";
import { gatherRows, overwrite, pick, reshape, slice } from "../../engine/tape/ops/slice.ts";
import { crossEntropy, logSoftmax } from "../../engine/tape/ops/softmax.ts";
import { topK } from "../../engine/tape/ops/top_k.ts";
import type { Context } from "../../engine/tape/op.ts";
import { pack } from "../../engine/tape/packing.ts";
import { Arena, type Tensor } from "../../engine/tape/tensor.ts";
import { type ReferenceCase, referenceCases } from "../reference/cases.ts";
import {
  type AnyReferenceOp,
  type AttrsOf,
  type InputsOf,
  type Ref,
  reference,
  type ReferenceOpName,
  type RefInputs,
} from "../reference/mod.ts";
import { assertClose } from "./assert_close.ts";
import { readRefs, recording, upload } from "./gpu.ts";
import { randomRef } from "./random.ts";

/** Inputs on the GPU. */
type OnGpu<Inputs extends RefInputs> = { readonly [I in keyof Inputs]: Tensor };

/** How to run a reference op on the GPU. */
interface GpuOp<Op extends ReferenceOpName> {
  run(context: Context, inputs: OnGpu<InputsOf<Op>>, attrs: AttrsOf<Op>): Tensor;
  /** Whether it has gradients and tangents; true unless given. */
  readonly derivatives?: boolean;
  /** The inputs that may have a tangent; all unless given. */
  readonly tangents?: readonly number[];
  /** Whether all tangents must be present. */
  readonly together?: boolean;
}

function idsOf({ arena }: Context, ids: ArrayLike<number>): Tensor {
  return arena.upload(Uint32Array.from(ids), [ids.length], "indices");
}

/** Every op. `undefined`: the tape has none, as nobody needs it by itself. */
const gpuOps: { readonly [Op in ReferenceOpName]: GpuOp<Op> | undefined } = {
  embed: {
    run(cx, [wE, wPos], { tokens, positions }) {
      const ids = new Uint32Array(2 * tokens.length);
      for (let n = 0; n < tokens.length; n++) ids.set([tokens[n]!, positions[n]!], 2 * n);
      return embed(cx, { wE, wPos }, cx.arena.upload(ids, [tokens.length, 2], "ids"));
    },
    together: true,
  },
  norm_scale: { run: (cx, [x], { eps }) => normScale(cx, x, eps) },
  norm_apply: {
    run: (cx, [x, scale, gain, bias]) => normApply(cx, x, { scale, gain, bias }),
    tangents: [0, 1],
  },
  linear: {
    run: (cx, [x, w, bias], { columns, ...attrs }) =>
      linear(cx, x, { w, bias, ...attrs, ...(columns && { columns }) }),
  },
  qk_logits: {
    run: (cx, [q, k], { lengths, causal }) =>
      qkLogits(cx, { q, k }, { packing: pack(cx.arena, lengths), causal }),
  },
  softmax_keys: {
    run: (cx, [logits], { lengths }) =>
      qkProbs(cx, logits, { packing: pack(cx.arena, lengths), causal: false }),
  },
  weighted_sum: {
    run: (cx, [probs, v], { lengths }) =>
      weightedSum(cx, { probs, v }, { packing: pack(cx.arena, lengths), causal: false }),
  },
  attention: {
    run: (cx, [q, k, v], { lengths }) => attention(cx, { q, k, v }, pack(cx.arena, lengths)),
  },
  gelu: { run: (cx, [x]) => gelu(cx, x) },
  relu: { run: (cx, [x]) => relu(cx, x) },
  top_k: { run: (cx, [x], { k }) => topK(cx, x, k) },
  identity: { run: (cx, [x]) => reshape(cx, x, x.shape) },
  add: { run: (cx, [a, b]) => add(cx, a, b) },
  sub: { run: (cx, [a, b]) => sub(cx, a, b) },
  mul: { run: (cx, [a, b]) => mul(cx, a, b) },
  scale: { run: (cx, [x], { alpha }) => scale(cx, x, alpha) },
  scale_columns: { run: (cx, [x, factor]) => mul(cx, x, factor, { broadcast: "perColumn" }) },
  scale_rows: { run: (cx, [x, factor]) => mul(cx, x, factor, { broadcast: "perRow" }) },
  row_dot: { run: (cx, [x, g]) => rowDot(cx, x, g) },
  row_norm: { run: (cx, [x]) => rowNorm(cx, x) },
  sum_middle: { run: (cx, [x]) => sumMiddle(cx, x), derivatives: false },
  rows: {
    run: (cx, [x], { start, count }) =>
      slice(cx, x, { start: start * x.width, shape: [count, x.width] }),
  },
  gather_rows: { run: (cx, [x], { indices }) => gatherRows(cx, x, idsOf(cx, indices)) },
  pick: { run: (cx, [x], { index }) => pick(cx, x, index) },
  overwrite: {
    run: (cx, [x], { shape, regions, offset = 0 }) =>
      regions.reduce(
        (y, { start, count, value }) =>
          overwrite(cx, y, { region: { start: offset, shape, first: start, count }, value }),
        x,
      ),
  },
  softmax: undefined,
  log_softmax: { run: (cx, [x]) => logSoftmax(cx, x) },
  cross_entropy: {
    run: (cx, [logits], { targets, weights }) =>
      crossEntropy(cx, logits, {
        targets: idsOf(cx, targets),
        weights: cx.arena.upload(Float32Array.from(weights), [weights.length], "weights"),
      }),
  },
  loss: {
    run: (cx, [logits], { specs }) =>
      rowLosses(
        cx,
        logits,
        specs.map((spec) => ({ ...spec, coefficients: Float32Array.from(spec.coefficients) })),
      ),
  },
};

/** A case of an op, beside those of the reference. */
export function caseOf<Op extends ReferenceOpName>(
  op: Op,
  inputs: InputsOf<Op>,
  { attrs, label }: { attrs: AttrsOf<Op>; label?: string },
): ReferenceCase {
  const shapes = inputs.map((x) => `[${x?.shape.join(", ")}]`).join(" ");
  return { op, label: label ?? `${op} ${shapes}`, inputs, attrs } as ReferenceCase;
}

/** A value, gradient or tangent of the GPU beside the reference's. */
export interface Comparison {
  readonly what: string;
  readonly got: Ref;
  readonly want: Ref;
}

/** Runs a case on the GPU and in the reference. */
export async function compareCase(
  outer: Context,
  { op, inputs, attrs }: ReferenceCase,
): Promise<Comparison[]> {
  const gpuOp = gpuOps[op] as GpuOp<ReferenceOpName> | undefined;
  assert.ok(gpuOp, `the tape has no ${op}()`);
  const specification: AnyReferenceOp = reference[op];
  const present = inputs as readonly Ref[];
  const xs = present.map((x, i) => upload(outer.arena, x, `input ${i}`));
  const context = recording(outer, xs);
  const y = gpuOp.run(context, xs as never, attrs as never);
  const want = specification.forward(inputs, attrs);

  const found: [what: string, got: Tensor, want: Ref][] = [["value", y, want]];
  if (gpuOp.derivatives ?? true) {
    const dy = randomRef(want.shape, 1001);
    const gradients = context.tape.backward(context, {
      seeds: [[y, upload(outer.arena, dy, "seed")]],
      wanted: new Set(xs),
    });
    specification.vjp(inputs, attrs, dy).forEach((wanted, i) => {
      const got = gradients.get(xs[i]!);
      assert.ok(got, `no gradient of input ${i}`);
      found.push([`gradient of input ${i}`, got, wanted!]);
    });
    const ts = present.map((x, i) => randomRef(x.shape, 2001 + i));
    const able = gpuOp.tangents ?? present.map((_, i) => i);
    const alone = gpuOp.together ? [] : able.map((i) => [i]);
    for (const chosen of able.length === 1 ? alone : [able, ...alone]) {
      const got = context.tape.forwardMode(context, {
        tangents: chosen.map((i) => [xs[i]!, upload(outer.arena, ts[i]!, "tangent")]),
        output: y,
      });
      assert.ok(got, `no tangent from inputs ${chosen}`);
      const tangents = ts.map((t, i) => chosen.includes(i) ? t : undefined);
      found.push([
        `tangent from inputs ${chosen}`,
        got,
        specification.jvp(inputs, attrs, tangents),
      ]);
    }
  }
  const read = await readRefs(found.map(([, got]) => got));
  return found.map(([what, , want], i) => ({ what, got: read[i]!, want }));
}

/** Runs an op's cases, and further ones, each as a step. */
export async function checkOp(
  context: Context,
  op: ReferenceOpName,
  { t, more = [] }: { t: Deno.TestContext; more?: readonly ReferenceCase[] },
): Promise<void> {
  for (const each of [...referenceCases.filter((known) => known.op === op), ...more]) {
    await t.step(each.label, async () => {
      using arena = new Arena(context.gpu);
      for (const { what, got, want } of await compareCase({ ...context, arena }, each)) {
        assertClose(got.data, want.data, { op, shape: want.shape, label: `${op} ${what}` });
      }
    });
  }
}
