/**
 * Draws `../results/growth.json` as SVG: time and bytes against the length of the prompt.
 *
 * @module
 */

import * as vega from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

const results = new URL("../results/", import.meta.url);
const { about, points } = JSON.parse(await Deno.readTextFile(new URL("growth.json", results)));

/** One panel: a quantity against the length, both on logarithmic scales. */
function panel(field: string, title: string) {
  return {
    width: 330,
    height: 260,
    mark: { type: "line", point: true },
    encoding: {
      x: {
        field: "length",
        type: "quantitative",
        title: "tokens",
        scale: { type: "log", base: 2 },
        axis: { values: [16, 64, 256, 1024] },
      },
      y: { field, type: "quantitative", title, scale: { type: "log" } },
      color: { field: "work", type: "nominal", title: null },
      strokeDash: { field: "shape", type: "nominal", title: null },
    },
  };
}

const spec = {
  title: `${about.adapter}, ${about.date}`,
  data: {
    values: points.map((point: { milliseconds: number; bytes: number }) => ({
      ...point,
      seconds: point.milliseconds / 1000,
      mebibytes: point.bytes / 2 ** 20,
    })),
  },
  hconcat: [panel("seconds", "seconds"), panel("mebibytes", "MiB beside the weights, at most")],
} as TopLevelSpec;
const view = new vega.View(vega.parse(compile(spec).spec), { renderer: "none" });
await Deno.writeTextFile(new URL("growth.svg", results), await view.toSVG());
