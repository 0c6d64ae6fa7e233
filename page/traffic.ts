import { Rates } from "../core/observe/status/rates.ts";
import { readableNumber } from "../core/observe/status/readable.ts";
import type { PortDetail } from "../core/observe/status/service_detail.ts";
import type { ServiceRow } from "../core/observe/status/services.ts";
import type { TrafficTotals } from "../core/observe/status/traffic_totals.ts";
import { element } from "./dom.ts";
import { spark } from "./spark.ts";

const connections = new Rates();
let isCounted = true;

/** Takes a reading of the connections of the services that are shown. */
export function readTraffic(services: readonly ServiceRow[]): void {
  connections.read(
    services.map(({ namespace, name, traffic }) => [`${namespace}/${name}`, traffic?.connections ?? 0]),
    performance.now(),
  );
}

/** @param counted false if the proxy counts no traffic. */
export function setCounted(counted: boolean): void {
  isCounted = counted;
}

/** New connections per second, as a line and a number; the sum is in the tooltip. */
export function trafficCell({ namespace, name, traffic }: ServiceRow): readonly (Node | string)[] {
  if (!isCounted) return ["–"];
  const rates = connections.of(`${namespace}/${name}`);
  const rate = rates.at(-1);
  const sum = `${readableNumber(traffic?.connections ?? 0)} connections so far`;
  const text = element("span", { title: sum }, rate === undefined ? "…" : `${readableNumber(rate)}/s`);
  return rates.some((one) => one > 0) ? [spark(rates), text] : [text];
}

/** The sums of a service port in words. */
export function trafficText({ traffic }: Pick<PortDetail, "traffic">): string {
  if (!isCounted) return "";
  if (traffic.length === 0) return "No connections so far.";
  const parts = traffic.map(({ frontend, ...totals }) =>
    `${frontend ?? "all frontends"}: ${totalsText(totals)}`
  );
  return `Connections so far, by frontend. ${parts.join("; ")}.`;
}

function totalsText({ connections, refused, toEndpoints, fromEndpoints }: TrafficTotals): string {
  return [
    readableNumber(connections),
    ...refused === 0 ? [] : [`${readableNumber(refused)} refused packets`],
    ...toEndpoints === undefined ? [] : [`${readableNumber(toEndpoints.bytes)}B to endpoints`],
    ...fromEndpoints === undefined ? [] : [`${readableNumber(fromEndpoints.bytes)}B back`],
  ].join(", ");
}
