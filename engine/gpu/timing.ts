/**
 * Where the time goes, kernel by kernel.
 *
 * @module
 */

/** Time spent in one kernel. */
export interface KernelTime {
  /** Its label. */
  readonly kernel: string;
  /** How often it was launched. */
  readonly dispatches: number;
  /** Time from submission to completion, all launches together. */
  readonly milliseconds: number;
}

/** Adds up the time of dispatches, each of which is waited for by itself. */
export class Timer {
  readonly #times = new Map<string, { dispatches: number; milliseconds: number }>();

  /** Counts one dispatch that took so long. */
  add(kernel: string, milliseconds: number): void {
    const time = this.#times.get(kernel) ?? { dispatches: 0, milliseconds: 0 };
    time.dispatches++;
    time.milliseconds += milliseconds;
    this.#times.set(kernel, time);
  }

  /** Times so far, the largest first; forgets them. */
  take(): KernelTime[] {
    const times = [...this.#times].map(([kernel, time]) => ({ kernel, ...time }));
    this.#times.clear();
    return times.sort((a, b) => b.milliseconds - a.milliseconds);
  }
}
