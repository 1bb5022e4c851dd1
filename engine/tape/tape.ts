/**
 * The tape: ops in the order in which they ran, and the two ways to
 * differentiate through them.
 *
 * Only what depends on a watched tensor is recorded, so a backward pass does no
 * work below the lowest place where a gradient is wanted.
 *
 * @module
 */

import type { Context, Gradient, Gradients, Inputs, Op, Recorded } from "./op.ts";
import { map } from "./ops/map.ts";
import { type Arena, Tensor } from "./tensor.ts";

interface Node extends Recorded<Inputs, unknown> {
  readonly op: Op<Inputs, unknown>;
  /** The layer it was recorded in, for counts. */
  readonly layer: number | null;
}

/** Ops in the order in which they ran. */
export class Tape {
  readonly #nodes: Node[] = [];
  readonly #tracked = new Set<Tensor>();

  /** Number of ops recorded. */
  get length(): number {
    return this.#nodes.length;
  }

  /** Starts to track a tensor: what is computed from it is recorded. */
  watch(tensor: Tensor): void {
    this.#tracked.add(tensor);
  }

  /** Whether a tensor is watched or computed from one that is. */
  tracks(tensor: Tensor | undefined): boolean {
    return tensor !== undefined && this.#tracked.has(tensor);
  }

  /** Records an op that ran, if it depends on a tracked tensor. */
  record(arena: Arena, op: Op<Inputs, unknown>, ran: Recorded<Inputs, unknown>): void {
    if (!ran.inputs.some((input) => this.tracks(input))) return;
    this.#nodes.push({ op, layer: arena.gpu.layer, ...ran });
    this.#tracked.add(ran.output);
    arena.retain(ran.output);
    for (const input of ran.inputs) if (input !== undefined) arena.retain(input);
  }

  /**
   * Reverse mode. Propagates the seeds, one gradient for each tensor the
   * objective starts from, to the wanted tensors.
   *
   * @returns The gradient of each wanted tensor that the seeds depend on.
   */
  backward(
    context: Context,
    { seeds, wanted }: {
      seeds: readonly (readonly [Tensor, Tensor])[];
      wanted: ReadonlySet<Tensor>;
    },
  ): Map<Tensor, Tensor> {
    const { arena } = context;
    const gradients = new Map<Tensor, Tensor>();
    // How many entries of `gradients` use a tensor: ops may pass theirs on.
    const uses = new Map<Tensor, number>();
    const fixed = new Set(seeds.map(([, seed]) => seed));
    const use = (gradient: Tensor, change: number) => {
      const count = (uses.get(gradient) ?? 0) + change;
      uses.set(gradient, count);
      if (count === 0 && !fixed.has(gradient)) arena.free(gradient);
    };
    const accumulate = (tensor: Tensor, gradient: Gradient) => {
      const before = gradients.get(tensor);
      const total = typeof gradient === "function"
        ? arena.tidy(() => gradient(before))
        : before === undefined
        ? gradient
        : map(context, "add", { a: before, b: gradient });
      gradients.set(tensor, total);
      use(total, 1);
      if (before === undefined) return;
      use(before, -1);
      if (typeof gradient === "function" || uses.get(gradient) || fixed.has(gradient)) return;
      arena.free(gradient);
    };
    for (const [tensor, seed] of seeds) accumulate(tensor, seed);
    for (const node of this.#nodes.toReversed()) {
      const dy = gradients.get(node.output);
      if (dy === undefined) continue;
      arena.gpu.inLayer(node.layer, () => {
        const needed = node.inputs.map((input) => this.tracks(input));
        let dxs: Gradients<Inputs> = [];
        const made = arena.tidy(() => {
          dxs = node.op.vjp(context, node, dy, needed);
          return dxs.filter((dx) => dx instanceof Tensor);
        });
        // Counted once more while they are handed out, as two inputs may share one.
        for (const dx of made) use(dx, 1);
        node.inputs.forEach((input, i) => {
          const dx = dxs[i];
          if (input !== undefined && dx !== undefined && needed[i]) accumulate(input, dx);
        });
        for (const dx of made) use(dx, -1);
      });
      if (!wanted.has(node.output)) {
        gradients.delete(node.output);
        use(dy, -1);
      }
    }
    for (const [tensor, gradient] of gradients) {
      if (wanted.has(tensor)) continue;
      gradients.delete(tensor);
      use(gradient, -1);
    }
    return gradients;
  }

  /**
   * Forward mode. Propagates tangents through the ops recorded.
   *
   * @returns The tangent of `output`, or `undefined` if it depends on none of them.
   */
  forwardMode(
    context: Context,
    { tangents, output }: {
      tangents: readonly (readonly [Tensor, Tensor])[];
      output: Tensor;
    },
  ): Tensor | undefined {
    const known = new Map(tangents);
    for (const node of this.#nodes) {
      const given = node.inputs.map((input) => input && known.get(input));
      if (given.every((tangent) => tangent === undefined)) continue;
      known.set(node.output, context.arena.tidy(() => node.op.jvp(context, node, given)));
    }
    return known.get(output);
  }
}
