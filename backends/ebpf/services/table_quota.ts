import type { ServicePortPlan } from "../../../core/plan/plan.ts";

/** The part of the slots that tables may use. The rest is a reserve for plain lists. */
const TABLE_SHARE = 3 / 4;

/**
 * Limits the slots of tables (Maglev and weights). A table takes a hundred times the slots of a list, and an annotation
 * asks for it, so one tenant could otherwise leave no slots for the services of all others.
 *
 * Tables that annotations of one namespace ask for may take as many slots as are left for all other tables: half of them
 * if no other namespace has tables, a third if another one takes as many. Tables that `--ebpf-balancing` asks for have no
 * limit per namespace.
 */
export class TableQuota {
  readonly #max: number;
  /** Slots of tables by namespace. */
  readonly #used = new Map<string, number>();
  #total = 0;

  constructor(capacity: number) {
    this.#max = Math.floor(capacity * TABLE_SHARE);
  }

  /** Slots of all tables. */
  get used(): number {
    return this.#total;
  }

  /** Reports whether a plan may have a table of so many slots. */
  admits(plan: ServicePortPlan, slots: number): boolean {
    const left = this.#max - this.#total - slots;
    if (left < 0) return false;
    return !isAskedFor(plan) || (this.#used.get(plan.namespace) ?? 0) + slots <= left;
  }

  /** Counts a table that came, or with a negative number one that went. */
  count({ namespace }: ServicePortPlan, slots: number): void {
    this.#total += slots;
    this.#used.set(namespace, (this.#used.get(namespace) ?? 0) + slots);
    if (this.#used.get(namespace) === 0) this.#used.delete(namespace);
  }
}

/** Reports whether annotations ask for the table: `proxy/balancing` or `proxy/weight`. */
function isAskedFor({ balancing, clusterEndpoints }: ServicePortPlan): boolean {
  return balancing === "maglev" ||
    clusterEndpoints.some(({ weight }) => weight !== clusterEndpoints[0]?.weight);
}
