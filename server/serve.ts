/**
 * Serves the debugger's JSON API. The only file of the server that knows its host.
 *
 * @module
 */

import { loadModel } from "../engine/model/model.ts";
import { type AppOptions, createApp } from "./app.ts";
import { openSession, type Session } from "./session.ts";

/** Where to listen. */
export interface ListenOptions extends AppOptions {
  /** 8000 unless given; 0 for any that is free. */
  readonly port?: number;
  /** 127.0.0.1 unless given: only this machine can reach it. */
  readonly host?: string;
}

/** What to serve, and where. */
export interface ServeOptions extends ListenOptions {
  /** Folder or URL of the model. */
  readonly model: string;
  /** Folders under `autoencoders/` of the model, or paths. */
  readonly autoencoders?: readonly string[];
  /** Told what happens, a line at a time; stderr unless given. */
  readonly log?: (line: string) => void;
}

/** A server that listens. */
export interface RunningServer {
  /** Where clients reach it. */
  readonly url: string;
  readonly port: number;
  /** Settles when the server has stopped. */
  readonly finished: Promise<void>;
  /**
   * Takes no more requests and stops once all are answered.
   *
   * @param grace Milliseconds that they get at most; 10 000 unless given.
   */
  stop(grace?: number): Promise<void>;
}

/** Listens for the requests of a session. */
export function listen(session: Session, options: ListenOptions = {}): RunningServer {
  const { port = 8000, host = "127.0.0.1", ...appOptions } = options;
  const app = createApp(session, appOptions);
  const ending = new AbortController();
  const server = bind(
    { port, hostname: host, signal: ending.signal, onListen: () => {} },
    (request) => app.fetch(request),
  );
  const { hostname, port: bound } = server.addr;
  const shown = hostname.includes(":") ? `[${hostname}]` : hostname;
  return {
    url: `http://${shown}:${bound}`,
    port: bound,
    finished: server.finished,
    async stop(grace = 10_000) {
      const timer = setTimeout(() => ending.abort(), grace);
      try {
        await server.shutdown();
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

function bind(
  options: Deno.ServeTcpOptions,
  handler: (request: Request) => Response | Promise<Response>,
): Deno.HttpServer<Deno.NetAddr> {
  try {
    return Deno.serve(options, handler);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    const { hostname, port } = options;
    throw new Error(`Cannot listen at ${hostname}, port ${port}: ${problem}`, { cause });
  }
}

/**
 * Loads a model and serves it until SIGINT or SIGTERM.
 *
 * @throws {GpuError} if there is no GPU adapter.
 * @throws {RequestError} if there is no such autoencoder, or two do not go together.
 */
export async function serve(options: ServeOptions): Promise<void> {
  const { model: source, autoencoders = [], log = console.error, ...listenOptions } = options;
  using model = await loadModel(source);
  const session = await openSession(model, autoencoders);
  const server = listen(session, {
    onInternalError: (error) =>
      log(error instanceof Error ? error.stack ?? `${error}` : `${error}`),
    ...listenOptions,
  });
  const names = session.autoencoders.map(({ name }) => name);
  log(
    `Serving ${model.name}${names.length > 0 ? ` with ${names.join(" and ")}` : ""} ` +
      `at ${server.url} on ${model.gpu.facts.name}; stop with Ctrl+C`,
  );
  let isStopping = false;
  const stop = () => {
    log(isStopping ? "Stopping at once" : "Stopping once all requests are answered");
    server.stop(isStopping ? 0 : undefined);
    isStopping = true;
  };
  for (const signal of signals) Deno.addSignalListener(signal, stop);
  try {
    await server.finished;
  } finally {
    for (const signal of signals) Deno.removeSignalListener(signal, stop);
  }
}

// Windows knows no SIGTERM.
const signals: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM"];
