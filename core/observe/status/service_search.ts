import { firstInOrder } from "../../async/first_in_order.ts";
import { Turns } from "../../async/turns.ts";
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
  const matching = await matches(known, traffic, query);
  const sign = descending ? -1 : 1;
  const compare = sort === "name"
    ? (a: Match, b: Match) => sign * byName(a, b)
    : (a: Match, b: Match) => sign * (a.rank - b.rank) || byName(a, b);
  const first = await firstInOrder(matching, offset + limit, compare);
  const services = first.slice(offset).map(({ key, stored, traffic }) =>
    serviceRow(key, stored, known, traffic)
  );
  return { total: matching.length, offset, services };
}

async function matches(
  known: KnownServices,
  traffic: ReadonlyMap<string, TrafficTotals>,
  { search, sort }: ServiceQuery,
): Promise<readonly Match[]> {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const rankOf = ranks[sort];
  const turns = new Turns();
  const found: Match[] = [];
  for (const key of known.store.serviceNames()) {
    const stored = known.store.get(key);
    if (stored === undefined) continue;
    const own = traffic.get(key);
    const text = words.length === 0 ? "" : textOf(serviceRow(key, stored, known, own));
    if (words.every((word) => text.includes(word))) {
      found.push({ key, stored, traffic: own, rank: rankOf({ key, stored, known, traffic: own }) });
    }
    if (turns.isOver) await turns.next();
  }
  return found;
}

interface Ranked extends Pick<Match, "key" | "stored" | "traffic"> {
  readonly known: KnownServices;
}

/** Places in the orders. Order `name` has none. */
const ranks: Readonly<Record<Sort, (service: Ranked) => number>> = {
  name: () => 0,
  endpoints: ({ stored, known }) => countEndpoints(stored.slices, known.view.context.nodeName).total,
  ready: ({ stored, known }) => countEndpoints(stored.slices, known.view.context.nodeName).ready,
  problems: seriousness,
  connections: ({ traffic }) => traffic?.connections ?? 0,
  refused: ({ traffic }) => traffic?.refused ?? 0,
};

/** 0 for a service without problems. */
function seriousness({ key, stored, known }: Ranked): number {
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
