/**
 * Seeded random numbers for tests: the same numbers on every machine.
 *
 * @module
 */

import { type Ref, ref, sizeOf } from "../reference/ref.ts";

/** A source of random numbers. */
export interface Random {
  /** Evenly from [low, high), [0, 1) unless given. */
  uniform(low?: number, high?: number): number;
  /** From the normal distribution with mean 0 and deviation 1. */
  normal(): number;
  /** A whole number from [0, below). */
  integer(below: number): number;
}

/** A source that gives the same numbers for the same seed. */
export function createRandom(seed: number): Random {
  let counter = Math.imul(seed ^ 0x5bd1e995, 0x2545f491) >>> 0;

  // a counter with a Weyl step, and the finaliser of MurmurHash3 to mix it
  function next(): number {
    counter = (counter + 0x9e3779b9) >>> 0; // 2³² / golden ratio
    let bits = counter;
    bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
    return (bits ^ (bits >>> 16)) >>> 0;
  }

  const uniform = (low = 0, high = 1) => low + (high - low) * next() / 2 ** 32;
  return {
    uniform,
    // Box and Muller; 1 - uniform() is never 0
    normal: () =>
      Math.sqrt(-2 * Math.log(1 - uniform())) *
      Math.cos(2 * Math.PI * uniform()),
    integer: (below) => Math.floor(uniform(0, below)),
  };
}

/** Options of {@linkcode randomRef}. */
export interface RandomRefOptions {
  /** `normal` unless given; `uniform` is over [-1, 1). */
  readonly distribution?: "normal" | "uniform";
  /** Factor of every value, 1 unless given. */
  readonly scale?: number;
}

/**
 * A tensor of random values. Each is a float32 number, so that the reference and
 * a kernel can be given exactly the same input.
 */
export function randomRef(
  shape: readonly number[],
  seed: number,
  { distribution = "normal", scale = 1 }: RandomRefOptions = {},
): Ref {
  const random = createRandom(seed);
  return ref(
    shape,
    Float32Array.from(
      { length: sizeOf(shape) },
      () =>
        scale *
        (distribution === "normal" ? random.normal() : random.uniform(-1, 1)),
    ),
  );
}
