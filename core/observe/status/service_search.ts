import { yieldToEventLoop } from "../../async/yield.ts";
import { PROBLEMS, type ServiceRow } from "./services.ts";

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

/** Selects, sorts and cuts the rows. Rows that are equal in the order are sorted by name. */
export async function searchServices(rows: readonly ServiceRow[], query: ServiceQuery): Promise<ServicePage> {
  const { search, sort, descending, limit, offset } = query;
  const matching = await matches(rows, search);
  const sign = descending ? -1 : 1;
  const compare = comparisons[sort];
  matching.sort((a, b) => sign * compare(a, b) || byName(a, b));
  return { total: matching.length, offset, services: matching.slice(offset, offset + limit) };
}

/** Rows between two pauses, so that other work of the process never waits for long. */
const ROWS_PER_STEP = 500;

async function matches(rows: readonly ServiceRow[], search: string): Promise<ServiceRow[]> {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  if (words.length === 0) return [...rows];
  const found: ServiceRow[] = [];
  for (const [index, row] of rows.entries()) {
    const text = textOf(row);
    if (words.every((word) => text.includes(word))) found.push(row);
    if (index % ROWS_PER_STEP === ROWS_PER_STEP - 1) await yieldToEventLoop();
  }
  return found;
}

type Comparison = (a: ServiceRow, b: ServiceRow) => number;

const byName: Comparison = (a, b) => compareTexts(a.namespace, b.namespace) || compareTexts(a.name, b.name);

const comparisons: Readonly<Record<Sort, Comparison>> = {
  name: byName,
  endpoints: (a, b) => a.endpoints.total - b.endpoints.total,
  ready: (a, b) => a.endpoints.ready - b.endpoints.ready,
  problems: (a, b) => seriousness(a) - seriousness(b),
  connections: (a, b) => (a.traffic?.connections ?? 0) - (b.traffic?.connections ?? 0),
  refused: (a, b) => (a.traffic?.refused ?? 0) - (b.traffic?.refused ?? 0),
};

/** 0 for a service without problems. */
function seriousness({ problems: [worst] }: ServiceRow): number {
  return worst === undefined ? 0 : PROBLEMS.length - PROBLEMS.indexOf(worst);
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function textOf({ namespace, name, addresses, ports, frontends, problems }: ServiceRow): string {
  return [`${namespace}/${name}`, ...addresses, ...ports, ...frontends, ...problems].join(" ").toLowerCase();
}
