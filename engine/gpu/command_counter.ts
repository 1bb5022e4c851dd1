/**
 * Counts what is recorded, and the launches in each layer of the model.
 *
 * @module
 */

/** Counts of what was recorded since the GPU was opened. */
export interface CommandCounts {
  /** Launches of kernels. */
  readonly dispatches: number;
  /** Those of each layer, from layer 0; some belong to none. */
  readonly dispatchesByLayer: readonly number[];
  /** Batches of commands handed to the driver. */
  readonly submits: number;
  /** Transfers to the host. */
  readonly reads: number;
}

/** Counts commands. */
export class CommandCounter {
  readonly #dispatchesByLayer: number[] = [];
  #dispatches = 0;
  #submits = 0;
  #reads = 0;
  #layer: number | null = null;

  /** The layer that launches are counted for, if any. */
  get layer(): number | null {
    return this.#layer;
  }

  /** Batches of commands handed to the driver so far. */
  get submits(): number {
    return this.#submits;
  }

  /** Counts what `work` launches for a layer, or for none. */
  inLayer<T>(layer: number | null, work: () => T): T {
    const outer = this.#layer;
    this.#layer = layer;
    try {
      return work();
    } finally {
      this.#layer = outer;
    }
  }

  /** Counts a launch. */
  dispatched(): void {
    this.#dispatches++;
    const { layer } = this;
    if (layer === null) return;
    const counts = this.#dispatchesByLayer;
    while (counts.length <= layer) counts.push(0);
    counts[layer]!++;
  }

  /** Counts a batch handed to the driver. */
  submitted(): void {
    this.#submits++;
  }

  /** Counts a transfer to the host. */
  read(): void {
    this.#reads++;
  }

  /** The counts so far. */
  counts(): CommandCounts {
    return {
      dispatches: this.#dispatches,
      dispatchesByLayer: [...this.#dispatchesByLayer],
      submits: this.#submits,
      reads: this.#reads,
    };
  }
}
