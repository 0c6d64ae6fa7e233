import type { Explanation } from "../core/explain/explanation.ts";
import type { Events } from "../core/observe/http/api_routes.ts";
import type { ServiceDetail } from "../core/observe/status/service_detail.ts";
import type { ServicePage } from "../core/observe/status/service_search.ts";
import type { Status } from "../core/observe/status/status.ts";

const TIMEOUT_MS = 8000;

/** A service that does not exist is no error of the page. */
export class NotFound extends Error {}

/** The proxy cannot answer the question. The message says what to change. */
export class Refused extends Error {}

export const api = {
  status: () => get<Status>("status", {}),
  services: (query: Readonly<Record<string, string>>) => get<ServicePage>("services", query),
  service: (name: string) => get<ServiceDetail>("service", { name }),
  explain: (question: string, from: string) => get<Explanation>("explain", { question, from }),
  events: () => get<Events>("events", {}),
};

/** @throws Error when the proxy does not answer, or refuses to. */
async function get<Answer>(path: string, query: Readonly<Record<string, string>>): Promise<Answer> {
  const parameters = new URLSearchParams(query).toString();
  const response = await fetch(`/api/v1/${path}${parameters === "" ? "" : `?${parameters}`}`, {
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.status === 404) throw new NotFound(path);
  if (response.status === 400) throw new Refused((await response.json()).error);
  if (!response.ok) throw new Error(`/api/v1/${path} answered ${response.status}`);
  return await response.json();
}
