import assert from "node:assert/strict";

import { createQueue, QueueFullError } from "../../server/queue.ts";

/** Work that ends when it is told to. */
function controlled() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let hasBegun = false;
  return {
    work: () => {
      hasBegun = true;
      return promise;
    },
    get hasBegun() {
      return hasBegun;
    },
    resolve,
    reject,
  };
}

const turns = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("Queue.run() does one piece of work at a time, in the order in which they came", async () => {
  const queue = createQueue({ maxWaiting: 8 });
  const [a, b, c] = [controlled(), controlled(), controlled()];
  const results = [a, b, c].map(({ work }) => queue.run(work));
  await turns();
  assert.deepEqual([a, b, c].map(({ hasBegun }) => hasBegun), [true, false, false]);
  assert.equal(queue.size, 3);
  c.resolve("c");
  a.resolve("a");
  await turns();
  assert.deepEqual([a, b, c].map(({ hasBegun }) => hasBegun), [true, true, false]);
  b.resolve("b");
  assert.deepEqual(await Promise.all(results), ["a", "b", "c"]);
  assert.equal(queue.size, 0);
});

Deno.test("Queue.run() goes on after work that fails", async () => {
  const queue = createQueue({ maxWaiting: 8 });
  const failing = queue.run(() => Promise.reject(new RangeError("no")));
  const next = queue.run(() => Promise.resolve("yes"));
  await assert.rejects(failing, RangeError);
  assert.equal(await next, "yes");
});

Deno.test("Queue.run() refuses work if too much waits, and takes it again later", async () => {
  const queue = createQueue({ maxWaiting: 1 });
  const [a, b] = [controlled(), controlled()];
  const results = [a, b].map(({ work }) => queue.run(work));
  await turns();
  await assert.rejects(queue.run(() => Promise.resolve("c")), QueueFullError);
  a.resolve("a");
  b.resolve("b");
  await Promise.all(results);
  assert.equal(await queue.run(() => Promise.resolve("c")), "c");
});

Deno.test("Queue.run() takes aborted work out if it has not begun, and only then", async () => {
  const queue = createQueue({ maxWaiting: 2 });
  const [a, b, c] = [controlled(), controlled(), controlled()];
  const [stopA, stopB] = [new AbortController(), new AbortController()];
  const first = queue.run(a.work, { signal: stopA.signal });
  const second = queue.run(b.work, { signal: stopB.signal });
  const third = queue.run(c.work);
  await turns();
  stopB.abort(new Error("gone"));
  stopA.abort(new Error("gone"));
  await assert.rejects(second, /gone/);
  assert.equal(queue.size, 2);
  a.resolve("a");
  c.resolve("c");
  assert.deepEqual(await Promise.all([first, third]), ["a", "c"]);
  assert.equal(b.hasBegun, false);
  await assert.rejects(queue.run(b.work, { signal: stopB.signal }), /gone/);
  assert.equal(queue.size, 0);
});
