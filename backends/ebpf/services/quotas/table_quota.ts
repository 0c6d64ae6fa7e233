import type { ServicePortPlan } from "../../../../core/plan/plan.ts";
import { slotsOfList } from "../compile.ts";
import { Quota } from "./quota.ts";

/**
 * Limits the slots of tables (Maglev and weights). A table takes a hundred times the slots of a list, and an annotation
 * asks for it. So tables only get slots beyond the reserve of lists: as long as a quarter of all slots stays free.
 *
 * Tables that annotations of one namespace ask for may take as many of these slots as they leave to all other tables:
 * half of them if no other namespace has tables, a third if another one takes as many. Tables that `--ebpf-balancing`
 * asks for have no limit per namespace.
 *
 * Every service port is charged for its list, whether it has a table or not. It can therefore always have a list
 * instead.
 */
export class TableQuota {
  readonly #slots: Quota;
  readonly #tables: Quota;

  /** @param slots all slots; lists are counted there, and so is what tables take beyond their lists. */
  constructor(slots: Quota) {
    this.#slots = slots;
    this.#tables = new Quota(slots.capacity);
  }

  /** Slots of all tables. */
  get used(): number {
    return this.#tables.used;
  }

  /** Reports whether a plan, whose list is counted, may have a table of so many slots. */
  admits(plan: ServicePortPlan, slots: number): boolean {
    const left = this.#slots.free - (slots - slotsOfList(plan)) - this.#slots.reserve;
    if (left < 0) return false;
    return !isAskedFor(plan) || this.#tables.of(plan.namespace) + slots <= left;
  }

  /** Counts the table of a plan, whose list is counted. */
  add(plan: ServicePortPlan, slots: number): void {
    this.#count(plan, slots, slots - slotsOfList(plan));
  }

  remove(plan: ServicePortPlan, slots: number): void {
    this.#count(plan, -slots, slotsOfList(plan) - slots);
  }

  #count({ namespace }: ServicePortPlan, slots: number, beyondList: number): void {
    this.#tables.count(namespace, slots);
    this.#slots.count(undefined, beyondList);
  }
}

/** Reports whether annotations ask for the table: `proxy/balancing` or `proxy/weight`. */
function isAskedFor({ balancing, clusterEndpoints }: ServicePortPlan): boolean {
  return balancing === "maglev" ||
    clusterEndpoints.some(({ weight }) => weight !== clusterEndpoints[0]?.weight);
}
