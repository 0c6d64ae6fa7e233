import type { Family } from "../net/protocol.ts";
import type { ServicePortPlan } from "../plan/plan.ts";

interface Count {
  internal: number;
  external: number;
}

/**
 * Counts the service ports that drop traffic because a Local policy finds no endpoint on this node, although there
 * are some elsewhere: the last table of docs/behaviour.md §3. One without external addresses has no external traffic.
 */
export class NoLocalEndpoints {
  #counts: Record<Family, Count> = none();

  of(family: Family): Readonly<Count> {
    return this.#counts[family];
  }

  exchange(old: ServicePortPlan | undefined, plan: ServicePortPlan | undefined): void {
    this.#add(old, -1);
    this.#add(plan, 1);
  }

  recount(plans: Iterable<ServicePortPlan>): void {
    this.#counts = none();
    for (const plan of plans) this.#add(plan, 1);
  }

  #add(plan: ServicePortPlan | undefined, times: 1 | -1): void {
    if (plan === undefined) return;
    const count = this.#counts[plan.family];
    if (plan.internal.verdict === "drop") count.internal += times;
    if (plan.external.verdict === "local-external" && plan.localEndpoints.length === 0) {
      count.external += times;
    }
  }
}

function none(): Record<Family, Count> {
  return { IPv4: { internal: 0, external: 0 }, IPv6: { internal: 0, external: 0 } };
}
