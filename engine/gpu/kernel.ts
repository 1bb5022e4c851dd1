/**
 * Kernels as data. A kernel's declaration stands right above the code that
 * launches it and says everything the WGSL expects: its uniforms, in the order
 * of its `Params` struct, and its bindings, in the order of their numbers.
 *
 * Binding 0 is the uniform struct; the bindings follow from 1.
 *
 * @module
 */

/** What a kernel does with a binding: a storage buffer, or a storage texture of rgba32float. */
export type Access = "read" | "readWrite" | "readTexture" | "writeTexture";

/** A compute kernel: WGSL and how to launch it. */
export interface Kernel<Binding extends string = string, Uniform extends string = string> {
  /** `family.entry`, named in every error. */
  readonly label: string;
  /** WGSL texts, joined in this order. */
  readonly wgsl: readonly string[];
  /** Name of the entry point. */
  readonly entry: string;
  /** What the entry point uses, with the binding numbers. */
  readonly bindings: Readonly<Record<Binding, { at: number; access: Access }>>;
  /** Members of the uniform struct at binding 0, in order; four bytes each. */
  readonly uniforms: Readonly<Record<Uniform, "u32" | "f32">>;
  /** Values of the WGSL's `override` constants. */
  readonly overrides?: Readonly<Record<string, number>>;
}

/** What the kernels of one WGSL file share. */
export interface KernelFamily<Binding extends string, Uniform extends string> {
  /** The file's stem. */
  readonly name: string;
  readonly wgsl: readonly string[];
  /** Every binding that the file declares, in the order of the numbers from 1. */
  readonly bindings: Readonly<Record<Binding, Access>>;
  /** Members of the file's `Params`, in order. */
  readonly uniforms: Readonly<Record<Uniform, "u32" | "f32">>;
}

/**
 * Declares the kernels of one WGSL file.
 *
 * @returns A function that gives the kernel of an entry point, which uses only
 * the bindings named.
 */
export function kernelFamily<Binding extends string, Uniform extends string>(
  family: KernelFamily<Binding, Uniform>,
): <Used extends Binding>(entry: string, uses: readonly Used[]) => Kernel<Used, Uniform> {
  const names = Object.keys(family.bindings) as Binding[];
  return (entry, uses) => ({
    label: entry === family.name ? entry : `${family.name}.${entry}`,
    wgsl: family.wgsl,
    entry,
    bindings: Object.fromEntries(
      uses.map((name) => [name, { at: names.indexOf(name) + 1, access: family.bindings[name] }]),
    ) as Kernel<(typeof uses)[number]>["bindings"],
    uniforms: family.uniforms,
  });
}

const variants = new WeakMap<Kernel, Map<string, Kernel>>();

/**
 * The same kernel with other values for its overrides: always the same object
 * for the same values, so that its pipeline is compiled once.
 */
export function variant<K extends Kernel>(
  base: K,
  overrides: Readonly<Record<string, number>>,
): K {
  let known = variants.get(base);
  if (known === undefined) variants.set(base, known = new Map());
  const key = JSON.stringify(overrides);
  let found = known.get(key);
  if (found === undefined) {
    found = { ...base, overrides: { ...base.overrides, ...overrides } };
    known.set(key, found);
  }
  return found as K;
}
