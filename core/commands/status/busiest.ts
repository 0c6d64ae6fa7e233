import type { Rates } from "../../observe/status/rates.ts";
import { readableNumber } from "../../observe/status/readable.ts";
import type { ServiceRow } from "../../observe/status/services.ts";
import type { Cell } from "../output/table.ts";
import { sparkline } from "./sparkline.ts";

const MAX_ROWS = 10;
/** Readings of a sparkline. */
const SHOWN_READINGS = 30;

const nameOf = ({ namespace, name }: ServiceRow) => `${namespace}/${name}`;

/** Takes a reading of the connections of services. */
export function readConnections(services: readonly ServiceRow[], rates: Rates, nowMs: number): void {
  rates.read(services.map((row) => [nameOf(row), row.traffic?.connections ?? 0]), nowMs);
}

/**
 * Rows of the services that get the most connections, with their header; none if no service gets any. They are sorted by
 * rate, or by number before there are two readings.
 */
export function busiestRows(services: readonly ServiceRow[], rates: Rates): readonly (readonly Cell[])[] {
  const rateOf = (row: ServiceRow) => rates.current(nameOf(row)) ?? 0;
  const connectionsOf = ({ traffic }: ServiceRow) => traffic?.connections ?? 0;
  const busiest = services.filter((row) => connectionsOf(row) > 0)
    .toSorted((a, b) => rateOf(b) - rateOf(a) || connectionsOf(b) - connectionsOf(a))
    .slice(0, MAX_ROWS);
  if (busiest.length === 0) return [];
  const hasRates = busiest.some((row) => rates.current(nameOf(row)) !== undefined);
  return [
    ["BUSIEST SERVICES", "CONNECTIONS", "REFUSED", ...hasRates ? ["PER SECOND", ""] : []],
    ...busiest.map((row) => [
      nameOf(row),
      readableNumber(connectionsOf(row)),
      readableNumber(row.traffic?.refused ?? 0),
      ...hasRates
        ? [readableNumber(rateOf(row)), sparkline(rates.of(nameOf(row)).slice(-SHOWN_READINGS))]
        : [],
    ]),
  ];
}
