import { headWrites, spreadProduct, transpose } from "../../../engine/tape/ops/writes.ts";
import { assertClose } from "../../support/assert_close.ts";
import { gpuTest, readRefs, upload } from "../../support/gpu.ts";
import { randomRef } from "../../support/random.ts";

gpuTest(
  "spreadProduct(), transpose() and headWrites() match float64 loops",
  async ({ context }) => {
    const [T, H, e, d] = [5, 3, 7, 13];
    const [a, x, v, wO] = [[T, H], [H, d], [T, H, e], [H * e, d]].map((shape, i) =>
      randomRef(shape, i + 1)
    );
    const up = (ref: typeof a) => upload(context.arena, ref!);
    const [spread, turned, writes] = await readRefs([
      spreadProduct(context, { a: up(a), x: up(x) }),
      transpose(context, up(x)),
      headWrites(context, { v: up(v), wO: up(wO) }),
    ]);
    const each = (want: (t: number, h: number, o: number) => number) =>
      Float64Array.from(
        { length: T * H * d },
        (_, i) => want(Math.floor(i / (H * d)), Math.floor(i / d) % H, i % d),
      );
    const product = each((t, h, o) => a!.data[t * H + h]! * x!.data[h * d + o]!);
    assertClose(spread!.data, product, { op: "linear" });
    const columns = Float64Array.from(
      { length: d * H },
      (_, i) => x!.data[(i % H) * d + Math.floor(i / H)]!,
    );
    assertClose(turned!.data, columns, { rel: 0, abs: 0 });
    const sums = each((t, h, o) => {
      let sum = 0;
      for (let c = 0; c < e; c++) {
        sum += v!.data[(t * H + h) * e + c]! * wO!.data[(h * e + c) * d + o]!;
      }
      return sum;
    });
    assertClose(writes!.data, sums, { op: "linear" });
  },
);
