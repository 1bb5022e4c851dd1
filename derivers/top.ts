/**
 * The largest or smallest entries among several arrays.
 *
 * @module
 */

/** One array to select from. */
export interface Part {
  readonly values: ArrayLike<number>;
  /** Flat index of each value, ascending among equals; its place if absent. */
  readonly indices?: ArrayLike<number>;
  /** For ties; -1 without a layer. */
  readonly layer: number;
  /** For ties: the place in the request. */
  readonly order: number;
}

/** An entry: the array it is in, its flat index there, its value. */
export interface Candidate {
  readonly part: number;
  readonly flat: number;
  readonly value: number;
}

/**
 * The k entries with the largest values, descending, or the smallest, ascending.
 * Ties: the lower flat index, then the lower layer, then the earlier in the request;
 * with `layersFirst`, the lower layer before the lower flat index. A NaN comes first from
 * either end, as it should be seen.
 */
export function selectTop(
  parts: readonly Part[],
  { k, largest, layersFirst = false }: {
    k: number | null;
    largest: boolean;
    layersFirst?: boolean;
  },
): Candidate[] {
  const sign = largest ? 1 : -1;
  const key = (value: number) => Number.isNaN(value) ? Infinity : sign * value;
  const before = (a: Candidate, b: Candidate) => {
    const difference = key(b.value) - key(a.value);
    if (difference !== 0 && !Number.isNaN(difference)) return difference;
    const [partA, partB] = [parts[a.part]!, parts[b.part]!];
    const [flat, layer] = [a.flat - b.flat, partA.layer - partB.layer];
    return (layersFirst ? layer || flat : flat || layer) || partA.order - partB.order;
  };
  const size = parts.reduce((sum, { values }) => sum + values.length, 0);
  const count = Math.min(k ?? size, size);
  // Whatever is below the worst of a full selection, or equal and behind it, cannot come
  // in: most entries.
  let kept: Candidate[] = [];
  let worst = largest ? -Infinity : Infinity;
  let worstFlat = Infinity;
  let worstLayer = Infinity;
  const shrink = () => {
    kept.sort(before);
    kept = kept.slice(0, count);
    const last = kept[count - 1];
    if (last === undefined || Number.isNaN(last.value)) return;
    worst = last.value;
    worstFlat = last.flat;
    worstLayer = parts[last.part]!.layer;
  };
  parts.forEach(({ values, indices, layer }, part) => {
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      // False for a NaN, which has to come in.
      if (largest ? value < worst : value > worst) continue;
      const flat = indices?.[i] ?? i;
      if (value === worst) {
        const behind = layersFirst
          ? layer > worstLayer || layer === worstLayer && flat > worstFlat
          : flat > worstFlat || flat === worstFlat && layer > worstLayer;
        if (behind) continue;
      }
      kept.push({ part, flat, value });
      if (kept.length >= 2 * count + 16) shrink();
    }
  });
  shrink();
  return kept;
}
