import { firstInOrder } from "../../async/first_in_order.ts";
import type { StoredService } from "../../objects/store.ts";
import {
  countEndpoints,
  type KnownServices,
  PROBLEMS,
  problemsOf,
  type ServiceRow,
  serviceRow,
} from "./services.ts";
import type { TrafficTotals } from "./traffic_totals.ts";

/** Orders of the rows. A leading "-" reverses an order. */
export const SORTS = ["name", "endpoints", "ready", "problems", "connections", "refused"] as const;
export type Sort = typeof SORTS[number];

export interface ServiceQuery {
  /** Text that a name, an address, a port or a problem contains, in any case; "" for all. */
  readonly search: string;
  readonly sort: Sort;
  readonly descending: boolean;
  readonly limit: number;
  readonly offset: number;
}

export interface ServicePage {
  /** Number of services that match. */
  readonly total: number;
  readonly offset: number;
  readonly services: readonly ServiceRow[];
}

/** A service that matches, with its place in the order. Rows are made only of services that are shown. */
interface Match {
  readonly key: string;
  readonly stored: StoredService;
  readonly traffic: TrafficTotals | undefined;
  readonly rank: number;
}

/**
 * Selects and sorts services, and makes the rows of a page of them. Services that are equal in the order are sorted by
 * name.
 * @param traffic by `namespace/name`.
 */
export async function searchServices(
  known: KnownServices,
  traffic: ReadonlyMap<string, TrafficTotals>,
  query: ServiceQuery,
): Promise<ServicePage> {
  const { sort, descending, limit, offset } = query;
  const sign = descending ? -1 : 1;
  const compare = sort === "name"
    ? (a: Match, b: Match) => sign * byName(a, b)
    : (a: Match, b: Match) => sign * (a.rank - b.rank) || byName(a, b);
  const found = { total: 0 };
  const first = await firstInOrder(matches(known, traffic, query, found), offset + limit, compare);
  const services = first.slice(offset).map(({ key, stored, traffic }) =>
    serviceRow(key, stored, known, traffic)
  );
  return { ...found, offset, services };
}

/**
 * Finds the services one by one, because a list of all of them would live long enough to burden the garbage collector.
 * @param found counts those that match.
 * @returns undefined for a service that does not match.
 */
function* matches(
  known: KnownServices,
  traffic: ReadonlyMap<string, TrafficTotals>,
  { search, sort }: ServiceQuery,
  found: { total: number },
): Generator<Match | undefined> {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const rankOf = ranks[sort];
  for (const key of known.store.serviceNames()) {
    const stored = known.store.get(key);
    if (stored === undefined) continue;
    const own = traffic.get(key);
    if (words.length === 0 || hasAll(textOf(serviceRow(key, stored, known, own)), words)) {
      found.total++;
      yield { key, stored, traffic: own, rank: rankOf(known, key, stored, own) };
    } else {
      yield undefined;
    }
  }
}

function hasAll(text: string, words: readonly string[]): boolean {
  return words.every((word) => text.includes(word));
}

/** Returns the place of a service in an order. */
type Rank = (known: KnownServices, key: string, stored: StoredService, traffic: Match["traffic"]) => number;

/** Places in the orders. Order `name` has none. */
const ranks: Readonly<Record<Sort, Rank>> = {
  name: () => 0,
  endpoints: (known, _key, stored) => countEndpoints(stored.slices, known.view.context.nodeName).total,
  ready: (known, _key, stored) => countEndpoints(stored.slices, known.view.context.nodeName).ready,
  problems: seriousness,
  connections: (_known, _key, _stored, traffic) => traffic?.connections ?? 0,
  refused: (_known, _key, _stored, traffic) => traffic?.refused ?? 0,
};

/** 0 for a service without problems. */
function seriousness(known: KnownServices, key: string, stored: StoredService): number {
  const [worst] = problemsOf(key, stored.service, known);
  return worst === undefined ? 0 : PROBLEMS.length - PROBLEMS.indexOf(worst);
}

function byName({ stored: { service: a } }: Match, { stored: { service: b } }: Match): number {
  return compareTexts(a.namespace, b.namespace) || compareTexts(a.name, b.name);
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function textOf({ namespace, name, addresses, ports, frontends, problems }: ServiceRow): string {
  return [`${namespace}/${name}`, ...addresses, ...ports, ...frontends, ...problems].join(" ").toLowerCase();
}
