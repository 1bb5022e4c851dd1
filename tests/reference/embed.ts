import { type Ref, ref, type ReferenceOp, zerosLike } from "./ref.ts";

/** Attributes of {@linkcode embed}: one entry per row. */
export interface EmbedAttrs {
  readonly tokens: ArrayLike<number>;
  readonly positions: ArrayLike<number>;
}

/** y[n] = wte[token n] + wpe[position n]; wte [V, d], wpe [C, d] -> [N, d] */
export const embed: ReferenceOp<[wte: Ref, wpe: Ref], EmbedAttrs> = {
  forward([wte, wpe], { tokens, positions }) {
    const d = wte.shape[1]!;
    const y = ref([tokens.length, d]);
    for (let n = 0; n < tokens.length; n++) {
      for (let c = 0; c < d; c++) {
        y.data[n * d + c] = wte.data[tokens[n]! * d + c]! +
          wpe.data[positions[n]! * d + c]!;
      }
    }
    return y;
  },
  // a token or position that occurs twice gathers both gradients
  vjp([wte, wpe], { tokens, positions }, dy) {
    const d = wte.shape[1]!;
    const dWte = zerosLike(wte);
    const dWpe = zerosLike(wpe);
    for (let n = 0; n < tokens.length; n++) {
      for (let c = 0; c < d; c++) {
        dWte.data[tokens[n]! * d + c]! += dy.data[n * d + c]!;
        dWpe.data[positions[n]! * d + c]! += dy.data[n * d + c]!;
      }
    }
    return [dWte, dWpe];
  },
  // linear in both tables
  jvp([wte, wpe], attrs, [tWte, tWpe]) {
    return embed.forward(
      [tWte ?? zerosLike(wte), tWpe ?? zerosLike(wpe)],
      attrs,
    );
  },
};
