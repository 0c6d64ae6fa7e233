import type { TableFamily } from "../../nf_tables/families.ts";
import { NO_ENDPOINT_NODEPORTS, SERVICE_NODEPORTS } from "../../nf_tables/set/frontends.ts";
import { describeAddressKey, describeFrontendKey } from "../../nf_tables/set/keys.ts";
import { protocolOfNumber } from "../../protocol_numbers.ts";
import { LISTENERS, RELAY_PORTS } from "./sets.ts";

const SETS_BY_PORT: ReadonlySet<string> = new Set([SERVICE_NODEPORTS, NO_ENDPOINT_NODEPORTS, RELAY_PORTS]);

const LISTENER_MAPS: ReadonlySet<string> = new Set(Object.values(LISTENERS));

/** Renders the address or frontend of an element. */
export function describeElement({ addressBytes }: TableFamily, set: string, key: string): string | undefined {
  if (SETS_BY_PORT.has(set)) return describeFrontendKey(key, 0);
  if (LISTENER_MAPS.has(set)) return `the ${protocolOfNumber(key.charCodeAt(0)) ?? "unknown"} listener`;
  return key.length === addressBytes ? describeAddressKey(key) : describeFrontendKey(key, addressBytes);
}
