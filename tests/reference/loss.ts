import { type Ref, ref, type ReferenceOp, zerosLike } from "./ref.ts";
import { logSoftmax, softmax } from "./softmax.ts";

/** Attributes of {@linkcode crossEntropy}: one entry per row. */
export interface CrossEntropyAttrs {
  readonly targets: ArrayLike<number>;
  readonly weights: ArrayLike<number>;
}

/** y = Σ_n weights[n] · -log softmax(logits)[n, targets[n]]; [N, V] -> [1] */
export const crossEntropy: ReferenceOp<[logits: Ref], CrossEntropyAttrs> = {
  forward([logits], { targets, weights }) {
    const [N, V] = logits.shape as [number, number];
    const logProbs = logSoftmax.forward([logits], {});
    let sum = 0;
    for (let n = 0; n < N; n++) {
      sum -= weights[n]! * logProbs.data[n * V + targets[n]!]!;
    }
    return ref([1], [sum]);
  },
  // dlogits[n, v] = dy weights[n] (p[n, v] - [v = target])
  vjp([logits], { targets, weights }, dy) {
    const [N, V] = logits.shape as [number, number];
    const dLogits = softmax.forward([logits], {});
    for (let n = 0; n < N; n++) {
      dLogits.data[n * V + targets[n]!]! -= 1;
      for (let v = 0; v < V; v++) {
        dLogits.data[n * V + v]! *= dy.data[0]! * weights[n]!;
      }
    }
    return [dLogits];
  },
  jvp([logits], attrs, [tLogits = zerosLike(logits)]) {
    const [gradient] = crossEntropy.vjp([logits], attrs, ref([1], [1]));
    return ref([1], [dot(gradient, tLogits)]);
  },
};

/** The loss of one sequence, on one row of the logits. */
export interface LossSpec {
  /** The row: of the sequence's last token. */
  readonly row: number;
  /** Σ_v c_v z_v, or Σ_v c_v softmax(z)_v, or 0. */
  readonly kind: "linear" | "probs" | "zero";
  /** c [V] */
  readonly coefficients: ArrayLike<number>;
}

/** Attributes of {@linkcode loss}: one entry per sequence. */
export interface LossAttrs {
  readonly specs: readonly LossSpec[];
}

/** One row z of the logits, as [1, V]. */
function rowOf(logits: Ref, row: number): Ref {
  const V = logits.shape[1]!;
  return ref([1, V], logits.data.subarray(row * V, (row + 1) * V));
}

/** Gradient of one sequence's loss by its row z. */
function rowGradient(logits: Ref, { row, kind, coefficients }: LossSpec): Ref {
  const z = rowOf(logits, row);
  if (kind === "zero") return zerosLike(z);
  const c = ref(z.shape, coefficients);
  return kind === "linear" ? c : softmax.vjp([z], {}, c)[0];
}

/** One number per sequence: linear or in the probabilities; [N, V] -> [B] */
export const loss: ReferenceOp<[logits: Ref], LossAttrs> = {
  forward([logits], { specs }) {
    return ref(
      [specs.length],
      specs.map(({ row, kind, coefficients }) => {
        if (kind === "zero") return 0;
        const z = rowOf(logits, row);
        const c = ref(z.shape, coefficients);
        return dot(c, kind === "linear" ? z : softmax.forward([z], {}));
      }),
    );
  },
  vjp([logits], { specs }, dy) {
    const V = logits.shape[1]!;
    const dLogits = zerosLike(logits);
    specs.forEach((spec, b) => {
      rowGradient(logits, spec).data.forEach((g, v) =>
        dLogits.data[spec.row * V + v]! += dy.data[b]! * g
      );
    });
    return [dLogits];
  },
  jvp([logits], { specs }, [tLogits = zerosLike(logits)]) {
    return ref(
      [specs.length],
      specs.map((spec) => dot(rowGradient(logits, spec), rowOf(tLogits, spec.row))),
    );
  },
};

function dot(a: Ref, b: Ref): number {
  return a.data.reduce((sum, value, i) => sum + value * b.data[i]!, 0);
}
