/**
 * Compares responses with those of the golden data: numbers within the tolerance, lists
 * of nodes and tokens in order wherever their values differ by more than that.
 *
 * @module
 */

import assert from "node:assert/strict";

import { goldenTolerance } from "../support/golden.ts";

/** Any piece of JSON. */
export type Json = null | boolean | number | string | Json[] | { [field: string]: Json };
type JsonObject = { [field: string]: Json };

/** Fields that differ from run to run. */
const unpredictable = ["inferenceTime", "memoryUsedBefore", "memoryUsedAfter", "log"];

/** Fields of lists that go with `nodeIndices`. */
const listsByNode = ["topTokensList", "topTokensAttendedToList", "vocabTokenStringsForIndices"];

/** Asserts that a response is as wanted; `path` says where it stands, for the message. */
export function assertResponse(got: Json, want: Json, path = "response"): void {
  if (typeof want === "number") {
    assert.ok(typeof got === "number" && isNear(got, want), `${path}: got ${got}, want ${want}`);
  } else if (Array.isArray(want)) {
    assert.ok(Array.isArray(got), `${path}: got ${JSON.stringify(got)}, want a list`);
    assert.equal(got.length, want.length, `${path}: number of entries`);
    want.forEach((each, i) => assertResponse(got[i]!, each, `${path}[${i}]`));
  } else if (isObject(want)) {
    const fields = Object.entries<Json>(want);
    assert.ok(isObject(got), `${path}: got ${JSON.stringify(got)}, want an object`);
    assert.deepEqual(Object.keys(got).sort(), Object.keys(want).sort(), `${path}: fields`);
    if ("bottom" in want) assertTopTokens(got, want, path);
    else if ("attributions" in want) assertAttributions(got, want, path);
    else if (isAboutNodes(want)) assertSpecs({ only: got }, { only: want }, path);
    else if (fields.some(([, value]) => isAboutNodes(value))) assertSpecs(got, want, path);
    else {
      for (const [field, value] of fields) {
        if (unpredictable.includes(field)) continue;
        assertResponse(got[field]!, value, `${path}.${field}`);
      }
    }
  } else assert.deepEqual(got, want, path);
}

function isNear(got: number, want: number): boolean {
  return Math.abs(got - want) <= goldenTolerance.rel * Math.abs(want) + goldenTolerance.abs;
}

function isObject(value: Json | undefined): value is JsonObject {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** Whether its nodes were chosen by value, or depend on such. */
function isAboutNodes(value: Json): value is JsonObject {
  return isObject(value) && "nodeIndices" in value && !("activations" in value);
}

/** The specs of a sub-response, by name. */
function assertSpecs(got: JsonObject, want: JsonObject, path: string): void {
  for (const [name, spec] of Object.entries(want)) {
    if (!isObject(spec) || !("activationsByGroupId" in spec)) continue;
    assertTopNodes(got[name] as JsonObject, spec, `${path}.${name}`);
  }
  for (const [name, spec] of Object.entries(want)) {
    const at = `${path}.${name}`;
    if (!isAboutNodes(spec)) {
      assertResponse(got[name]!, spec, at);
      continue;
    }
    const ours = got[name] as JsonObject;
    const order = keysOf(ours);
    const theirs = keysOf(spec);
    for (const list of listsByNode) {
      const wanted: Json | undefined = spec[list];
      if (!Array.isArray(wanted)) {
        if (list in spec) assert.deepEqual(ours[list], wanted, `${at}.${list}`);
        continue;
      }
      const gotList = ours[list] as Json[];
      assert.equal(gotList.length, order.length, `${at}.${list}: number of entries`);
      theirs.forEach((key, i) => {
        const place = order.indexOf(key);
        if (place >= 0) assertResponse(gotList[place]!, wanted[i]!, `${at}.${list}[${i}]`);
      });
    }
  }
}

function keysOf(spec: JsonObject): string[] {
  return (spec.nodeIndices as JsonObject[]).map((node) => JSON.stringify(node));
}

/** By node, its values in each group. */
function valuesOf(spec: JsonObject): Map<string, number[]> {
  const groups = Object.entries(spec.activationsByGroupId as Record<string, number[]>)
    .sort(([a], [b]) => a < b ? -1 : 1).map(([, values]) => values);
  return new Map(keysOf(spec).map((key, i) => [key, groups.map((values) => values[i]!)]));
}

/** The lists have the same nodes in the same order, apart from equals. */
function assertTopNodes(got: JsonObject, want: JsonObject, path: string): void {
  const [ours, theirs] = [valuesOf(got), valuesOf(want)];
  const tie = (a: readonly number[], b: readonly number[]) =>
    a.some((value, group) => isNear(value, b[group]!));
  for (const [list, other] of [[ours, theirs], [theirs, ours]] as const) {
    for (const [key, values] of list) {
      if (other.has(key)) continue;
      const equals = [...list].filter(([each, its]) => each !== key && tie(values, its));
      assert.ok(equals.length > 0, `${path}: only one of the lists has ${key}: ${values}`);
    }
  }
  const common = [...theirs.keys()].filter((key) => ours.has(key));
  const places = new Map([...ours.keys()].map((key, i) => [key, i]));
  common.forEach((key, i) => {
    const values = theirs.get(key)!;
    values.forEach((value, group) =>
      assert.ok(
        isNear(ours.get(key)![group]!, value),
        `${path}: group ${group} at ${key}: got ${ours.get(key)![group]}, want ${value}`,
      )
    );
    const before = common[i - 1];
    if (before === undefined || places.get(before)! < places.get(key)!) return;
    assert.ok(tie(values, theirs.get(before)!), `${path}: order of ${before} and ${key}`);
  });
  assertResponse(
    got.intermediateSumActivationsByDstByGroupId!,
    want.intermediateSumActivationsByDstByGroupId!,
    `${path}.intermediateSumActivationsByDstByGroupId`,
  );
}

function assertTopTokens(got: JsonObject, want: JsonObject, path: string): void {
  for (const end of ["top", "bottom"]) {
    const [ours, theirs] = [got[end], want[end]] as JsonObject[][];
    assertRanking(
      ours!.map(({ token, scalar }) => [token, scalar as number]),
      theirs!.map(({ token, scalar }) => [token, scalar as number]),
      `${path}.${end}`,
    );
    theirs!.forEach(({ normalizedScalar }, i) =>
      assertResponse(ours![i]!.normalizedScalar!, normalizedScalar!, `${path}.${end}[${i}]`)
    );
  }
}

function assertAttributions(got: JsonObject, want: JsonObject, path: string): void {
  const ranking = ({ tokenIndices, attributions }: JsonObject) =>
    (tokenIndices as number[]).map((token, i): [Json, number] => [
      token,
      (attributions as number[])[i]!,
    ]);
  assertRanking(ranking(got), ranking(want), path);
}

/** Values place by place; names where the neighbours' values are not equal, but for the last. */
function assertRanking(
  got: readonly (readonly [Json | undefined, number])[],
  want: readonly (readonly [Json | undefined, number])[],
  path: string,
): void {
  assert.equal(got.length, want.length, `${path}: number of entries`);
  want.forEach(([name, value], i) => {
    assertResponse(got[i]![1], value, `${path}[${i}]`);
    if (got[i]![0] === name) return;
    const others = [want[i - 1], want[i + 1]].filter((each) => each !== undefined);
    const isDecided = i < want.length - 1 && others.every(([, other]) => !isNear(other, value));
    assert.ok(!isDecided, `${path}[${i}]: got ${got[i]![0]}, want ${name}`);
  });
}
