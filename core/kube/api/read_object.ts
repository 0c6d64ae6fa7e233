import { Attempt, DeadlineError } from "../../async/attempt.ts";
import type { Log } from "../../observe/log.ts";
import type { ClusterAccess } from "../access/cluster_access.ts";
import { Credentials } from "../access/credentials.ts";
import { type ApiError, readError } from "./error.ts";
import { API_TIMING } from "./timing.ts";
import { Transport } from "./transport.ts";

/** Longest time for the answer. */
const DEADLINE_MS = 10_000;

/**
 * Reads one object.
 * @param path of the object, such as "/api/v1/namespaces/default/pods/web".
 * @returns the decoded object, or the error of the API server.
 * @throws Error that says why there is no answer.
 */
export async function readObject(
  access: ClusterAccess,
  path: string,
  { userAgent, log }: { readonly userAgent: string; readonly log: Log },
): Promise<unknown | ApiError> {
  using credentials = new Credentials(access, log, API_TIMING);
  using transport = new Transport({ access, credentials, userAgent });
  using attempt = new Attempt(new AbortController().signal);
  attempt.within(DEADLINE_MS, () => new DeadlineError(`no answer within ${DEADLINE_MS / 1000} s`));
  const response = await transport.get(path, attempt.signal);
  return response.ok ? await response.json() : await readError(response);
}
