/**
 * Draws `../results/growth.json` as SVG: time and bytes against the length of the prompt.
 *
 * @module
 */

import * as vega from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

const results = new URL("../results/", import.meta.url);
const { about, points } = JSON.parse(await Deno.readTextFile(new URL("growth.json", results)));

const works = ["debugger request", "forward and backward", "forward"]; // from the top down
const legend = { symbolType: "stroke", symbolSize: 400, symbolStrokeWidth: 2, labelLimit: 0 };

/** One panel: a quantity against the length, both on logarithmic scales. */
function panel(field: string, title: string) {
  const dashes = { field: "shape", type: "nominal", title: null, legend };
  return {
    width: 330,
    height: 260,
    encoding: {
      x: {
        field: "length",
        type: "quantitative",
        title: "tokens",
        scale: { type: "log", base: 2 },
        axis: { values: [16, 64, 256, 1024] },
      },
      y: { field, type: "quantitative", title, scale: { type: "log" } },
      color: { field: "work", type: "nominal", title: null, sort: works, legend },
    },
    layer: [
      { mark: "line", encoding: { strokeDash: dashes } },
      { mark: { type: "circle", opacity: 1 } },
    ],
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
