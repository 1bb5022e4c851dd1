/**
 * The words of the recall model and the prompts it learns from: random words, and
 * then a part of them again. What follows a word's second appearance is what
 * followed its first.
 *
 * @module
 */

import type { Random } from "../../tests/support/random.ts";

/** The vocabulary: common concrete nouns, each one token, by its index. */
export const words: readonly string[] = `
apple anchor basket beach bell bird boat bottle branch bread bridge brush
bucket butter button cabin candle castle chair cherry clock cloud coat coin
corn crown cup desk door dress drum eagle engine feather fence field flower
forest garden glass glove goat hammer harbor hat honey horse house island
jacket kettle key kitchen ladder lake lamp leaf lemon letter lion map meadow
melon mirror moon mountain needle nest ocean onion orange oven owl paint
paper pear pencil piano pillow plate pocket pond potato rabbit rain ring
river road rocket roof rope rose salt sand scarf seed shadow sheep shell ship
shoe silver spoon stable star stone storm street sugar summer table tent
tiger tower train tree tunnel valley village violin wagon wall water wheel
window winter wolf wood
`.trim().split(/\s+/);

/** A prompt whose later words are determined by its earlier ones. */
export interface RecallPrompt {
  /** Position of the first token; 0 but in training. */
  readonly offset: number;
  /** The tokens shown. */
  readonly tokens: readonly number[];
  /** The token that comes next at each position of `tokens`. */
  readonly next: readonly number[];
  /** The positions of `tokens` from which on the next token is determined. */
  readonly determined: readonly number[];
}

/** Fewest and most distinct words of a prompt's first part. */
export const wordsAtLeast = 3;
/** See {@linkcode wordsAtLeast}. */
export const wordsAtMost = 15;

/**
 * A random prompt: 3 to 15 distinct words, and then those from a random one on to
 * the last again. From the first repeated word on, the next one is determined.
 */
export function recallPrompt(random: Random): RecallPrompt {
  const count = wordsAtLeast + random.integer(wordsAtMost - wordsAtLeast + 1);
  const first = distinct(random, count);
  // Half of the prompts repeat all words, the others from a later one on.
  const from = random.uniform() < 0.5 ? 0 : random.integer(count - 1);
  const all = [...first, ...first.slice(from)];
  const tokens = all.slice(0, -1);
  return {
    offset: 0,
    tokens,
    next: all.slice(1),
    determined: Array.from({ length: tokens.length - count }, (_, i) => count + i),
  };
}

/**
 * A prompt to learn from. Most begin at a random position up to `nCtx`: if all began
 * at 0, heads would learn which two positions to compare, and not to look one back.
 */
export function trainingPrompt(random: Random, { nCtx }: { nCtx: number }): RecallPrompt {
  const prompt = recallPrompt(random);
  const offset = random.integer(nCtx - prompt.tokens.length + 1);
  return { ...prompt, offset: random.uniform() < 0.25 ? 0 : offset };
}

/** `count` different tokens in random order. */
function distinct(random: Random, count: number): number[] {
  const rest = words.map((_, token) => token);
  return Array.from({ length: count }, () => rest.splice(random.integer(rest.length), 1)[0]!);
}
