import { setTimeout as sleep } from "node:timers/promises";
import { formatListenAddress, type ListenAddress } from "../../config/document/listen_address.ts";
import { UserError } from "../../user_error.ts";
import type { Log } from "../log.ts";

/** Answers one path, for every method. */
export type Route = () => Response | Promise<Response>;

export interface ServerOptions {
  /** Name of the server in messages: "healthz". */
  readonly name: string;
  readonly address: ListenAddress;
  readonly routes: Readonly<Record<string, Route>>;
  /** Throw an error when listening on the address fails, instead of retrying. */
  readonly hardFail: boolean;
  readonly log: Log;
  /** Time between attempts to listen. */
  readonly retryMs?: number;
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
  while (!signal.aborted) {
    try {
      await listen(options, signal);
    } catch (cause) {
      const problem = `${name} server cannot listen on ${formatListenAddress(address)}: ${reasonOf(cause)}`;
      if (options.hardFail) throw new UserError(problem, { cause });
      log.error(problem, { retryInSeconds: retryMs / 1000 });
      // Rejects when the signal aborts, which the loop condition checks.
      await sleep(retryMs, undefined, { signal }).catch(() => {});
    }
  }
}

async function listen(
  { name, address, routes, log, onListen }: ServerOptions,
  signal: AbortSignal,
): Promise<void> {
  // On "::" the server accepts IPv4 as well, like those of kube-proxy.
  const server = Deno.serve({
    ...address,
    signal,
    onListen: ({ hostname, port }) => {
      log.info(`Serving ${name}`, { address: formatListenAddress({ hostname, port }) }, 2);
      onListen?.({ hostname, port });
    },
    onError: (error) => {
      log.error(`A request to the ${name} server failed`, { err: error });
      return text("internal error\n", 500);
    },
  }, (request) => {
    const path = new URL(request.url).pathname;
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    return route === undefined ? text("404 page not found\n", 404) : route();
  });
  await server.finished;
}

/** Describes why listening on an address failed. */
export function reasonOf(cause: unknown): string {
  if (cause instanceof Deno.errors.AddrInUse) return "another process listens on it";
  if (cause instanceof Deno.errors.AddrNotAvailable) return "the node does not have this address";
  return cause instanceof Error ? cause.message : String(cause);
}

export function text(body: string, status = 200): Response {
  return new Response(body, {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" },
  });
}

export function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", "x-content-type-options": "nosniff" },
  });
}
