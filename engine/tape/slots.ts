/**
 * Slots: the named places in the forward pass where an activation can be read,
 * replaced, or have its gradient read or replaced.
 *
 * At a slot a value passes, in this order: the `"forward"` hooks, the save, an
 * identity whose backward passes the gradient through the `"backward"` hooks, and
 * the `"after"` hooks. A saved gradient is the one that arrives at that identity:
 * with respect to the value after the forward hooks, before its own backward hooks.
 * A slot that nobody uses is the value itself and costs nothing.
 *
 * @module
 */

import { type LocationName, locationNames, locations } from "./locations.ts";
import { type Context, type Op, run } from "./op.ts";
import type { Packing } from "./packing.ts";
import type { Tensor } from "./tensor.ts";
import { nearest } from "./nearest.ts";

/** Where a hook is called. */
export interface HookPoint {
  /** The slot's location. */
  readonly location: LocationName;
  /** The layer, or `null` at a location without layers. */
  readonly layer: number | null;
  /** For the ops that a hook calls. */
  readonly context: Context;
  /** Where each sequence's rows are. */
  readonly packing: Packing;
}

/** A function at a slot: gets a tensor, gives a tensor of the same shape, or nothing to leave it. */
export type HookFunction = (x: Tensor, point: HookPoint) => Tensor | undefined | void;

/** A hook and where it belongs. */
export interface Hook {
  /** The slot's location. */
  readonly location: LocationName;
  /** The layer; `null` or absent for every layer, or where there are none. */
  readonly layer?: number | null;
  /**
   * `"forward"` sees the activation; `"backward"` its gradient; `"after"` the
   * activation once it has been saved.
   */
  readonly pass: "forward" | "backward" | "after";
  /** The function. */
  readonly run: HookFunction;
}

/** Name of one slot: location and layer. */
export type SlotKey = `${LocationName}/${number | "none"}`;

/** The key of a location's slot in a layer. */
export function slotKey(location: LocationName, layer: number | null): SlotKey {
  return `${location}/${layer ?? "none"}`;
}

const passOn: Op<[Tensor], { backward: (dy: Tensor, context: Context) => Tensor }> = {
  name: "slot",
  forward: (_, [x]) => x.view(),
  vjp: (context, { attributes }, dy) => [attributes.backward(dy, context)],
  jvp: (_, __, [tx]) => tx!.view(),
};

/** Every slot of one forward pass. */
export class Slots {
  readonly #hooks: readonly Hook[];
  readonly #save: ReadonlySet<SlotKey>;
  readonly #gradients: ReadonlySet<SlotKey>;
  readonly #packing: Packing;
  readonly #fired = new Set<Hook>();
  readonly #saved = new Map<SlotKey, Tensor>();
  readonly #watched = new Map<SlotKey, Tensor>();

  /**
   * Slots with these hooks.
   *
   * @param options `save`: slots whose activation is kept. `gradients`: slots
   * whose gradient is wanted.
   * @throws {TypeError} if a hook's location does not exist, naming the nearest.
   * @throws {RangeError} if its layer does not exist.
   */
  constructor(options: {
    packing: Packing;
    nLayers: number;
    hooks?: readonly Hook[];
    save?: ReadonlySet<SlotKey>;
    gradients?: ReadonlySet<SlotKey>;
  }) {
    this.#packing = options.packing;
    this.#hooks = options.hooks ?? [];
    this.#save = options.save ?? new Set();
    this.#gradients = options.gradients ?? new Set();
    for (const hook of this.#hooks) checkHook(hook, options.nLayers);
  }

  /** Activations kept so far. */
  get saved(): ReadonlyMap<SlotKey, Tensor> {
    return this.#saved;
  }

  /** Activations whose gradient is wanted. */
  get watched(): ReadonlyMap<SlotKey, Tensor> {
    return this.#watched;
  }

  /** Whether a hook may replace the activation here. */
  replaces(location: LocationName, layer: number | null): boolean {
    return this.#hooksAt([location], layer).some(({ pass }) => pass !== "backward");
  }

  /** Whether anybody reads or replaces anything here. */
  inUse(location: LocationName, layer: number | null): boolean {
    const key = slotKey(location, layer);
    return this.#save.has(key) || this.#gradients.has(key) ||
      this.#hooksAt([location], layer).length > 0;
  }

  /**
   * Passes an activation through its slot.
   *
   * @param names The location; several if one place has several names.
   * @returns What the rest of the forward pass uses in its place.
   */
  visit(
    context: Context,
    x: Tensor,
    { names, layer }: { names: readonly LocationName[]; layer: number | null },
  ): Tensor {
    const hooks = this.#hooksAt(names, layer);
    const pointOf = (hook: Hook, at: Context): HookPoint => ({
      location: hook.location,
      layer,
      context: at,
      packing: this.#packing,
    });
    const pass = (value: Tensor, which: Hook["pass"], at: Context) => {
      for (const hook of hooks) {
        if (hook.pass !== which) continue;
        this.#fired.add(hook);
        value = hook.run(value, pointOf(hook, at)) ?? value;
      }
      return value;
    };
    let y = pass(x, "forward", context);
    const keys = names.map((name) => slotKey(name, layer));
    for (const key of keys) {
      if (!this.#save.has(key)) continue;
      context.arena.retain(y);
      this.#saved.set(key, y);
    }
    const watchedKeys = keys.filter((key) => this.#gradients.has(key));
    const passesOn = hooks.some((hook) => hook.pass === "backward");
    if (watchedKeys.length > 0 || passesOn) context.tape?.watch(y);
    if (passesOn) {
      const backward = (dy: Tensor, at: Context) => pass(dy, "backward", at);
      y = run(context, passOn, { inputs: [y], attributes: { backward } });
    }
    for (const key of watchedKeys) {
      context.arena.retain(y);
      this.#watched.set(key, y); // behind the identity: before its own backward hooks
    }
    y = pass(y, "after", context);
    return y;
  }

  /**
   * Checks that every hook of these passes fired.
   *
   * @throws {Error} if a hook never fired: its slot does not exist in this run,
   * or, for a backward hook, no gradient came by.
   */
  checkFired(passes: readonly Hook["pass"][]): void {
    const silent = this.#hooks.filter((hook) =>
      passes.includes(hook.pass) && !this.#fired.has(hook)
    );
    if (silent.length === 0) return;
    const names = silent.map(({ location, layer, pass }) =>
      `"${location}" (${pass}, layer ${layer ?? "any"})`
    );
    throw new Error(
      `Cannot finish the run as hooks never fired: ${names.join(", ")}; a slot exists only where ` +
        "the forward pass goes by, and gradients only reach what the objective depends on",
    );
  }

  #hooksAt(names: readonly LocationName[], layer: number | null): readonly Hook[] {
    return this.#hooks.filter((hook) =>
      names.includes(hook.location) && (hook.layer ?? layer) === layer
    );
  }
}

function checkHook({ location, layer = null }: Hook, nLayers: number): void {
  const known = locations[location];
  if (known === undefined) {
    throw new TypeError(
      `Cannot find activation location "${location}": did you mean "${
        nearest(location, locationNames)
      }"?`,
    );
  }
  if (layer === null) return;
  if (!known.perLayer) {
    throw new RangeError(
      `Cannot hook "${location}" in layer ${layer} as the location has no layers: use null`,
    );
  }
  if (!Number.isInteger(layer) || layer < 0 || layer >= nLayers) {
    throw new RangeError(
      `Cannot hook "${location}" in layer ${layer}: layers are 0 to ${nLayers - 1}`,
    );
  }
}
