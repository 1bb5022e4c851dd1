/**
 * What an op is, and how one runs.
 *
 * @module
 */

import type { Recorder } from "../gpu/recorder.ts";
import type { Tape } from "./tape.ts";
import type { Arena, Tensor } from "./tensor.ts";

/** Where ops run: the GPU, who owns their results, and the tape that records them, if any. */
export interface Context {
  /** Where. */
  readonly gpu: Recorder;
  /** Owns what ops make. */
  readonly arena: Arena;
  /** Records what depends on something it watches. */
  readonly tape?: Tape | undefined;
}

/** The tensors an op reads; optional ones may be absent. */
export type Inputs = readonly (Tensor | undefined)[];

/** An op that ran. */
export interface Recorded<I extends Inputs, Attributes> {
  /** What it read. */
  readonly inputs: I;
  /** What else it was told. */
  readonly attributes: Attributes;
  /** What it gave. */
  readonly output: Tensor;
}

/** One value for each input, where there is one. */
export type PerInput<I extends Inputs> = { readonly [K in keyof I]: Tensor | undefined };

/**
 * A gradient; or what gives the sum of it and of the gradient `before`, if there is one, in one
 * kernel. The tape calls it once, before it goes on to the next input; tensors made for it in
 * `vjp` have been freed by then, unless `vjp` gives them back.
 */
export type Gradient = Tensor | ((before: Tensor | undefined) => Tensor);

/** One gradient for each input, where there is one. */
export type Gradients<I extends Inputs> = { readonly [K in keyof I]: Gradient | undefined };

/** A differentiable operation: its value and its two derivatives, side by side. */
export interface Op<I extends Inputs, Attributes> {
  /** Named in errors. */
  readonly name: string;
  /** The value. */
  forward(context: Context, inputs: I, attributes: Attributes): Tensor;
  /** Reverse mode: the gradient of each input that is `wanted`, from the output's gradient. */
  vjp(
    context: Context,
    recorded: Recorded<I, Attributes>,
    dy: Tensor,
    wanted: readonly boolean[],
  ): Gradients<I>;
  /** Forward mode: the output's tangent from the inputs' tangents, of which one is present. */
  jvp(context: Context, recorded: Recorded<I, Attributes>, tangents: PerInput<I>): Tensor;
}

/** Runs an op, and records it where the context has a tape that tracks one of its inputs. */
export function run<I extends Inputs, Attributes>(
  context: Context,
  op: Op<I, Attributes>,
  call: { inputs: I; attributes: Attributes },
): Tensor {
  const output = op.forward(context, call.inputs, call.attributes);
  context.tape?.record(context.arena, op as unknown as Op<Inputs, unknown>, {
    ...call,
    output,
  });
  return output;
}

/** The same context without a tape: what runs in it is a constant. */
export function detached(context: Context): Context {
  return { gpu: context.gpu, arena: context.arena };
}
