import assert from "node:assert/strict";

import { locationNames, locations } from "../../../engine/tape/locations.ts";
import { scale } from "../../../engine/tape/ops/elementwise.ts";
import { overwrite } from "../../../engine/tape/ops/slice.ts";
import type { Context } from "../../../engine/tape/op.ts";
import { pack } from "../../../engine/tape/packing.ts";
import { type Hook, type SlotKey, slotKey, Slots } from "../../../engine/tape/slots.ts";
import type { Arena, Tensor } from "../../../engine/tape/tensor.ts";
import { ref } from "../../reference/mod.ts";
import { gpuTest, readRefs, recording, upload } from "../../support/gpu.ts";

function slots(
  arena: Arena,
  options: { hooks?: readonly Hook[]; save?: readonly SlotKey[]; gradients?: readonly SlotKey[] },
): Slots {
  const { hooks = [], save = [], gradients = [] } = options;
  return new Slots({
    packing: pack(arena, [2]),
    nLayers: 3,
    hooks,
    save: new Set(save),
    gradients: new Set(gradients),
  });
}

const input = (arena: Arena): Tensor => upload(arena, ref([2], [1, 10]), "x");

/** A hook that multiplies what it sees. */
function times(
  alpha: number,
  where: { pass: Hook["pass"]; location?: Hook["location"]; layer?: number | null },
): Hook {
  return {
    location: "mlp.post_act",
    ...where,
    run: (x, { context }) => scale(context, x, alpha),
  };
}

async function values(tensors: readonly Tensor[]): Promise<number[][]> {
  return (await readRefs(tensors)).map(({ data }) => [...data]);
}

const at = { names: ["mlp.post_act"], layer: 1 } as const;
const here: SlotKey = "mlp.post_act/1";

/** Gradient of the sum of `y` at `wanted`. */
function gradientsOf(
  cx: ReturnType<typeof recording>,
  y: Tensor,
  wanted: readonly Tensor[],
): Tensor[] {
  const seed = upload(cx.arena, ref([2], [1, 1]));
  const gradients = cx.tape.backward(cx, { seeds: [[y, seed]], wanted: new Set(wanted) });
  return wanted.map((tensor) => gradients.get(tensor)!);
}

gpuTest(
  "Slots.visit() runs forward hooks, the save, the identity and the after hooks, in this order",
  async ({ context }) => {
    const calls: string[] = [];
    const noting = (name: string, hook: Hook): Hook => ({
      ...hook,
      run(x, point) {
        calls.push(name);
        return hook.run(x, point);
      },
    });
    const s = slots(context.arena, {
      // Listed in another order than that in which they run.
      hooks: [
        noting("after", times(100, { pass: "after" })),
        noting("backward 1", times(-3, { pass: "backward" })),
        noting("forward 1", times(2, { pass: "forward" })),
        noting("backward 2", times(5, { pass: "backward" })),
        noting("forward 2", times(3, { pass: "forward" })),
      ],
      save: [here],
      gradients: [here],
    });
    const x = input(context.arena);
    const cx = recording(context, [x]);
    const y = scale(cx, s.visit(cx, x, at), 7);
    assert.deepEqual(calls, ["forward 1", "forward 2", "after"]);
    const [atSlot, atX] = gradientsOf(cx, y, [s.watched.get(here)!, x]);
    assert.deepEqual(calls.slice(3), ["backward 1", "backward 2"]);
    assert.deepEqual(await values([s.saved.get(here)!, y, atSlot!, atX!]), [
      [6, 60], // after the forward hooks, before the after hook
      [4200, 42000],
      [700, 700], // with respect to what was saved, before its own backward hooks
      [700 * -15 * 6, 700 * -15 * 6], // upstream sees what the backward hooks made of it
    ]);
  },
);

