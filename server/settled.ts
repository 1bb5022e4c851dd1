/**
 * Waiting for several things at once.
 *
 * @module
 */

/**
 * The results of all promises, in one wait. If some fail, throws the first one's error
 * once none is at work any more: what they work with can then be given back.
 */
export async function settled<Promises extends readonly unknown[] | []>(
  promises: Promises,
): Promise<{ -readonly [I in keyof Promises]: Awaited<Promises[I]> }> {
  await Promise.allSettled(promises);
  return await Promise.all(promises);
}
