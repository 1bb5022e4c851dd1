/**
 * jax-js with its WebGPU backend. An array is used up by the call it goes into: `.ref` keeps it.
 *
 * @module
 */

import {
  type Array as JaxArray,
  defaultDevice,
  getWebGPUDevice,
  init,
  jit,
  nn,
  numpy as np,
  random,
} from "@jax-js/jax";
import type { Peer, PeerWork } from "./peer.ts";

const [heads, dHead] = [12, 64];
const width = heads * dHead;

/** Opens it. */
export async function openJax(): Promise<Peer> {
  if (!(await init("webgpu")).includes("webgpu")) {
    throw new Error("Cannot use jax-js: it has no WebGPU here");
  }
  defaultDevice("webgpu");
  return { name: "jax-js 0.1.25", device: getWebGPUDevice(), matmul, blocks };
}

/**
 * Work that gives an array. All of them are kept until they are waited for: jax-js is lazy,
 * and what is disposed of before that is never computed.
 */
function workOf(make: () => JaxArray, dispose: () => void): PeerWork {
  const made: JaxArray[] = [];
  return {
    run: () => made.push(make()),
    async finish() {
      const ready = await Promise.all(made.splice(0).map((array) => array.blockUntilReady()));
      for (const array of ready) array.dispose();
    },
    check: async () => (await make().data()).at(-1)!,
    dispose,
  };
}

async function matmul({ m, k, n }: { m: number; k: number; n: number }): Promise<PeerWork> {
  const a = np.ones([m, k]);
  const b = np.ones([k, n]);
  await a.ref.blockUntilReady();
  await b.ref.blockUntilReady();
  const product = jit((x: JaxArray, y: JaxArray) => np.matmul(x, y));
  return workOf(() => product(a.ref, b.ref), () => {
    a.dispose();
    b.dispose();
  });
}

interface Block {
  [name: string]: JaxArray;
}

async function blocks(
  { layers, length }: { layers: number; length: number },
): Promise<PeerWork> {
  let seed = 0;
  const weight = (...shape: number[]) => random.normal(random.key(seed++), shape).mul(0.02);
  const block = (): Block => ({
    g1: np.ones([width]),
    b1: np.zeros([width]),
    wq: weight(width, width),
    bq: np.zeros([width]),
    wk: weight(width, width),
    bk: np.zeros([width]),
    wv: weight(width, width),
    bv: np.zeros([width]),
    wo: weight(width, width),
    bo: np.zeros([width]),
    g2: np.ones([width]),
    b2: np.zeros([width]),
    wi: weight(width, 4 * width),
    bi: np.zeros([4 * width]),
    wu: weight(4 * width, width),
    bu: np.zeros([width]),
  });
  const weights = Array.from({ length: layers }, block);
  const x = weight(length, width);
  const mask = np.tril(np.ones([length, length])).sub(1).mul(1e9);
  for (const array of [x, mask, ...weights.flatMap((each) => Object.values(each))]) {
    await array.ref.blockUntilReady();
  }
  const forward = jit((first: JaxArray, masked: JaxArray, all: Block[]) => {
    let y = first;
    for (const w of all) y = through(y, masked.ref, w);
    masked.dispose();
    return y;
  });
  const kept = () =>
    weights.map((each) =>
      Object.fromEntries(Object.entries(each).map(([name, array]) => [name, array.ref]))
    );
  return workOf(() => forward(x.ref, mask.ref, kept()), () => {
    for (const array of [x, mask, ...weights.flatMap((each) => Object.values(each))]) {
      array.dispose();
    }
  });
}

/** One block of GPT-2. */
function through(x: JaxArray, mask: JaxArray, w: Block): JaxArray {
  const length = x.shape[0]!;
  const split = (y: JaxArray) => y.reshape([length, heads, dHead]).transpose([1, 0, 2]);
  const normed = (y: JaxArray, gain: JaxArray, bias: JaxArray) =>
    nn.standardize(y, -1).mul(gain).add(bias);
  const linear = (y: JaxArray, weights: JaxArray, bias: JaxArray) =>
    np.matmul(y, weights).add(bias);

  const y1 = normed(x.ref, w.g1!, w.b1!);
  const q = split(linear(y1.ref, w.wq!, w.bq!));
  const k = split(linear(y1.ref, w.wk!, w.bk!));
  const v = split(linear(y1, w.wv!, w.bv!));
  const scores = np.matmul(q, k.transpose([0, 2, 1])).mul(dHead ** -0.5).add(mask);
  const mixed = np.matmul(nn.softmax(scores, -1), v).transpose([1, 0, 2]).reshape([length, width]);
  const mid = x.add(linear(mixed, w.wo!, w.bo!));
  const y2 = normed(mid.ref, w.g2!, w.b2!);
  return mid.add(linear(nn.gelu(linear(y2, w.wi!, w.bi!)), w.wu!, w.bu!));
}
