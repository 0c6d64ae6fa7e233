import assert from "node:assert/strict";
import type { RelayedFrontend, RelayedService } from "../../../../../backends/userspace/relay/messages.ts";
import { packEndpoints } from "../../../../../backends/userspace/relay/endpoints/packed_endpoints.ts";
import { Service } from "../../../../../backends/userspace/relay/services/service_table.ts";
import { type Address, parseAddress } from "../../../../../core/net/address.ts";
import type { PlanKey } from "../../../../../core/plan/plan.ts";

export function address(text: string): Address {
  const parsed = parseAddress(text);
  assert(parsed !== undefined, text);
  return parsed;
}

/** Packs endpoints that are written as `10.1.0.1:80`. */
export function packed(...endpoints: readonly string[]): string {
  return packEndpoints(endpoints.map((text) => {
    const colon = text.lastIndexOf(":");
    return { address: address(text.slice(0, colon)), port: Number(text.slice(colon + 1)) };
  }));
}

export function frontend(changes: Partial<RelayedFrontend> = {}): RelayedFrontend {
  return {
    kind: "ClusterIP",
    address: address("10.96.0.10"),
    port: 80,
    outside: "cluster",
    inside: "cluster",
    ...changes,
  };
}

export function relayedService(changes: Partial<RelayedService> = {}): RelayedService {
  return {
    key: "default/web/TCP/IPv4" as PlanKey,
    family: "IPv4",
    protocol: "TCP",
    frontends: [frontend()],
    cluster: packed("10.1.0.1:8080"),
    local: "",
    serving: "",
    affinitySeconds: 0,
    proxyProtocol: false,
    ...changes,
  };
}

export function service(changes: Partial<RelayedService> = {}): Service {
  return new Service(1, relayedService(changes));
}
