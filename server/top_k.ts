/**
 * The nodes with the largest and the smallest values, and sums over all nodes.
 *
 * @module
 */

import { type GroupId, topNodes, valuesAtNodes } from "../derivers/groups.ts";
import type { NodeIndex } from "../derivers/request.ts";
import type { ScalarStore, ScalarTensor } from "../derivers/scalar_store.ts";
import { nestedSum, sumOf } from "../derivers/sums.ts";
import type { ScalarName } from "../derivers/table.ts";
import { RequestError } from "../engine/errors.ts";
import type { Model } from "../engine/model/model.ts";
import { finite, wireNode } from "./nodes.ts";
import type { TopKPlan } from "./plan_batch.ts";
import type { ProcessingResponseData, WireTensor } from "./responses.ts";
import { settled } from "./settled.ts";

type MultipleTopKResponseData = Extract<
  ProcessingResponseData,
  { responseDataType: "multiple_top_k_derived_scalars_response_data" }
>;
type SumsByGroup = MultipleTopKResponseData["intermediateSumActivationsByDstByGroupId"];

/** What of a spec does not depend on the other prompts of a batch. */
export interface FoundNodes {
  /** The top nodes of this prompt. */
  readonly nodes: readonly NodeIndex[];
  readonly sums: SumsByGroup;
}

/** Stands for what is not finite in a sum that is a list, as clients know it. */
const NOT_FINITE = -999;

/**
 * Finds the top nodes of a prompt for each spec; all in one wait.
 *
 * @returns By the specs' names.
 */
export async function findNodes(
  topK: ReadonlyMap<string, TopKPlan>,
  scalars: ScalarStore<ScalarTensor>,
): Promise<ReadonlyMap<string, FoundNodes>> {
  // Specs often have scalars in common, and each sum is made once.
  const sums = new Map<string, Promise<WireTensor>>();
  const found = [...topK].map(async ([name, { spec, groups }]): Promise<[string, FoundNodes]> => {
    const { passType, topAndBottomK, tokenIndex, dimensionsToKeepForIntermediateSum } = spec;
    const sumOnce = (dst: ScalarName) => {
      const key = `${dst} ${passType} ${dimensionsToKeepForIntermediateSum.join()}`;
      const known = sums.get(key);
      if (known !== undefined) return known;
      const options = { dsts: [dst], passType, dimsToKeep: dimensionsToKeepForIntermediateSum };
      const sum = sumOf(scalars, options).then((total) => wireTensor(nestedSum(total), dst));
      sums.set(key, sum);
      return sum;
    };
    const [nodes, ...byGroup] = await settled([
      topNodes({ groups, scalars }, { topAndBottomK, tokenIndex, passType }),
      ...groups.groups.map(async ({ groupId, scalars: dsts }) => {
        const tensors = await settled(dsts.map(sumOnce));
        return [groupId, Object.fromEntries(dsts.map((dst, i) => [dst, tensors[i]!]))] as const;
      }),
    ]);
    const sumsByGroup: SumsByGroup = Object.fromEntries(byGroup);
    return [name, { nodes, sums: sumsByGroup }];
  });
  return new Map(await settled(found));
}

/** Answers a spec for top nodes with the values at the nodes of the whole batch. */
export async function topKOf(
  { groups }: TopKPlan,
  scalars: ScalarStore<ScalarTensor>,
  { nodes, sums, model }: {
    nodes: readonly NodeIndex[];
    sums: SumsByGroup;
    model: Model;
  },
): Promise<MultipleTopKResponseData> {
  const activationsByGroupId: Partial<Record<GroupId, number[]>> = await valuesAtNodes(
    { groups, scalars },
    nodes,
  );
  const nodeIndices = nodes.map(wireNode);
  const hasTokens = groups.nodeTypes.includes("vocab_token");
  return {
    responseDataType: "multiple_top_k_derived_scalars_response_data",
    activationsByGroupId,
    nodeIndices,
    vocabTokenStringsForIndices: hasTokens
      ? nodeIndices.map(({ nodeType, tensorIndices }) =>
        nodeType === "vocab_token" ? model.tokenizer.token(tensorIndices.at(-1)!) : ""
      )
      : null,
    intermediateSumActivationsByDstByGroupId: sums,
  };
}

type Nested = number | Nested[];

function wireTensor(value: Nested, dst: ScalarName): WireTensor {
  if (typeof value === "number") {
    return { tensorType: "tensor_0d", value: finite(value, dst) };
  }
  const shown = replaceNonFinite(value);
  const rank = rankOf(value);
  switch (rank) {
    case 1:
      return { tensorType: "tensor_1d", value: shown as number[] };
    case 2:
      return { tensorType: "tensor_2d", value: shown as number[][] };
    case 3:
      return { tensorType: "tensor_3d", value: shown as number[][][] };
    default:
      throw new RequestError(
        "too_many_dimensions",
        `Cannot answer with a sum of "${dst}" of ${rank} dimensions: ` +
          "dimensionsToKeepForIntermediateSum must leave at most 3",
      );
  }
}

function rankOf(value: Nested): number {
  return typeof value === "number" ? 0 : 1 + (value.length === 0 ? 0 : rankOf(value[0]!));
}

function replaceNonFinite(value: Nested): Nested {
  if (typeof value !== "number") return value.map(replaceNonFinite);
  return Number.isFinite(value) ? value : NOT_FINITE;
}
