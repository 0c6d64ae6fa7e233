import { setTimeout as sleep } from "node:timers/promises";
import { formatListenAddress, type ListenAddress } from "../../config/document/listen_address.ts";
import { UserError } from "../../user_error.ts";
import type { Log } from "../log.ts";
import { type ConnectionLimits, Connections } from "./connections.ts";
import { HttpListener } from "./listener.ts";
import type { HttpRequest } from "./request.ts";
import { text } from "./text.ts";

/** Answers one path, for every method. The request has the query and the media types that the client accepts. */
export type Route = (request: HttpRequest) => Response | Promise<Response>;

export interface ServerOptions {
  /** Name of the server in messages: "healthz". */
  readonly name: string;
  readonly address: ListenAddress;
  readonly routes: Readonly<Record<string, Route>>;
  /**
   * "cleaned" redirects paths such as "//healthz" to "/healthz", as Go's ServeMux does, which kube-proxy uses
   * for its health server. "exact" serves only the paths of the routes, as kube-proxy's metrics server does.
   */
  readonly paths: "cleaned" | "exact";
  /** Throw an error when listening on the address fails, instead of retrying. */
  readonly hardFail: boolean;
  readonly log: Log;
  /** Time between attempts to listen. */
  readonly retryMs?: number;
  readonly limits?: Partial<ConnectionLimits>;
  /** Called when the server answers requests, with the port that was chosen when `address` has port 0. */
  readonly onListen?: (address: ListenAddress) => void;
}

/** kube-proxy's value. */
const RETRY_MS = 5000;

/**
 * Serves until the signal aborts, and then drops requests in flight. When listening fails, retries every 5 s.
 * @throws UserError when listening fails with `hardFail`.
 */
export async function serve(options: ServerOptions, signal: AbortSignal): Promise<void> {
  const { name, address, log, retryMs = RETRY_MS } = options;
  let reported = "";
  while (!signal.aborted) {
    try {
      await listen(options, signal);
    } catch (cause) {
      const problem = `${name} server cannot listen on ${formatListenAddress(address)}: ${reasonOf(cause)}`;
      if (options.hardFail) throw new UserError(problem, { cause });
      if (problem !== reported) log.error(problem, { retryInSeconds: retryMs / 1000 });
      reported = problem;
      // Rejects when the signal aborts, which the loop condition checks.
      await sleep(retryMs, undefined, { signal }).catch(() => {});
    }
  }
}

async function listen(options: ServerOptions, signal: AbortSignal): Promise<void> {
  const { name, address, log, onListen } = options;
  const connections = new Connections(name, log, options.limits);
  await using listener = new HttpListener({
    ...address,
    name: `the ${name} server`,
    connections,
    answer: (request) => answer(options, request),
    log,
  });
  const { hostname, port } = listener.address;
  log.info(`Serving ${name}`, { address: formatListenAddress({ hostname, port }) }, 2);
  onListen?.({ hostname, port });
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
}

function answer({ routes, paths }: ServerOptions, request: HttpRequest): Response | Promise<Response> {
  const { escapedPath, path, query, method } = request;
  if (escapedPath === "*") return new Response(null, { status: 400, headers: { connection: "close" } });
  const cleaned = cleanPath(escapedPath);
  if (paths === "cleaned" && cleaned !== escapedPath && method !== "CONNECT") {
    return new Response(null, { status: 307, headers: { location: escapeUnsafe(cleaned + query) } });
  }
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  return route === undefined ? text("404 page not found\n", 404) : route(request);
}

/** Removes empty, "." and ".." segments, as Go's ServeMux does. */
function cleanPath(path: string): string {
  const cleaned: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") cleaned.pop();
    else if (segment !== "" && segment !== ".") cleaned.push(segment);
  }
  return cleaned.length === 0 ? "/" : `/${cleaned.join("/")}${path.endsWith("/") ? "/" : ""}`;
}

/** Escapes what a browser could take for something else than a path, such as the backslash. */
function escapeUnsafe(target: string): string {
  return target.replace(
    /[^!#$%&'()*+,\-./0-9:;=?@A-Z[\]_a-z~]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}

/** Describes why listening on an address failed. */
export function reasonOf(cause: unknown): string {
  if (cause instanceof Deno.errors.AddrInUse) return "another process listens on it";
  if (cause instanceof Deno.errors.AddrNotAvailable) return "the node does not have this address";
  return cause instanceof Error ? cause.message : String(cause);
}
