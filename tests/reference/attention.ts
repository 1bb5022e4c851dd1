/**
 * Attention over packed sequences, in its three steps and as a whole. Pair row
 * `p` of a [P, H] tensor is one (query, key) of one sequence: the sequences'
 * blocks [T, T] follow each other, each row-major with the query first.
 *
 * @module
 */

import { type Ref, ref, type ReferenceOp, zerosLike } from "./ref.ts";
import { type Lane, softmaxJacobian, softmaxLanes } from "./softmax.ts";

/** Attributes of the ops of attention. */
export interface LengthsAttrs {
  /** Number of positions T of each sequence. */
  readonly lengths: readonly number[];
}

/** Attributes of {@linkcode qkLogits}. */
export interface QkLogitsAttrs extends LengthsAttrs {
  /** Whether a key after the query is masked. */
  readonly causal: boolean;
}

/** Every pair: its row, and the packed rows of its query and key. */
function* pairs(lengths: readonly number[]) {
  let pair = 0;
  let start = 0;
  for (const T of lengths) {
    for (let q = 0; q < T; q++) {
      for (let k = 0; k < T; k++) {
        yield { pair: pair++, query: start + q, key: start + k };
      }
    }
    start += T;
  }
}

/** The keys of each (query, head). */
function keyLanes(lengths: readonly number[], H: number): Lane[] {
  const lanes: Lane[] = [];
  let pair = 0;
  for (const T of lengths) {
    for (let q = 0; q < T; q++, pair += T) {
      for (let h = 0; h < H; h++) {
        lanes.push({ start: pair * H + h, stride: H, count: T });
      }
    }
  }
  return lanes;
}

function pairCount(lengths: readonly number[]): number {
  return lengths.reduce((count, T) => count + T * T, 0);
}

/**
 * y[q, k, h] = Σ_c q[q, h, c] k[k, h, c], and -inf, without gradient, where
 * causal and k > q; q, k [N, H, e] -> [P, H]
 */
export const qkLogits: ReferenceOp<[q: Ref, k: Ref], QkLogitsAttrs> = {
  forward([q, k], { lengths, causal }) {
    const [, H, e] = q.shape as [number, number, number];
    const y = ref([pairCount(lengths), H]);
    for (const { pair, query, key } of pairs(lengths)) {
      for (let h = 0; h < H; h++) {
        let sum = 0;
        for (let c = 0; c < e; c++) {
          sum += q.data[(query * H + h) * e + c]! *
            k.data[(key * H + h) * e + c]!;
        }
        y.data[pair * H + h] = causal && key > query ? -Infinity : sum;
      }
    }
    return y;
  },
  // dq[q] = Σ_k dy[q, k] k[k], dk[k] = Σ_q dy[q, k] q[q], over visible pairs
  vjp([q, k], { lengths, causal }, dy) {
    const [, H, e] = q.shape as [number, number, number];
    const dq = zerosLike(q);
    const dk = zerosLike(k);
    for (const { pair, query, key } of pairs(lengths)) {
      if (causal && key > query) continue;
      for (let h = 0; h < H; h++) {
        const g = dy.data[pair * H + h]!;
        for (let c = 0; c < e; c++) {
          const atQ = (query * H + h) * e + c;
          const atK = (key * H + h) * e + c;
          dq.data[atQ]! += g * k.data[atK]!;
          dk.data[atK]! += g * q.data[atQ]!;
        }
      }
    }
    return [dq, dk];
  },
  // ty[q, k] = tq[q] · k[k] + q[q] · tk[k] over visible pairs
  jvp([q, k], { lengths, causal }, [tq = zerosLike(q), tk = zerosLike(k)]) {
    const [, H, e] = q.shape as [number, number, number];
    const ty = ref([pairCount(lengths), H]);
    for (const { pair, query, key } of pairs(lengths)) {
      if (causal && key > query) continue;
      for (let h = 0; h < H; h++) {
        for (let c = 0; c < e; c++) {
          const atQ = (query * H + h) * e + c;
          const atK = (key * H + h) * e + c;
          ty.data[pair * H + h]! += tq.data[atQ]! * k.data[atK]! +
            q.data[atQ]! * tk.data[atK]!;
        }
      }
    }
    return ty;
  },
};

