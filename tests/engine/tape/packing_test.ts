import assert from "node:assert/strict";

import { linear } from "../../../engine/tape/ops/linear.ts";
import { normApply, normScale } from "../../../engine/tape/ops/norm.ts";
import { pack } from "../../../engine/tape/packing.ts";
import { type Ref, ref } from "../../reference/mod.ts";
import { gpuTest, readBits, recording, upload } from "../../support/gpu.ts";
import { randomRef } from "../../support/random.ts";

gpuTest(
  "pack() says for each row its sequence's first row, length, pairs and position, and its tiles",
  async ({ arena }) => {
    const { rows, tiles, ...packing } = pack(arena, [2, 1, 3]);
    assert.deepEqual(packing, {
      lengths: [2, 1, 3],
      starts: [0, 2, 3],
      pairStarts: [0, 4, 5],
      nRows: 6,
      nPairs: 14,
      longest: 3,
    });
    const [table] = await readBits([rows]);
    assert.deepEqual([...table!], [
      ...[0, 2, 0, 0, 0, 2, 2, 1],
      ...[2, 1, 4, 0],
      ...[3, 3, 5, 0, 3, 3, 8, 1, 3, 3, 11, 2],
    ]);
    assert.deepEqual([...(await readBits([tiles]))[0]!], [
      ...[0, 2, 0, 2],
      ...[2, 1, 2, 1],
      ...[3, 3, 3, 3],
    ]);
    const [longer] = await readBits([pack(arena, [6, 4]).tiles]);
    assert.deepEqual([...longer!], [0, 4, 0, 6, 4, 2, 0, 6, 6, 4, 6, 4]);
  },
);

gpuTest(
  "layer norm and linear() of a packed batch are those of each sequence by itself, to the last bit",
  async ({ context }) => {
    const lengths = [17, 1, 5];
    const d = 67;
    const whole = randomRef([23, d], 1);
    const seed = randomRef([23, 130], 2);
    const [gain, bias, w, b] = [[d], [d], [d, 130], [130]].map((shape, i) =>
      upload(context.arena, randomRef(shape, 3 + i))
    );
    const run = (start: number, T: number) => {
      const part = ({ shape: [, width], data }: Ref) =>
        upload(context.arena, ref([T, width!], data.slice(start * width!, (start + T) * width!)));
      const x = part(whole);
      const cx = recording(context, [x]);
      const scale = normScale(cx, x, 1e-5);
      const normed = normApply(cx, x, { scale, gain: gain!, bias: bias! });
      const y = linear(cx, normed, { w: w!, bias: b! });
      const gradients = cx.tape.backward(cx, { seeds: [[y, part(seed)]], wanted: new Set([x]) });
      return [scale, normed, y, gradients.get(x)!];
    };
    const all = [run(0, 23), run(0, 17), run(17, 1), run(18, 5)];
    const bits = await readBits(all.flat());
    all[0]!.forEach(({ label }, i) => {
      const separate = lengths.flatMap((_, s) => [...bits[4 * (s + 1) + i]!]);
      assert.deepEqual(new Uint32Array(separate), bits[i], label);
    });
  },
);
