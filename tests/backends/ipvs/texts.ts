import type { BalancedServer } from "../../../backends/ipvs/compile.ts";
import type { Assignment, ServerDifference } from "../../../backends/ipvs/servers/diff.ts";
import {
  formatVirtualServer,
  type RealServer,
  type VirtualServer,
} from "../../../backends/ipvs/servers/virtual_server.ts";
import { IPVS_IPS } from "../../../backends/ipvs/tables/sets.ts";
import type { Element } from "../../../backends/nf_tables/set/element.ts";
import { describeAddressKey, describeFrontendKey } from "../../../backends/nf_tables/set/keys.ts";
import {
  CLUSTER_IPS,
  FIREWALL_ALLOWED,
  HAIRPIN_CONNECTIONS,
  SERVICE_CIDR_ENDPOINTS,
} from "../../../backends/nf_tables/set/shared.ts";
import { formatSocketAddress } from "../../../core/net/address.ts";

/** `10.96.0.10:80/TCP rr`, with settings that are not the default: `persistent 60`, `flags 0x10`. */
export function serverText(server: VirtualServer): string {
  const { scheduler, persistenceSeconds, flags } = server;
  const persistent = persistenceSeconds === 0 ? "" : ` persistent ${persistenceSeconds}`;
  return `${formatVirtualServer(server)} ${scheduler}${persistent}${
    flags === 0 ? "" : ` flags 0x${flags.toString(16)}`
  }`;
}

/** `10.96.0.10:80/TCP rr` → `10.1.0.1:8080 10.1.1.2:8080` */
export function serverTexts(servers: readonly BalancedServer[]): Record<string, string> {
  return Object.fromEntries(
    servers.map((server) => [serverText(server), server.realServers.map(realServerText).join(" ")]),
  );
}

/** With the weight, unless it is 1. */
function realServerText({ address, port, weight }: RealServer): string {
  return formatSocketAddress(address, port) + (weight === 1 ? "" : ` weight ${weight}`);
}

/** `+ server …`, `* real server …`, in the order of the difference. */
export function differenceTexts({ added, changed, removed, realServers }: ServerDifference): string[] {
  const servers = (sign: string, of: readonly VirtualServer[]) =>
    of.map((server) => `${sign} ${serverText(server)}`);
  const assignments = (sign: string, of: readonly Assignment[]) =>
    of.map(({ server, realServer }) =>
      `${sign} ${formatVirtualServer(server)} -> ${realServerText(realServer)}`
    );
  return [
    ...servers("+", added),
    ...servers("*", changed),
    ...servers("-", removed),
    ...assignments("+", realServers.added),
    ...assignments("*", realServers.changed),
    ...assignments("-", realServers.removed),
  ];
}

/** Set → its elements: `10.96.0.10`, `10.96.0.10:80/TCP`, `203.0.113.1:80/TCP from 192.0.2.0-192.0.2.255`. */
export function elementTexts(elements: readonly Element[]): Record<string, string[]> {
  const texts: Record<string, string[]> = {};
  for (const element of elements) (texts[element.set] ??= []).push(elementText(element));
  return texts;
}

const byAddress = [CLUSTER_IPS, IPVS_IPS, SERVICE_CIDR_ENDPOINTS];

export function elementText({ set, key, value }: Element): string {
  if (byAddress.includes(set)) return describeAddressKey(key);
  if (set === HAIRPIN_CONNECTIONS) {
    const half = key.length / 2;
    return `${describeAddressKey(key.slice(0, half))} to ${describeAddressKey(key.slice(half))}`;
  }
  if (set !== FIREWALL_ALLOWED) return frontend(key, key.length - 8);
  const half = (key.length - 8) / 2;
  return `${frontend(key, half)} from ${describeAddressKey(key.slice(half + 8))}-${
    describeAddressKey(value.slice(half + 8))
  }`;
}

function frontend(key: string, addressBytes: number): string {
  return describeFrontendKey(key, addressBytes) ?? "no frontend";
}
