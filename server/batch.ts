/**
 * Runs a batch and answers its specs. One run of the model, and two transfers: the losses
 * with the candidates for the top nodes, and all that depends on which nodes they are.
 *
 * @module
 */

import { type DerivedSequence, deriveScalars, type RecordedSequence } from "../derivers/derive.ts";
import { unionOfNodes } from "../derivers/groups.ts";
import type { NodeIndex } from "../derivers/request.ts";
import type { ScalarStore, ScalarTensor } from "../derivers/scalar_store.ts";
import { RequestError } from "../engine/errors.ts";
import { attentionScalarsOf } from "./attention_scalars.ts";
import { withLogits } from "./logits.ts";
import { planBatch, type SubPlan } from "./plan_batch.ts";
import type { ProcessingRequestSpec, RequestOf } from "./requests.ts";
import type { InferenceAndTokenData, ProcessingResponseData, ResponseOf } from "./responses.ts";
import { scoredTokensOf, tokenPairsOf } from "./scored_tokens.ts";
import type { Session } from "./session.ts";
import { settled } from "./settled.ts";
import { findNodes, type FoundNodes, topKOf } from "./top_k.ts";
import { unitScalarsOf } from "./unit_scalars.ts";

/**
 * Answers a batch.
 *
 * @throws {RequestError} if anything in it makes no sense.
 */
export async function answerBatch(
  session: Session,
  { inferenceSubRequests }: RequestOf<"batched">,
): Promise<ResponseOf<"batched">> {
  const started = performance.now();
  const { model, autoencoders } = session;
  const { gpu } = model;
  const plans = planBatch(session, inferenceSubRequests);
  const memoryUsedBefore = gpu.memory().live;
  using run = await deriveScalars(model, {
    autoencoders: autoencoders.map(({ name, layers }) => ({ name, layers })),
    sequences: plans.map(({ subRequest: { inferenceRequestSpec }, tokens, dsts, keeps }) => ({
      tokens: [...tokens],
      lossFnConfig: inferenceRequestSpec.lossFnConfig,
      traceConfig: inferenceRequestSpec.traceConfig,
      ablationSpecs: inferenceRequestSpec.ablationSpecs ?? [],
      dsts: [...dsts],
      saveActivations: [...keeps],
    })),
  }, {
    predict: false,
    alongside: (sequences) => findAll(plans, sequences),
  });
  const { stores, found } = run.alongside;
  const nodesByName = uniteNodes(found);
  const data = await settled(
    plans.map((plan, s) =>
      answerSpecs(plan, {
        session,
        sequence: run.sequences[s]!,
        scalars: stores[s]!,
        found: found[s]!,
        nodesByName,
      })
    ),
  );

  const inferenceTime = (performance.now() - started) / 1000;
  const memoryUsedAfter = gpu.memory().live;
  return {
    inferenceSubResponses: data.map((processingResponseDataByName, s) => ({
      inferenceResponse: {
        inferenceAndTokenData: inferenceAndTokenData(run.sequences[s]!, {
          inferenceTime,
          memoryUsedBefore,
          memoryUsedAfter,
        }),
      },
      processingResponseDataByName,
    })),
  };
}

/** Finds the top nodes of each sequence; all in one wait. */
async function findAll(plans: readonly SubPlan[], sequences: readonly RecordedSequence[]) {
  const refused = sequences.flatMap(({ notComputable }) => notComputable)[0];
  if (refused !== undefined) throw new RequestError(refused.error, refused.message);
  const stores = sequences.map((sequence, s) =>
    plans[s]!.logitsOnDemand ? withLogits(sequence) : sequence.scalars
  );
  const found = await settled(plans.map(({ topK }, s) => findNodes(topK, stores[s]!)));
  return { stores, found };
}

/** Of each spec, by its name, the nodes of all prompts. */
function uniteNodes(
  found: readonly ReadonlyMap<string, FoundNodes>[],
): ReadonlyMap<string, readonly NodeIndex[]> {
  const names = new Set(found.flatMap((ofPrompt) => [...ofPrompt.keys()]));
  return new Map([...names].map((name) => [
    name,
    unionOfNodes(found.map((ofPrompt) => ofPrompt.get(name)?.nodes ?? [])),
  ]));
}

/** Answers the specs of a sub-request, by their names, all in one wait. */
async function answerSpecs(
  { subRequest, topK }: SubPlan,
  { session: { model }, sequence, scalars, found, nodesByName }: {
    session: Session;
    sequence: DerivedSequence;
    scalars: ScalarStore<ScalarTensor>;
    found: ReadonlyMap<string, FoundNodes>;
    nodesByName: ReadonlyMap<string, readonly NodeIndex[]>;
  },
): Promise<Record<string, ProcessingResponseData>> {
  const answerSpec = (
    name: string,
    spec: ProcessingRequestSpec,
  ): Promise<ProcessingResponseData> => {
    const nodesOf = (specName: string) => nodesByName.get(specName)!;
    switch (spec.specType) {
      case "multiple_top_k_derived_scalars_request_spec": {
        const { sums } = found.get(name)!;
        return topKOf(topK.get(name)!, scalars, { nodes: nodesOf(name), sums, model });
      }
      case "derived_scalars_request_spec":
        return unitScalarsOf(spec, sequence, { model });
      case "derived_attention_scalars_request_spec":
        return attentionScalarsOf(spec, sequence);
      case "scored_tokens_request_spec":
        return scoredTokensOf(spec, { sequence, nodes: nodesOf(spec.dependsOnSpecName), model });
      case "token_pair_attribution_request_spec":
        return tokenPairsOf(spec, { sequence, nodes: nodesOf(spec.dependsOnSpecName) });
    }
  };
  const specs = Object.entries(subRequest.processingRequestSpecByName);
  const answers = await settled(specs.map(([name, spec]) => answerSpec(name, spec)));
  return Object.fromEntries(specs.map(([name], i) => [name, answers[i]!]));
}

function inferenceAndTokenData(
  { loss, activationValueForBackwardPass: traced, tokens, tokenStrings }: DerivedSequence,
  measured: Pick<InferenceAndTokenData, "inferenceTime" | "memoryUsedBefore" | "memoryUsedAfter">,
): InferenceAndTokenData {
  const orNull = (value: number | null) => value !== null && Number.isFinite(value) ? value : null;
  return {
    ...measured,
    log: null,
    loss: orNull(loss),
    activationValueForBackwardPass: orNull(traced),
    tokensAsInts: [...tokens],
    tokensAsStrings: [...tokenStrings],
  };
}