gpuTest(
  "Slots.visit() gives the same tensor back at a slot that nobody uses",
  ({ gpu, context }) => {
    const s = slots(context.arena, {
      hooks: [times(2, { pass: "forward", layer: 0 })],
      save: ["mlp.post_act/2"],
    });
    const x = input(context.arena);
    const cx = recording(context, [x]);
    const before = gpu.counts().dispatches;
    assert.equal(s.visit(cx, x, at), x);
    assert.equal(cx.tape.length, 0);
    assert.equal(gpu.counts().dispatches, before);
    assert.deepEqual([0, 1, 2].map((layer) => s.inUse("mlp.post_act", layer)), [true, false, true]);
    assert.deepEqual([0, 2].map((layer) => s.replaces("mlp.post_act", layer)), [true, false]);
  },
);

gpuTest("Slots.visit() at a slot that is only saved or watched copies nothing", ({ context }) => {
  const s = slots(context.arena, { save: [here], gradients: [here] });
  const x = input(context.arena);
  const cx = recording(context);
  assert.equal(s.visit(cx, x, at), x);
  assert.equal(s.saved.get(here), x);
  assert.equal(s.watched.get(here), x);
  assert.equal(cx.tape.tracks(x), true);
});

gpuTest("Slots.visit() keeps a saved activation through tidy()", async ({ context }) => {
  const { arena } = context;
  const s = slots(arena, { save: [here] });
  const x = input(arena);
  arena.tidy(() => {
    s.visit(context, scale(context, x, 4), at);
    return undefined;
  });
  scale(context, x, 5); // would take over the memory, had it been given back
  assert.deepEqual(await values([s.saved.get(here)!]), [[4, 40]]);
});

gpuTest(
  "Slots.visit() calls a hook without layer in every layer, and tells it where it is",
  ({ context }) => {
    const seen: (number | null)[] = [];
    const run: Hook["run"] = (x, point) => {
      seen.push(point.layer);
      assert.equal(point.location, "mlp.post_act");
      assert.deepEqual(point.packing.lengths, [2]);
      assert.deepEqual(x.shape, [2]);
    };
    const s = slots(context.arena, {
      hooks: [
        { location: "mlp.post_act", pass: "forward", run },
        { location: "mlp.post_act", layer: null, pass: "forward", run },
        { location: "mlp.post_act", layer: 2, pass: "forward", run },
      ],
    });
    const x = input(context.arena);
    for (const layer of [0, 1, 2]) {
      assert.equal(s.visit(context, x, { ...at, layer }), x, "no result leaves the value");
      s.visit(context, x, { names: ["mlp.pre_act"], layer });
    }
    assert.deepEqual(seen, [0, 0, 1, 1, 2, 2, 2]);
    s.checkFired(["forward"]);
  },
);

gpuTest(
  "Slots.visit() saves, watches and hooks a place under each of its two names",
  async ({ context }) => {
    const names = ["online_mlp_autoencoder_latent", "online_autoencoder_latent"] as const;
    const keys = names.map((name) => slotKey(name, 1));
    const s = slots(context.arena, {
      hooks: names.map((location, i) => times(i + 2, { pass: "forward", location, layer: 1 }))
        .concat(times(-1, { pass: "backward", location: names[1], layer: 1 })),
      save: keys,
      gradients: keys,
    });
    const x = input(context.arena);
    const cx = recording(context, [x]);
    const y = s.visit(cx, x, { names, layer: 1 });
    const [first, second] = keys.map((key) => s.watched.get(key)!);
    assert.equal(first, second);
    const [gradient, atX] = gradientsOf(cx, y, [first!, x]);
    const saved = keys.map((key) => s.saved.get(key)!);
    assert.deepEqual(await values([...saved, y, gradient!, atX!]), [
      [6, 60],
      [6, 60],
      [6, 60],
      [1, 1],
      [-6, -6],
    ]);
  },
);

