/**
 * One piece of work at a time, the others in the order in which they came.
 *
 * @module
 */

/** Too much work waits already. */
export class QueueFullError extends Error {
  override name = "QueueFullError";
}

/** Work that waits for its turn. */
export interface Queue {
  /** Pieces of work that run or wait. */
  readonly size: number;
  /**
   * Does the work when its turn comes.
   *
   * @param options `signal`: takes the work out of the queue if it has not begun.
   * @throws {QueueFullError} at once if too many wait.
   * @throws the signal's reason if it takes the work out.
   */
  run<T>(work: () => Promise<T>, options?: { signal?: AbortSignal }): Promise<T>;
}

/** A queue in which at most `maxWaiting` pieces of work wait. */
export function createQueue({ maxWaiting }: { maxWaiting: number }): Queue {
  const waiting: (() => void)[] = [];
  let isBusy = false;

  const turn = (signal: AbortSignal | undefined) =>
    new Promise<void>((resolve, reject) => {
      if (!isBusy) {
        isBusy = true;
        return resolve();
      }
      const begin = () => {
        signal?.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        waiting.splice(waiting.indexOf(begin), 1);
        reject(signal!.reason);
      };
      signal?.addEventListener("abort", leave, { once: true });
      waiting.push(begin);
    });

  const next = () => {
    const begin = waiting.shift();
    if (begin === undefined) isBusy = false;
    else begin();
  };

  return {
    get size() {
      return waiting.length + (isBusy ? 1 : 0);
    },
    async run(work, { signal } = {}) {
      signal?.throwIfAborted();
      if (isBusy && waiting.length >= maxWaiting) {
        throw new QueueFullError(
          `Cannot take another request as ${waiting.length} wait already: try again later`,
        );
      }
      await turn(signal);
      try {
        return await work();
      } finally {
        next();
      }
    },
  };
}
