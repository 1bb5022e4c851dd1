/**
 * What holds of the kernels of attention, by one position and by tiles of four.
 *
 * @module
 */

import assert from "node:assert/strict";

import { qkLogits, qkProbs, weightedSum } from "../../../engine/tape/ops/attention.ts";
import { pack } from "../../../engine/tape/packing.ts";
import { type Ref, ref, reference } from "../../reference/mod.ts";
import { assertClose } from "../../support/assert_close.ts";
import { gpuTest, readBits, readRefs, recording, upload } from "../../support/gpu.ts";
import { randomRef } from "../../support/random.ts";

const sum = (lengths: readonly number[]) => lengths.reduce((total, T) => total + T, 0);

/** Tests the kernels that serve heads of `e` channels. */
export function testAttention(e: number): void {
  gpuTest(
    `weightedSum() of causal pairs leaves out the keys after the query: e=${e}`,
    async ({ context }) => {
      const lengths = [6, 1, 3];
      const probs = randomRef([46, 2], 11);
      const v = randomRef([10, 2, e], 12);
      const below: Ref = ref(probs.shape, probs.data);
      let pair = 0;
      for (const T of lengths) {
        for (let q = 0; q < T; q++) {
          for (let k = 0; k < T; k++, pair++) if (k > q) below.data.fill(0, 2 * pair, 2 * pair + 2);
        }
      }
      const pairs = { packing: pack(context.arena, lengths), causal: true };
      const [gProbs, gv] = [upload(context.arena, probs), upload(context.arena, v)];
      const cx = recording(context, [gv]);
      const y = weightedSum(cx, { probs: gProbs, v: gv }, pairs);
      const dy = randomRef([10, 2, e], 13);
      const dv = cx.tape.backward(cx, {
        seeds: [[y, upload(cx.arena, dy)]],
        wanted: new Set([gv]),
      }).get(gv)!;
      const [gotY, gotDv] = await readRefs([y, dv]);
      const want = reference.weighted_sum;
      assertClose(gotY!.data, want.forward([below, v], { lengths }).data);
      assertClose(gotDv!.data, want.vjp([below, v], { lengths }, dy)[1].data);
    },
  );

  gpuTest(
    `attention of a packed batch is that of each sequence by itself, to the last bit: e=${e}`,
    async ({ context }) => {
      const lengths = [17, 1, 5];
      const H = 3;
      const wholes = [14, 15, 16, 17].map((seed) => randomRef([sum(lengths), H, e], seed));
      const run = (part: readonly number[], start: number) => {
        const [q, k, v, seed] = wholes.map(({ data }) => {
          const rows = data.slice(start * H * e, (start + sum(part)) * H * e);
          return upload(context.arena, ref([sum(part), H, e], rows));
        });
        const pairs = { packing: pack(context.arena, part), causal: true };
        const cx = recording(context, [q!, k!, v!]);
        const logits = qkLogits(cx, { q: q!, k: k! }, pairs);
        const probs = qkProbs(cx, logits, pairs);
        const y = weightedSum(cx, { probs, v: v! }, pairs);
        const inputs = [q!, k!, v!];
        const gradients = cx.tape.backward(cx, { seeds: [[y, seed!]], wanted: new Set(inputs) });
        return [logits, probs, y, ...inputs.map((x) => gradients.get(x)!)];
      };
      const starts = [0, 17, 18];
      const all = [run(lengths, 0), ...lengths.map((T, s) => run([T], starts[s]!))];
      const bits = await readBits(all.flat());
      for (let i = 0; i < 6; i++) {
        const separate = lengths.flatMap((_, s) => [...bits[6 * (s + 1) + i]!]);
        assert.deepEqual(new Uint32Array(separate), bits[i], all[0]![i]!.label);
      }
    },
  );
}