gpuTest(
  "Slots.visit() with an overwriting hook changes what is downstream and stops the gradient there",
  async ({ context }) => {
    const region = { start: 0, shape: [2], first: [1], count: [1] };
    const s = slots(context.arena, {
      hooks: [{
        location: "mlp.post_act",
        layer: 1,
        pass: "forward",
        run: (x, point) => overwrite(point.context, x, { region, value: 0.5 }),
      }],
      save: [here],
    });
    const x = input(context.arena);
    const cx = recording(context, [x]);
    const y = scale(cx, s.visit(cx, x, at), 2);
    const [dx] = gradientsOf(cx, y, [x]);
    assert.deepEqual(await values([x, s.saved.get(here)!, y, dx!]), [
      [1, 10],
      [1, 0.5],
      [2, 1],
      [2, 0],
    ]);
  },
);

gpuTest("Slots refuses a location that does not exist, and names the nearest", ({ arena }) => {
  const hook = { ...times(1, { pass: "forward" }), location: "attn.qk_prob" as "attn.qk_probs" };
  assert.throws(() => slots(arena, { hooks: [hook] }), {
    name: "TypeError",
    message: 'Cannot find activation location "attn.qk_prob": did you mean "attn.qk_probs"?',
  });
});

gpuTest("Slots refuses a layer that does not exist", ({ arena }) => {
  const hooked = (location: Hook["location"], layer: number) => () =>
    slots(arena, { hooks: [times(1, { pass: "forward", location, layer })] });
  for (const layer of [3, -1, 0.5]) {
    assert.throws(hooked("mlp.post_act", layer), {
      name: "RangeError",
      message: `Cannot hook "mlp.post_act" in layer ${layer}: layers are 0 to 2`,
    });
  }
  assert.throws(hooked("logits", 0), {
    name: "RangeError",
    message: 'Cannot hook "logits" in layer 0 as the location has no layers: use null',
  });
});

gpuTest("Slots.checkFired() names every hook that never fired", ({ context }) => {
  const s = slots(context.arena, {
    hooks: [
      times(1, { pass: "forward", layer: 1 }),
      times(1, { pass: "forward", location: "attn.q" }),
      times(1, { pass: "after", location: "attn.k", layer: 2 }),
      times(1, { pass: "backward", layer: 1 }),
    ],
  });
  const x = input(context.arena);
  const cx: Context = recording(context, [x]);
  s.visit(cx, x, at);
  assert.throws(() => s.checkFired(["forward", "after"]), {
    message: 'Cannot finish the run as hooks never fired: "attn.q" (forward, layer any), ' +
      '"attn.k" (after, layer 2); a slot exists only where the forward pass goes by, and ' +
      "gradients only reach what the objective depends on",
  });
  assert.throws(() => s.checkFired(["backward"]), /"mlp.post_act" \(backward, layer 1\)/);
});

Deno.test("locationNames is the golden list, in the order of the forward pass", () => {
  assert.deepEqual(locationNames, [
    "resid.post_emb",
    "attn_ln.scale",
    "resid.post_mlp_ln",
    "attn.q",
    "attn.k",
    "attn.v",
    "attn.qk_logits",
    "attn.qk_probs",
    "attn.v_out",
    "resid.delta_attn",
    "online_attention_autoencoder_latent",
    "online_residual_attention_autoencoder_error",
    "resid.post_attn",
    "mlp_ln.scale",
    "resid.post_attn_ln",
    "mlp.pre_act",
    "mlp.post_act",
    "online_mlp_autoencoder_error",
    "resid.delta_mlp",
    "online_mlp_autoencoder_latent",
    "online_residual_mlp_autoencoder_error",
    "online_autoencoder_latent",
    "resid.post_mlp",
    "resid.ln_f.scale",
    "resid.post_ln_f",
    "logits",
  ]);
  const withoutLayers = locationNames.filter((name) => !locations[name].perLayer);
  assert.deepEqual(withoutLayers, [
    "resid.post_emb",
    "resid.ln_f.scale",
    "resid.post_ln_f",
    "logits",
  ]);
});
