/**
 * A whole debugger request against a forward and backward pass, and against the
 * reference's own time.
 *
 * @module
 */

import assert from "node:assert/strict";

import { batched, batchedTdb } from "../../server/answer.ts";
import { parseRequest } from "../../server/parse.ts";
import { batchOfTdb } from "../../server/tdb.ts";
import { openSession } from "../../server/session.ts";
import { debuggerRequest } from "../support/debugger_request.ts";
import { runForwardBackward } from "../support/forward_work.ts";
import { coresOf, measure, median, ratios, spread } from "../support/measure.ts";
import { randomModel, someTokens } from "../support/random_model.ts";
import type { BarOptions, Row } from "./row.ts";

/**
 * The reference (PyTorch 1.13, OpenBLAS), in seconds by tokens: measured on 2 cores of a 2.8 GHz
 * Xeon, so on any other machine the rows that use it only say about how far apart the two are.
 */
const referenceSeconds = { 16: 2.8, 64: 4.9 } as const;

/** What a request adds to the passes, step by step: its specs by name. */
const steps = {
  "scalars, top nodes and sums": ["topKComponents", "componentSumsForTokenDisplay"],
  "tokens that nodes write": ["upvotedOutputTokens"],
  "tokens that neurons read": ["inputTokensThatUpvoteMlp"],
};

/** The request with the specs of the first steps only, for each number of steps. */
function partsOf(request: ReturnType<typeof debuggerRequest>) {
  const { inferenceSubRequests } = batchOfTdb(parseRequest("batched_tdb", request));
  const names = Object.values(steps);
  return names.map((_, last) => {
    const wanted = names.slice(0, last + 1).flat();
    return {
      inferenceSubRequests: inferenceSubRequests.map((subRequest) => ({
        ...subRequest,
        processingRequestSpecByName: Object.fromEntries(
          Object.entries(subRequest.processingRequestSpecByName)
            .filter(([name]) => wanted.includes(name)),
        ),
      })),
    };
  });
}

/** Rows about requests. */
export async function requestRows({ gpu, quick }: BarOptions): Promise<Row[]> {
  using model = randomModel(gpu, "gpt2");
  const session = await openSession(model);
  const rows: Row[] = [];
  for (const [text, seconds] of Object.entries(referenceSeconds)) {
    const length = Number(text);
    const tokens = someTokens(length);
    const request = debuggerRequest(tokens);
    const before = gpu.counts().reads;
    const { inferenceSubResponses: [response] } = await batchedTdb(session, request);
    const reads = gpu.counts().reads - before;
    assert.equal(response!.inferenceResponse.inferenceAndTokenData.tokensAsInts.length, length);

    const [nodes, written, read] = partsOf(request);
    const measured = await measure(gpu, {
      passes: () => runForwardBackward(model, tokens),
      nodes: () => batched(session, nodes!),
      written: () => batched(session, written!),
      read: () => batched(session, read!),
      request: () => batchedTdb(session, request),
    }, { rounds: quick ? 3 : 9, least: 1 });
    const over = ratios(measured, "request", "passes");
    const { passes, request: whole } = measured.milliseconds;
    const times = Object.values(measured.milliseconds).map(median);
    const parts = [...Object.keys(steps), "logits and the rest"].map((what, i) =>
      `${what} ${(times[i + 1]! - times[i]!).toFixed(0)}`
    );
    const name = `debugger request, T = ${length}`;
    rows.push(
      {
        question: `${name}, over forward and backward`,
        value: median(over),
        spread: spread(over),
        bar: { atMost: 1.3 },
        detail: `${median(whole).toFixed(0)} ms over ${median(passes).toFixed(0)} ms` +
          coresOf(measured, "request", "passes") +
          `; after the passes, in ms: ${parts.join(", ")}`,
      },
      {
        question: `${name}, over the reference's ${seconds} s`,
        value: median(whole) / 1000 / seconds,
        spread: spread(whole),
        bar: gpu.facts.class === "cpu" ? { atMost: 1 } : null,
      },
      {
        question: `${name}: read-backs`,
        value: reads,
        bar: { atMost: 1 },
      },
    );
  }
  return rows;
}
