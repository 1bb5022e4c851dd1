/**
 * A tape of reference ops: the gradient of one number by whatever it was computed from.
 *
 * @module
 */

import { mapRef, type Ref, ref, type ReferenceOp, type RefInputs, zerosLike } from "./ref.ts";

interface Node {
  readonly inputs: RefInputs;
  readonly output: Ref;
  readonly vjp: (dy: Ref) => readonly (Ref | undefined)[];
}

/** Ops in the order in which they ran. */
export class RefTape {
  readonly #nodes: Node[] = [];

  /** Runs an op and records it. */
  run<I extends RefInputs, A>(op: ReferenceOp<I, A>, inputs: I, attrs: A): Ref {
    const output = op.forward(inputs, attrs);
    this.#nodes.push({ inputs, output, vjp: (dy) => op.vjp(inputs, attrs, dy) });
    return output;
  }

  /** The same values in another shape. */
  reshape(x: Ref, shape: readonly number[]): Ref {
    const output = ref(shape, x.data);
    this.#nodes.push({ inputs: [x], output, vjp: (dy) => [ref(x.shape, dy.data)] });
    return output;
  }

  /** The same values; the gradient that flows back goes through `backward`. */
  pass(x: Ref, backward: (dy: Ref) => Ref = (dy) => dy): Ref {
    const output = constant(x);
    this.#nodes.push({ inputs: [x], output, vjp: (dy) => [backward(dy)] });
    return output;
  }

  /** The gradient of a single number by every tensor that it depends on. */
  backward(objective: Ref): ReadonlyMap<Ref, Ref> {
    const gradients = new Map<Ref, Ref>([[objective, mapRef(zerosLike(objective), () => 1)]]);
    for (const { inputs, output, vjp } of this.#nodes.toReversed()) {
      const dy = gradients.get(output);
      if (dy === undefined) continue;
      const dxs = vjp(dy);
      inputs.forEach((input, i) => {
        const dx = dxs[i];
        if (input === undefined || dx === undefined) return;
        const before = gradients.get(input);
        gradients.set(input, before ? mapRef(before, (value, j) => value + dx.data[j]!) : dx);
      });
    }
    return gradients;
  }
}

/** The same values, of which no tape knows. */
export function constant(x: Ref): Ref {
  return ref(x.shape, x.data);
}
