import type { Explanation } from "../../explain/explanation.ts";
import type { ProxyEvent } from "../status/events.ts";
import { inForceDigests, inForceOf } from "../status/in_force.ts";
import { searchServices, type ServiceQuery, type Sort, SORTS } from "../status/service_search.ts";
import { serviceDetail } from "../status/service_detail.ts";
import { countersOf, totalsByService } from "../status/traffic_totals.ts";
import { Shared } from "../status/shared.ts";
import { type Status, statusOf, type StatusSources } from "../status/status.ts";
import type { HttpRequest } from "./request.ts";
import type { Route } from "./server.ts";
import { json } from "./text.ts";

const SHARED_MS = 1000;
const MAX_LIMIT = 500;
const DEFAULT_LIMIT = 50;
/** Digests are short, and one command reads all of them. */
const MAX_DIGESTS = 5000;
/** Longer texts are no names of objects. */
const MAX_TEXT = 400;

/** The answer of /api/v1/events, the newest first. */
export interface Events {
  readonly events: readonly ProxyEvent[];
}

/**
 * Read-only routes for the page and for `proxy status`. Everything is computed when it is asked for.
 * @param explainer answers questions about services and addresses.
 * @param sharedMs time that readers share one look at all services.
 */
export function apiRoutes(
  sources: StatusSources,
  explainer: Explainer,
  sharedMs = SHARED_MS,
): Readonly<Record<string, Route>> {
  const { services, activity } = sources;
  const traffic = new Shared(() => countersOf(sources.traffic), sharedMs);
  const totals = new Shared(async () => await totalsByService(await traffic.get()), sharedMs);
  const status = (maxLoopback?: number) => statusOf(sources, Date.now(), maxLoopback);
  const relay = new Shared(async () => await sources.relay?.(), sharedMs);
  const routes: Readonly<Record<string, (query: URLSearchParams) => unknown>> = {
    status: async (query): Promise<Status> => {
      const state = await relay.get();
      const answer = status(loopbackLimit(query));
      return state === undefined ? answer : { ...answer, relay: state };
    },
    services: async (query) => await searchServices(services, await totals.get(), serviceQuery(query)),
    service: async (query) => {
      const name = query.get("name") ?? "";
      const stored = services.store.get(name);
      if (stored === undefined) {
        throw new ApiProblem(
          404,
          `name: there is no Service ${JSON.stringify(name.slice(0, MAX_TEXT))}; use NAMESPACE/NAME`,
        );
      }
      return serviceDetail(name, stored, services, await traffic.get());
    },
    "in-force": async (query) => {
      const service = query.get("service");
      if (service !== null) return await inForceOf(services, service, Date.now());
      const limit = wholeNumber(query, "limit", DEFAULT_LIMIT, MAX_DIGESTS);
      return await inForceDigests(services, wholeNumber(query, "offset", 0, 1_000_000), limit);
    },
    explain: async (query) => {
      const texts = ["question", "from"].map((name) => query.get(name) ?? "");
      if (texts.some((text) => text.length > MAX_TEXT)) {
        throw new ApiProblem(400, `question, from: must be at most ${MAX_TEXT} characters`);
      }
      const [question = "", from = ""] = texts;
      const answer = await explainer.answer(question, from, status());
      if ("problem" in answer) throw new ApiProblem(400, answer.problem);
      return answer;
    },
    events: (): Events => ({ events: activity.events.newestFirst }),
  };
  return Object.fromEntries(
    Object.entries(routes).map(([name, answer]) => [`/api/v1/${name}`, apiRoute(answer)]),
  );
}

/** Answers questions in the form that programs read. */
export interface Explainer {
  /** @returns the answer, or the problem of a question that cannot be answered. */
  answer(question: string, from: string, status: Status): Promise<Explanation | { readonly problem: string }>;
}

/** A request that cannot be answered. The message says what to change. */
class ApiProblem extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

function apiRoute(answer: (query: URLSearchParams) => unknown): Route {
  return async (request) => {
    const refusal = refuseToWrite(request);
    if (refusal !== undefined) return refusal;
    try {
      const response = json(await answer(new URLSearchParams(request.query)));
      response.headers.set("cache-control", "no-store");
      response.headers.set("cross-origin-resource-policy", "same-origin");
      return response;
    } catch (error) {
      if (!(error instanceof ApiProblem)) throw error;
      return json({ error: error.message }, error.status);
    }
  };
}

/** Answers every method but GET and HEAD. */
export function refuseToWrite({ method }: Pick<HttpRequest, "method">): Response | undefined {
  if (method === "GET" || method === "HEAD") return undefined;
  const response = json({ error: `method ${method.slice(0, MAX_TEXT)}: use GET or HEAD` }, 405);
  response.headers.set("allow", "GET, HEAD");
  return response;
}

/** Returns the number of loopback addresses asked for; undefined for the first ones. @throws ApiProblem */
function loopbackLimit(query: URLSearchParams): number | undefined {
  const value = query.get("loopback");
  if (value !== null && value !== "all") throw new ApiProblem(400, "loopback: must be all, or left out");
  return value === null ? undefined : Infinity;
}

/** @throws ApiProblem that names the parameter. */
function serviceQuery(query: URLSearchParams): ServiceQuery {
  const order = query.get("sort") ?? "name";
  const descending = order.startsWith("-");
  const search = query.get("search") ?? "";
  if (search.length > MAX_TEXT) throw new ApiProblem(400, `search: must be at most ${MAX_TEXT} characters`);
  return {
    search,
    sort: sortOf(descending ? order.slice(1) : order),
    descending,
    limit: wholeNumber(query, "limit", DEFAULT_LIMIT, MAX_LIMIT),
    offset: wholeNumber(query, "offset", 0, 1_000_000),
  };
}

function sortOf(name: string): Sort {
  const sort = SORTS.find((one) => one === name);
  if (sort === undefined) {
    throw new ApiProblem(400, `sort: must be ${SORTS.join(", ")}, or one of them after "-"`);
  }
  return sort;
}

function wholeNumber(query: URLSearchParams, name: string, fallback: number, max: number): number {
  const text = query.get(name);
  if (text === null) return fallback;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (!(value <= max)) throw new ApiProblem(400, `${name}: must be a whole number from 0 to ${max}`);
  return value;
}
