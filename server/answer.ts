/**
 * The requests of the debugger's JSON API as functions.
 *
 * @module
 */

import { answerBatch } from "./batch.ts";
import { parseRequest } from "./parse.ts";
import type {
  InferenceRequestSpec,
  InferenceRoute,
  ProcessingRequestSpec,
  RequestInput,
  RequestOf,
} from "./requests.ts";
import type { InferenceAndTokenData, ProcessingResponseData, ResponseOf } from "./responses.ts";
import type { Session } from "./session.ts";
import { batchOfTdb } from "./tdb.ts";

/**
 * The values of one unit at every token.
 *
 * @throws {RequestError} if the request is malformed or makes no sense, as do all below.
 */
export function derivedScalars(
  session: Session,
  request: RequestInput<"derived_scalars">,
): Promise<ResponseOf<"derived_scalars">> {
  return answers.derived_scalars(session, parseRequest("derived_scalars", request));
}

/** The values of one head, or latent, at every pair of tokens. */
export function derivedAttentionScalars(
  session: Session,
  request: RequestInput<"derived_attention_scalars">,
): Promise<ResponseOf<"derived_attention_scalars">> {
  const parsed = parseRequest("derived_attention_scalars", request);
  return answers.derived_attention_scalars(session, parsed);
}

/** The nodes with the largest and the smallest values of several groups of scalars. */
export function multipleTopKDerivedScalars(
  session: Session,
  request: RequestInput<"multiple_top_k_derived_scalars">,
): Promise<ResponseOf<"multiple_top_k_derived_scalars">> {
  const parsed = parseRequest("multiple_top_k_derived_scalars", request);
  return answers.multiple_top_k_derived_scalars(session, parsed);
}

/** Several prompts in one run, each with any of the above and more. */
export function batched(
  session: Session,
  request: RequestInput<"batched">,
): Promise<ResponseOf<"batched">> {
  return answers.batched(session, parseRequest("batched", request));
}

/** What a debugger asks about several prompts. */
export function batchedTdb(
  session: Session,
  request: RequestInput<"batched_tdb">,
): Promise<ResponseOf<"batched_tdb">> {
  return answers.batched_tdb(session, parseRequest("batched_tdb", request));
}

/** Answers a request that was read already. */
export function answer<Route extends InferenceRoute>(
  session: Session,
  { route, request }: { route: Route; request: RequestOf<Route> },
): Promise<ResponseOf<Route>> {
  return answers[route](session, request);
}

type Answers = {
  readonly [Route in InferenceRoute]: (
    session: Session,
    request: RequestOf<Route>,
  ) => Promise<ResponseOf<Route>>;
};

const answers: Answers = {
  async derived_scalars(session, { inferenceRequestSpec, derivedScalarsRequestSpec: spec }) {
    const { inferenceAndTokenData, data } = await one(session, inferenceRequestSpec, spec);
    return { inferenceAndTokenData, derivedScalarsResponseData: data };
  },
  async derived_attention_scalars(
    session,
    { inferenceRequestSpec, derivedAttentionScalarsRequestSpec: spec },
  ) {
    const { inferenceAndTokenData, data } = await one(session, inferenceRequestSpec, spec);
    return { inferenceAndTokenData, derivedAttentionScalarsResponseData: data };
  },
  async multiple_top_k_derived_scalars(
    session,
    { inferenceRequestSpec, multipleTopKDerivedScalarsRequestSpec: spec },
  ) {
    const { inferenceAndTokenData, data } = await one(session, inferenceRequestSpec, spec);
    return { inferenceAndTokenData, multipleTopKDerivedScalarsResponseData: data };
  },
  batched: answerBatch,
  batched_tdb: async (session, request) => await answerBatch(session, batchOfTdb(request)),
};

/** What answers a spec. */
interface DataOf {
  readonly derived_scalars_request_spec: "derived_scalars_response_data";
  readonly derived_attention_scalars_request_spec: "derived_attention_scalars_response_data";
  readonly multiple_top_k_derived_scalars_request_spec:
    "multiple_top_k_derived_scalars_response_data";
}

/** Answers one spec of one prompt, as a batch. */
async function one<
  Spec extends Extract<ProcessingRequestSpec, { specType: keyof DataOf }>,
>(
  session: Session,
  inferenceRequestSpec: InferenceRequestSpec,
  spec: Spec,
): Promise<{
  inferenceAndTokenData: InferenceAndTokenData;
  data: Extract<ProcessingResponseData, { responseDataType: DataOf[Spec["specType"]] }>;
}> {
  const { inferenceSubResponses: [response] } = await answerBatch(session, {
    inferenceSubRequests: [{ inferenceRequestSpec, processingRequestSpecByName: { only: spec } }],
  });
  const { inferenceResponse, processingResponseDataByName } = response!;
  return {
    inferenceAndTokenData: inferenceResponse.inferenceAndTokenData,
    data: processingResponseDataByName.only as Extract<
      ProcessingResponseData,
      { responseDataType: DataOf[Spec["specType"]] }
    >,
  };
}
