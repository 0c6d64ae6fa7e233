import type { Cidr } from "../../../core/net/address.ts";
import type { Element } from "./element.ts";
import { lastAddress } from "./keys.ts";
import { FIREWALL_ALLOWED, FIREWALL_SERVICES } from "./shared.ts";

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
