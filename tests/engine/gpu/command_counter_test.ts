import assert from "node:assert/strict";

import { CommandCounter } from "../../../engine/gpu/command_counter.ts";

Deno.test("CommandCounter.inLayer() counts launches for the layer, or for none, whatever throws", () => {
  const commands = new CommandCounter();
  commands.dispatched();
  assert.equal(commands.inLayer(2, () => commands.layer), 2);
  commands.inLayer(2, () => {
    commands.dispatched();
    commands.inLayer(0, () => commands.dispatched());
    commands.inLayer(null, () => commands.dispatched());
    assert.throws(() =>
      commands.inLayer(1, () => {
        throw new Error("in layer 1");
      })
    );
    commands.dispatched();
  });
  assert.equal(commands.layer, null);
  assert.deepEqual(commands.counts(), {
    dispatches: 5,
    dispatchesByLayer: [1, 0, 2],
    submits: 0,
    reads: 0,
  });
});
