import { type Cidr, contains } from "../../../core/net/address.ts";
import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import type { Element } from "./element.ts";
import { lastAddress } from "./keys.ts";
import { FIREWALL_ALLOWED, FIREWALL_SERVICES, SERVICE_CIDR_ENDPOINTS } from "./shared.ts";

/** Collects the set elements of one plan, each once: a plan may repeat addresses and local endpoints. */
export class PlanElements {
  readonly list: Element[] = [];
  readonly #claimed = new Set<string>();

  /** @returns false, and adds nothing, if the plan already has this key of the set. */
  add(set: string, key: string, value = "", comment = ""): boolean {
    if (!this.claim(set, key)) return false;
    this.push(set, key, value, comment);
    return true;
  }

  /** Adds an element whose key the plan cannot repeat, or has claimed. */
  push(set: string, key: string, value: string, comment: string): void {
    this.list.push({ set, key, value, comment });
  }

  /** @returns false if the plan already has this key of the set. */
  claim(set: string, key: string): boolean {
    const id = set + key;
    if (this.#claimed.has(id)) return false;
    this.#claimed.add(id);
    return true;
  }

  /**
   * Adds the plan's endpoints in the ranges of service addresses, whose other addresses are dropped. Their packets may
   * come from another node, or from a client that has the address from DNS.
   */
  addEndpointsIn(ranges: readonly Cidr[], { clusterEndpoints, localEndpoints }: ServicePortPlan): void {
    if (ranges.length === 0) return;
    for (const endpoints of [clusterEndpoints, localEndpoints]) {
      for (const { address } of endpoints) {
        if (ranges.some((range) => contains(range, address))) this.add(SERVICE_CIDR_ENDPOINTS, address);
      }
    }
  }

  /**
   * Restricts a load-balancer frontend to its source ranges.
   * @param ranges disjoint, as an interval set demands (ServicePortPlan.sourceRanges); undefined for no
   * restriction.
   */
  restrict(frontend: string, ranges: readonly Cidr[] | undefined): void {
    if (ranges === undefined || !this.add(FIREWALL_SERVICES, frontend)) return;
    for (const cidr of ranges) {
      this.push(FIREWALL_ALLOWED, frontend + cidr.address, frontend + lastAddress(cidr), "");
    }
  }
}
