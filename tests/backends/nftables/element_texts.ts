import type { Element } from "../../../backends/nf_tables/set/element.ts";
import * as shared from "../../../backends/nf_tables/set/shared.ts";
import { elementsOf } from "../../../backends/nftables/compile.ts";
import * as sets from "../../../backends/nftables/sets.ts";
import {
  addressFromBytes,
  type Cidr,
  formatAddress,
  formatSocketAddress,
} from "../../../core/net/address.ts";
import type { ServicePortPlan } from "../../../core/plan/plan.ts";

/**
 * Elements as nft lists them, in the order of the plan: `service-ips: 10.96.0.10 . tcp . 80 : goto
 * cluster-3`.
 */
export function textsOf(plan: ServicePortPlan, serviceCidrs: readonly Cidr[] = []): string[] {
  return elementsOf(plan, serviceCidrs).map(elementText);
}

export function elementText({ set, key, value }: Element): string {
  const field = new Fields(key);
  switch (set) {
    case shared.CLUSTER_IPS:
    case shared.SERVICE_CIDR_ENDPOINTS:
      return `${set}: ${field.address(key.length)}`;
    case shared.HAIRPIN_CONNECTIONS: {
      const length = (key.length - 8) / 2;
      return `${set}: ${field.address(length)} . ${field.address(length)} . ${field.protocolAndPort()}`;
    }
    case sets.SERVICE_IPS:
    case sets.NO_ENDPOINT_SERVICES:
      return `${set}: ${field.address(key.length - 8)} . ${field.protocolAndPort()} : ${verdict(value)}`;
    case sets.SERVICE_NODEPORTS:
    case sets.NO_ENDPOINT_NODEPORTS:
      return `${set}: ${field.protocolAndPort()} : ${verdict(value)}`;
    case sets.ENDPOINTS:
    case sets.LOCAL_ENDPOINTS:
      return `${set}: ${field.address(key.length - 12)} . ${field.protocolAndPort()} . ${field.slot()} : ${
        endpoint(value)
      }`;
    case sets.NODEPORT_ENDPOINTS:
    case sets.LOCAL_NODEPORT_ENDPOINTS:
      return `${set}: ${field.protocolAndPort()} . ${field.slot()} : ${endpoint(value)}`;
    case shared.FIREWALL_SERVICES:
      return `${set}: ${field.address(key.length - 8)} . ${field.protocolAndPort()}`;
    case shared.FIREWALL_ALLOWED: {
      const length = (key.length - 8) / 2;
      const frontend = `${field.address(length)} . ${field.protocolAndPort()}`;
      return `${set}: ${frontend} . ${field.address(length)}-${address(value.slice(length + 8))}`;
    }
    default:
      // The map of a service with shared lists.
      if (/^(local-)?endpoints-.*\//.test(set)) {
        return `${set}: ${field.protocolAndPort()} . ${field.slot()} : ${endpoint(value)}`;
      }
      throw new Error(`unknown set ${set}`);
  }
}

class Fields {
  #at = 0;
  constructor(readonly key: string) {}

  address(length: number): string {
    return address(this.#take(length));
  }

  protocolAndPort(): string {
    const protocol = this.#take(4).charCodeAt(0);
    const port = this.#take(4);
    const name = new Map([[6, "tcp"], [17, "udp"], [132, "sctp"]]).get(protocol);
    return `${name} . ${port.charCodeAt(0) * 256 + port.charCodeAt(1)}`;
  }

  slot(): number {
    const slot = this.#take(4);
    return slot.charCodeAt(0) + slot.charCodeAt(1) * 256;
  }

  #take(length: number): string {
    this.#at += length;
    return this.key.slice(this.#at - length, this.#at);
  }
}

function verdict(value: string): string {
  return value === "drop" ? value : `goto ${value}`;
}

function address(bytes: string): string {
  return formatAddress(addressFromBytes(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0))));
}

function endpoint(value: string): string {
  const length = value.length - 4;
  const at = addressFromBytes(Uint8Array.from(value.slice(0, length), (byte) => byte.charCodeAt(0)));
  return formatSocketAddress(at, value.charCodeAt(length) * 256 + value.charCodeAt(length + 1));
}
