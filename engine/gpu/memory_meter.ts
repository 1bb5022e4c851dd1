/**
 * Counts bytes in use, and how many they were at most.
 *
 * @module
 */

/** Bytes in use. */
export class MemoryMeter {
  #live = 0;
  #peak = 0;

  /** Bytes in use now. */
  get live(): number {
    return this.#live;
  }

  /** The most that was in use at any time. */
  get peak(): number {
    return this.#peak;
  }

  /** Counts bytes that are taken. */
  take(bytes: number): void {
    this.#live += bytes;
    this.#peak = Math.max(this.#peak, this.#live);
  }

  /** Counts bytes that are given back. */
  give(bytes: number): void {
    this.#live -= bytes;
  }

  /** Forgets the peak so far. */
  resetPeak(): void {
    this.#peak = this.#live;
  }

  /** Runs `work`; gives what it gives and the most bytes it added to those in use before. */
  peakOf<T>(work: () => T): { result: T; peakBytes: number } {
    const before = this.#peak;
    const live = this.#live;
    this.#peak = live;
    try {
      const result = work();
      return { result, peakBytes: this.#peak - live };
    } finally {
      this.#peak = Math.max(this.#peak, before);
    }
  }
}