/** Softmax over the keys of each (query, head); logits [P, H] -> [P, H] */
export const softmaxKeys: ReferenceOp<[logits: Ref], LengthsAttrs> = {
  forward: ([logits], { lengths }) => softmaxLanes(logits, keyLanes(lengths, logits.shape[1]!)),
  vjp([logits], { lengths }, dy) {
    const lanes = keyLanes(lengths, logits.shape[1]!);
    return [softmaxJacobian(softmaxLanes(logits, lanes), dy, lanes)];
  },
  jvp([logits], { lengths }, [tLogits = zerosLike(logits)]) {
    const lanes = keyLanes(lengths, logits.shape[1]!);
    return softmaxJacobian(softmaxLanes(logits, lanes), tLogits, lanes);
  },
};

/**
 * y[q, h, c] = Σ_k probs[q, k, h] v[k, h, c] over all keys of the sequence: a
 * probability above the diagonal may have been overwritten and then counts;
 * probs [P, H], v [N, H, e] -> [N, H, e]
 */
export const weightedSum: ReferenceOp<[probs: Ref, v: Ref], LengthsAttrs> = {
  forward([probs, v], { lengths }) {
    const [, H, e] = v.shape as [number, number, number];
    const y = zerosLike(v);
    for (const { pair, query, key } of pairs(lengths)) {
      for (let h = 0; h < H; h++) {
        for (let c = 0; c < e; c++) {
          y.data[(query * H + h) * e + c]! += probs.data[pair * H + h]! *
            v.data[(key * H + h) * e + c]!;
        }
      }
    }
    return y;
  },
  // dprobs[q, k] = dy[q] · v[k], dv[k] = Σ_q probs[q, k] dy[q]
  vjp([probs, v], { lengths }, dy) {
    const [, H, e] = v.shape as [number, number, number];
    const dProbs = zerosLike(probs);
    const dv = zerosLike(v);
    for (const { pair, query, key } of pairs(lengths)) {
      for (let h = 0; h < H; h++) {
        for (let c = 0; c < e; c++) {
          const g = dy.data[(query * H + h) * e + c]!;
          const atV = (key * H + h) * e + c;
          dProbs.data[pair * H + h]! += g * v.data[atV]!;
          dv.data[atV]! += probs.data[pair * H + h]! * g;
        }
      }
    }
    return [dProbs, dv];
  },
  // ty = Σ_k tprobs v + probs tv
  jvp([probs, v], attrs, [tProbs = zerosLike(probs), tv = zerosLike(v)]) {
    const ty = weightedSum.forward([tProbs, v], attrs);
    const byV = weightedSum.forward([probs, tv], attrs);
    ty.data.forEach((value, i) => ty.data[i] = value + byV.data[i]!);
    return ty;
  },
};

/** Causal attention, the three steps in one; q, k, v [N, H, e] -> [N, H, e] */
export const attention: ReferenceOp<[q: Ref, k: Ref, v: Ref], LengthsAttrs> = {
  forward([q, k, v], { lengths }) {
    const logits = qkLogits.forward([q, k], { lengths, causal: true });
    const probs = softmaxKeys.forward([logits], { lengths });
    return weightedSum.forward([probs, v], { lengths });
  },
  vjp([q, k, v], { lengths }, dy) {
    const causal = { lengths, causal: true };
    const logits = qkLogits.forward([q, k], causal);
    const probs = softmaxKeys.forward([logits], { lengths });
    const [dProbs, dv] = weightedSum.vjp([probs, v], { lengths }, dy);
    const [dLogits] = softmaxKeys.vjp([logits], { lengths }, dProbs);
    const [dq, dk] = qkLogits.vjp([q, k], causal, dLogits);
    return [dq, dk, dv];
  },
  jvp([q, k, v], { lengths }, [tq, tk, tv]) {
    const causal = { lengths, causal: true };
    const logits = qkLogits.forward([q, k], causal);
    const probs = softmaxKeys.forward([logits], { lengths });
    const tLogits = qkLogits.jvp([q, k], causal, [tq, tk]);
    const tProbs = softmaxKeys.jvp([logits], { lengths }, [tLogits]);
    return weightedSum.jvp([probs, v], { lengths }, [tProbs, tv]);
  },
};
