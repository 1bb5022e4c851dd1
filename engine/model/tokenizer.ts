/**
 * Text to tokens and back, by the tokenizer that a model was published with.
 *
 * @module
 */

import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { z } from "zod";
import { RequestError } from "../errors.ts";
import { messageOf } from "./byte_source.ts";
import { readJson, type SourceFolder } from "./source.ts";

/** Text to tokens and back. */
export interface Tokenizer {
  /** Number of token ids. */
  readonly size: number;
  /**
   * The tokens of a text, without any that only mark its start or end.
   *
   * @throws {RequestError} if the vocabulary cannot express the text.
   */
  encode(text: string): number[];
  /**
   * The text of tokens, with every space and special token.
   *
   * @throws {RangeError} if there is no such token.
   */
  decode(ids: readonly number[]): string;
  /**
   * The text of one token, for people: a byte that is no character by itself
   * shows as U+FFFD, an id that the tokenizer does not have as `[id 50257]`
   * (some models have a larger vocabulary, for speed).
   */
  token(id: number): string;
}

/** What the library needs to find in the file; the parts themselves it checks. */
const fileSchema = z.looseObject({
  model: z.looseObject({}),
  added_tokens: z.array(z.looseObject({ lstrip: z.boolean(), rstrip: z.boolean() }).partial())
    .nullish().transform((tokens) => tokens ?? []),
  normalizer: z.unknown().default(null),
  pre_tokenizer: z.unknown().default(null),
  post_processor: z.unknown().default(null),
  decoder: z.unknown().default(null),
});

/**
 * Loads `tokenizer.json`, and `tokenizer_config.json` if there is one.
 *
 * @throws {Error} if there is no `tokenizer.json`.
 * @throws {SyntaxError} if a file is not what it should be.
 */
export async function loadTokenizer(folder: SourceFolder): Promise<Tokenizer> {
  const source = await folder.open("tokenizer.json");
  if (source === undefined) {
    throw new Error(`Cannot load tokenizer of "${folder.name}": it must have "tokenizer.json"`);
  }
  const configSource = await folder.open("tokenizer_config.json");
  const config = configSource === undefined ? {} : await readJson(configSource);
  const json = await readJson(source);
  try {
    const file = fileSchema.parse(json);
    return wrap(new HuggingFaceTokenizer(file, z.looseObject({}).parse(config)), {
      // Where these are at work the text does not come back as it was.
      changesText: file.normalizer !== null || file.decoder === null ||
        file.added_tokens.some(({ lstrip, rstrip }) => lstrip || rstrip),
    });
  } catch (cause) {
    const problem = cause instanceof z.ZodError ? z.prettifyError(cause) : messageOf(cause);
    throw new SyntaxError(`Cannot load tokenizer "${source.name}": ${problem}`, { cause });
  }
}

function wrap(
  tokenizer: HuggingFaceTokenizer,
  { changesText }: { changesText: boolean },
): Tokenizer {
  const size = tokenizer.model?.vocab.length ?? 0;
  const changes = changesText || tokenizer.model?.unk_token != null;
  const has = (id: number) => tokenizer.id_to_token(id) !== undefined;

  const decode = (ids: readonly number[]): string => {
    const unknown = ids.find((id) => !has(id));
    if (unknown !== undefined) {
      throw new RangeError(
        `Cannot decode token ${unknown}: token ids must be integers from 0 to ${size - 1}`,
      );
    }
    if (ids.length === 0) return "";
    return tokenizer.decode([...ids], {
      skip_special_tokens: false,
      clean_up_tokenization_spaces: false,
    });
  };
  return {
    size,
    decode,
    token: (id) => has(id) ? decode([id]) : `[id ${id}]`,
    encode(text) {
      const { ids } = tokenizer.encode(text, { add_special_tokens: false });
      if (changes) return ids;
      // The library drops what has no token; a prompt must not lose text.
      const back = decode(ids);
      const wanted = text.toWellFormed();
      if (back === wanted || back === ` ${wanted}`) return ids;
      throw new RequestError(
        "text_not_in_vocabulary",
        `Cannot encode ${JSON.stringify(text)} as the vocabulary has no tokens for a part of it: ` +
          `its tokens [${ids.join(", ")}] are only ${JSON.stringify(back)}`,
      );
    },
  };
}

/**
 * The token that a text is, for places where a text must be exactly one.
 *
 * @param options.field Where the text stands in the request, for the message.
 * @throws {RequestError} naming the text and the tokens that it is.
 */
export function singleToken(
  tokenizer: Tokenizer,
  text: string,
  { field }: { field: string },
): number {
  const action = `Cannot use "${text}" in "${field}" as it must be exactly one token`;
  let ids: number[];
  try {
    ids = tokenizer.encode(text);
  } catch (cause) {
    if (!(cause instanceof RequestError)) throw cause;
    throw new RequestError("not_one_token", `${action}: ${cause.message}`, { cause });
  }
  if (ids.length === 1) return ids[0]!;
  throw new RequestError("not_one_token", `${action}: current tokens are [${ids.join(", ")}]`);
}
