/**
 * Reads the body of a request.
 *
 * @module
 */

import { describeIssue } from "../derivers/describe_issue.ts";
import { RequestError } from "../engine/errors.ts";
import { type InferenceRoute, type RequestOf, requestSchemas } from "./requests.ts";

/**
 * A body with its defaults filled in.
 *
 * @param json The parsed JSON.
 * @throws {RequestError} `malformed_request`, naming for everything that is wrong its
 * path, its value and what is wanted instead.
 */
export function parseRequest<Route extends InferenceRoute>(
  route: Route,
  json: unknown,
): RequestOf<Route> {
  const parsed = requestSchemas[route].safeParse(json, { reportInput: true });
  if (parsed.success) return parsed.data as RequestOf<Route>;
  const problems = parsed.error.issues.map(describeIssue);
  throw new RequestError(
    "malformed_request",
    `Cannot read request "${route}": ${problems.join("; ")}`,
    { cause: parsed.error },
  );
}
