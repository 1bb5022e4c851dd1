/**
 * Progress of long work, on stderr.
 *
 * @module
 */

import { lineWidth, pad } from "./text_table.ts";

/** One line that is written over, and cleared at the end. */
export interface Progress extends Disposable {
  show(text: string): void;
  clear(): void;
}

/** The line if stderr is a terminal; nothing is said otherwise. */
export function progress(): Progress {
  const isTerminal = Deno.stderr.isTerminal();
  const columns = lineWidth - 1;
  const write = (text: string) => {
    if (isTerminal) Deno.stderr.writeSync(new TextEncoder().encode(text));
  };
  const clear = () => write(`\r${" ".repeat(columns)}\r`);
  return {
    show: (text) => write(`\r${pad(text.slice(-columns), columns)}`),
    clear,
    [Symbol.dispose]: clear,
  };
}
