/**
 * Rules: how a scalar is computed from its inputs in one layer.
 *
 * @module
 */

import type { Tensor } from "../engine/tape/tensor.ts";
import { filled } from "../engine/tape/ops/map.ts";
import { copyInto, sliced } from "../engine/tape/ops/slice.ts";
import { shapeOf } from "./facts.ts";
import type { Input } from "./inputs.ts";
import type { Place, ScalarDimName } from "./nodes.ts";
import { precedes } from "./nodes.ts";
import type { Direction } from "./directions.ts";
import type { Asked, Site, Where } from "./site.ts";

/** How a scalar is computed. */
export interface Rule {
  /** In the order in which `value` takes them. */
  readonly inputs: readonly Input[];
  /** The value in one layer, for one sequence. */
  value(site: Site, ...inputs: Tensor[]): Tensor;
  /** The layers in which the scalar exists, all if absent; throws if it makes no sense. */
  layers?(asked: Asked): readonly number[];
}

/** A node's place: fixed, or that of the autoencoder asked for. */
export type PlaceOf = Place | ((where: Where) => Place);

/**
 * The effect of nodes at `place` along a direction: `value` where they precede it,
 * zeros of the same shape otherwise.
 */
export function along(
  direction: Direction,
  { place, dims, inputs, value, nLatents, layers }: {
    /** `null` for the embedding, which precedes everything. */
    place: PlaceOf | null;
    dims: readonly ScalarDimName[];
    inputs: readonly Input[];
    value: (site: Site, ...inputs: Tensor[]) => Tensor;
    nLatents?: (asked: Asked) => number;
    layers?: NonNullable<Rule["layers"]>;
  },
): Rule {
  return {
    inputs: [...inputs, direction],
    value(site, ...values) {
      const at = typeof place === "function" ? place(site) : place;
      const upstream = at === null
        ? { layer: null } as const
        : { layer: site.layer!, place: at } as const;
      if (precedes(upstream, direction.position(site))) return value(site, ...values);
      const shape = shapeOf(dims, site.facts, { nLatents: nLatents?.(site) });
      return filled(site.cx, shape, 0);
    },
    layers(asked) {
      direction.position(asked); // Without its direction the scalar exists nowhere.
      return layers?.(asked) ?? allLayers(asked);
    },
  };
}

/**
 * The projection of a direction [T, d] onto something: [T, …]. Computed only for the
 * direction's one token where it has one, and 0 elsewhere.
 */
export function projected(
  site: Site,
  g: Tensor,
  { direction, project }: { direction: Direction; project: (g: Tensor) => Tensor },
): Tensor {
  const token = direction.onlyToken?.(site) ?? null;
  if (token === null) return project(g);
  const { cx } = site;
  const row = sliced(cx, g, { start: token * g.width, size: g.width });
  const ofRow = project(row.view({ shape: [1, g.width] }));
  const all = filled(cx, [g.rows, ...ofRow.shape.slice(1)], 0);
  copyInto(cx, ofRow, { out: all, start: token * ofRow.size });
  return all;
}

function allLayers({ facts: { nLayers } }: Asked): number[] {
  return Array.from({ length: nLayers }, (_, layer) => layer);
}
