/**
 * The debugger's JSON API over HTTP, for any host that has the fetch API's requests
 * and responses.
 *
 * @module
 */

import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import { GpuError, RequestError } from "../engine/errors.ts";
import { answer } from "./answer.ts";
import { parseRequest } from "./parse.ts";
import { createQueue, QueueFullError } from "./queue.ts";
import { type InferenceRoute, requestSchemas } from "./requests.ts";
import { modelInfo, type Session } from "./session.ts";

/** How to serve. */
export interface AppOptions {
  /** Requests that may wait for the one that runs; 64 unless given. */
  readonly maxWaiting?: number;
  /** Largest body of a request; 1 MiB unless given. */
  readonly maxBodyBytes?: number;
  /** Told of every error that is not the client's. */
  readonly onInternalError?: (error: unknown) => void;
}

/** Seconds after which a client may try again where too many wait. */
const RETRY_AFTER = 2;

/** Routes whose data comes from neuron records and explanations, which are not served. */
const notServed = {
  neuron_record: "neuron records",
  attention_head_record: "attention head records",
  explain: "explanations",
  score: "scores of explanations",
} as const;

/** The routes of a session; requests run one at a time, in order. */
export function createApp(session: Session, options: AppOptions = {}): Hono {
  const { maxWaiting = 64, maxBodyBytes = 1 << 20, onInternalError = () => {} } = options;
  const queue = createQueue({ maxWaiting });
  const app = new Hono();

  app.use(cors({
    origin: (origin) => isLocal(origin) ? origin : null,
    allowMethods: ["POST", "OPTIONS"],
    allowHeaders: ["Content-Type"],
    exposeHeaders: ["Retry-After"],
    maxAge: 86400, // a day
  }));
  const limitBody = bodyLimit({
    maxSize: maxBodyBytes,
    onError: (c) =>
      message(c, 413, `Cannot read the request: its body must be at most ${maxBodyBytes} bytes`),
  });
  app.use((c, next) => received(limitBody(c, next)));

  for (const route of Object.keys(requestSchemas) as InferenceRoute[]) {
    app.post(`/${route}`, async (c) => {
      // What is malformed is refused at once, without waiting for its turn.
      const request = parseRequest(route, await readJson(c));
      const { signal } = c.req.raw;
      return c.json(await queue.run(() => answer(session, { route, request }), { signal }));
    });
  }
  app.post("/model_info", (c) => c.json(modelInfo(session)));
  app.post("/neuron_datasets_metadata", (c) => c.json([]));
  app.post("/existing_explanations", (c) => c.json([]));
  for (const [route, what] of Object.entries(notServed)) {
    app.post(
      `/${route}`,
      (c) => message(c, 404, `Cannot answer "/${route}": this server has no ${what}`),
    );
  }

  app.notFound((c) => {
    const routes = app.routes.filter(({ method }) => method === "POST").map(({ path }) => path);
    const known = routes.includes(c.req.path);
    return message(
      c,
      known ? 405 : 404,
      `Cannot ${c.req.method} "${c.req.path}": ` +
        (known ? "the method must be POST" : `the routes are ${routes.join(", ")}`),
    );
  });
  app.onError((error, c) => {
    if (error instanceof RequestError) return message(c, 400, error.message);
    if (error instanceof GpuError && error.reason === "out-of-memory") {
      return message(c, 413, error.message);
    }
    if (error instanceof QueueFullError) {
      c.header("Retry-After", `${RETRY_AFTER}`);
      return message(c, 503, error.message);
    }
    // A client that went away while it waited gets no answer, whatever it is.
    const { aborted, reason } = c.req.raw.signal;
    if (!(aborted && error === reason)) onInternalError(error);
    return message(c, 500, "Cannot answer the request: the server failed; its log says why");
  });
  return app;
}

function message(c: Context, status: 400 | 404 | 405 | 413 | 500 | 503, text: string): Response {
  return c.json({ message: text }, status);
}

async function readJson(c: Context): Promise<unknown> {
  const text = await received(c.req.text());
  try {
    return JSON.parse(text);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new RequestError(
      "malformed_request",
      `Cannot read the request: its body must be JSON: ${problem}`,
      { cause },
    );
  }
}

/** What reads the body; a client that leaves before it has sent it all is no fault of the server. */
async function received<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (cause) {
    throw new RequestError(
      "malformed_request",
      "Cannot read the request: its body ended before all of it had come",
      { cause },
    );
  }
}

/** Whether a page comes from this machine, on whatever port. */
function isLocal(origin: string): boolean {
  return /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(origin);
}
