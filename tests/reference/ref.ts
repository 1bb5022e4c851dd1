/**
 * What the reference ops are made of: float64 arrays with a shape, and the form
 * of an op. The reference is the specification: plain loops, no tricks.
 *
 * | letter | dimension |
 * |---|---|
 * | `N` | rows: positions of all sequences, packed one after another, N = Σ T_s |
 * | `T` | positions of one sequence |
 * | `P` | (query, key) pairs, P = Σ T_s²; a sequence's block [T, T] is row-major |
 * | `H`, `e` | heads, channels of a head |
 * | `d`, `F`, `K`, `M`, `V` | widths: model, features, inputs, outputs, vocabulary |
 *
 * @module
 */

/** A float64 tensor, row-major. */
export interface Ref {
  /** Size of each dimension. */
  readonly shape: readonly number[];
  /** The values. */
  readonly data: Float64Array;
}

/** Inputs of an op; an optional one may be left out. */
export type RefInputs = readonly (Ref | undefined)[];

/** One gradient per input, of the input's shape. */
export type Gradients<Inputs extends RefInputs> = {
  [I in keyof Inputs]: Ref;
};

/** One tangent per input; `undefined` stands for zeros. */
export type Tangents<Inputs extends RefInputs> = {
  readonly [I in keyof Inputs]: Ref | undefined;
};

/** Attributes of an op that has none. */
export type NoAttrs = Record<never, never>;

/** An op `y = f(x; attrs)`, with J the Jacobian of y by its inputs. */
export interface ReferenceOp<Inputs extends RefInputs, Attrs> {
  /** y */
  forward(inputs: Inputs, attrs: Attrs): Ref;
  /** Jᵀ dy, by input. */
  vjp(inputs: Inputs, attrs: Attrs, dy: Ref): Gradients<Inputs>;
  /** J t, summed over inputs. */
  jvp(inputs: Inputs, attrs: Attrs, tangents: Tangents<Inputs>): Ref;
}

/** Number of values of a tensor of that shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, dim) => size * dim, 1);
}

/** A tensor of the given values, or of zeros. */
export function ref(shape: readonly number[], data?: ArrayLike<number>): Ref {
  const size = sizeOf(shape);
  if (data !== undefined && data.length !== size) {
    throw new TypeError(
      `Cannot make a reference tensor: current number of values is ${data.length}, but shape [${
        shape.join(", ")
      }] needs ${size}`,
    );
  }
  return {
    shape,
    data: data === undefined ? new Float64Array(size) : Float64Array.from(data),
  };
}

/** Zeros of the same shape. */
export function zerosLike(x: Ref): Ref {
  return ref(x.shape);
}

/** The tensor `f(value, flat index)`, of the same shape. */
export function mapRef(
  x: Ref,
  f: (value: number, index: number) => number,
): Ref {
  return { shape: x.shape, data: x.data.map(f) };
}

/** Rows and columns of a tensor [rows, columns]. */
export function rowsAndColumns(x: Ref): [rows: number, columns: number] {
  const columns = x.shape.at(-1) ?? 1;
  return [columns === 0 ? 0 : x.data.length / columns, columns];
}
