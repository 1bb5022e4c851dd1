/**
 * What is wrong with a piece of JSON, in words.
 *
 * @module
 */

import type { z } from "zod";
import { nearest } from "../engine/tape/nearest.ts";

/** Longest value that is shown in full. */
const LONGEST = 60;

const words: Readonly<Record<string, string>> = {
  object: "an object",
  array: "a list",
  string: "a string",
  number: "a number",
  int: "an integer",
  boolean: "true or false",
};

/**
 * One sentence for an issue that zod found with `reportInput`: the path, such as
 * `sequences[0].dsts[2].dst`, the value there and what is wanted. A schema's own
 * `error` says what the value must be, that of a refinement what it must do.
 */
export function describeIssue(issue: z.core.$ZodIssue): string {
  const path = pathOf(issue.path);
  if (issue.code === "unrecognized_keys") {
    const fields = issue.keys.map((key) => `"${path === "" ? key : `${path}.${key}`}"`);
    return `unknown ${fields.length === 1 ? "field" : "fields"} ${fields.join(", ")}`;
  }
  const field = path === "" ? "the whole of it" : `"${path}"`;
  if (issue.code === "custom") return `${field} must ${issue.message}`;
  if (issue.input === undefined) return `${field} is missing, it must be ${wanted(issue)}`;
  return `${field} is ${shown(issue.input)}, it must be ${wanted(issue)}`;
}

function wanted(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_type") return words[issue.expected] ?? issue.expected;
  if (issue.code === "too_big") return "a smaller number";
  if (issue.code !== "invalid_value") return issue.message;
  const names = issue.values.map(String);
  const quoted = names.map((name) => `"${name}"`);
  if (quoted.length <= 4) return quoted.join(" or ");
  const guess = typeof issue.input === "string" ? nearest(issue.input, names) : undefined;
  return `one of ${quoted.slice(0, 3).join(", ")} (+${quoted.length - 3} more)` +
    (guess === undefined ? "" : `, did you mean "${guess}"?`);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}...`;
}

function pathOf(path: readonly PropertyKey[]): string {
  return path.map((step) => typeof step === "number" ? `[${step}]` : `.${String(step)}`)
    .join("").replace(/^\./, "");
}
