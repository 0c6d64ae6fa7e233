import { parseAddress } from "../../net/address.ts";
import type { HttpRequest } from "./request.ts";
import type { Route } from "./server.ts";
import { json } from "./text.ts";

/** Paths for scrapers and probes, which may use any name for the node. */
const PATHS_FOR_ANY_NAME: ReadonlySet<string> = new Set([
  "/healthz",
  "/healthz/ping",
  "/metrics",
  "/metrics/slis",
  "/proxyMode",
]);

/** Longest part of a foreign name that the answer repeats. */
const MAX_SHOWN = 400;

/**
 * Protects routes against requests to a name that may be somebody else's. A website can make the browser of an
 * operator, who has forwarded a port, ask the website's own name and let that lead to this server (DNS rebinding). Then
 * it could read the answers. Routes without protection are the exception, so that a new route is protected.
 * @param node the name of the node.
 */
export function refusingForeignNames(
  routes: Readonly<Record<string, Route>>,
  node: string,
): Readonly<Record<string, Route>> {
  return Object.fromEntries(
    Object.entries(routes).map(([path, route]) => [
      path,
      PATHS_FOR_ANY_NAME.has(path) ? route : (request) => refuseForeignName(request, node) ?? route(request),
    ]),
  );
}

function refuseForeignName({ host }: Pick<HttpRequest, "host">, node: string): Response | undefined {
  const name = host.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  const isOurs = !name.includes(".") || name.endsWith(".localhost") || name === node.toLowerCase() ||
    parseAddress(name) !== undefined;
  if (isOurs) return undefined;
  const shown = JSON.stringify(name.slice(0, MAX_SHOWN));
  return json({ error: `host ${shown}: use an IP address, localhost, or the name of the node` }, 403);
}
