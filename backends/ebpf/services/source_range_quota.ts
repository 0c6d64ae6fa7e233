import { BackendError, type PlanChange } from "../../../core/backend/contract.ts";
import type { PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";

/** The part of the map that the services of one namespace may use. */
const NAMESPACE_SHARE = 1 / 2;

/**
 * Limits the entries of map `source_ranges`. A Service may list any number of ranges, so one tenant could otherwise
 * leave no room for the ranges of all others.
 */
export class SourceRangeQuota {
  readonly #capacity: number;
  #used: Use = { total: 0, byNamespace: new Map() };

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /**
   * Checks that the ranges of changed service ports fit.
   * @returns counts them; called when the changes are in force.
   * @throws BackendError with the service ports that do not fit.
   */
  admit(changes: readonly Pick<PlanChange, "old" | "new">[]): () => void {
    // Most changes concern no ranges.
    if (changes.every(({ old, new: next }) => countOf(old) === 0 && countOf(next) === 0)) return () => {};
    const use = { total: this.#used.total, byNamespace: new Map(this.#used.byNamespace) };
    // Ranges that go make room for those that come.
    for (const { old, new: next } of changes) {
      const kept = Math.min(countOf(old), countOf(next));
      if (old !== undefined) count(use, old, kept - countOf(old));
    }
    const rejected: ServicePortPlan[] = [];
    for (const { old, new: next } of changes) {
      const more = countOf(next) - Math.min(countOf(old), countOf(next));
      if (next === undefined || more === 0) continue;
      if (this.#hasRoom(use, next, more)) count(use, next, more);
      else rejected.push(next);
    }
    if (rejected.length > 0) throw this.#exhausted(rejected);
    return () => this.#used = use;
  }

  /**
   * Replaces all counts by those of all plans.
   * @throws BackendError with the service ports that do not fit.
   */
  replace(plans: readonly ServicePortPlan[]): void {
    const quota = new SourceRangeQuota(this.#capacity);
    quota.admit(plans.map((plan) => ({ old: undefined, new: plan })))();
    this.#used = quota.#used;
  }

  #hasRoom({ total, byNamespace }: Use, { namespace }: ServicePortPlan, more: number): boolean {
    const limit = Math.floor(this.#capacity * NAMESPACE_SHARE);
    return total + more <= this.#capacity && (byNamespace.get(namespace) ?? 0) + more <= limit;
  }

  #exhausted(rejected: readonly ServicePortPlan[]): BackendError {
    const [{ namespace, name }] = rejected as [ServicePortPlan];
    const others = rejected.length > 1 ? ` and ${rejected.length - 1} other service ports` : "";
    return new BackendError(
      `ebpf: no room for the source ranges of service ${namespace}/${name}${others}: all services may have ` +
        `${this.#capacity}, those of one namespace half of them. Use fewer loadBalancerSourceRanges, or increase ` +
        "--ebpf-max-frontends (docs/ebpf.md#quotas)",
      rejected.map(({ key }): PlanKey => key),
    );
  }
}

/** Numbers of ranges. */
interface Use {
  total: number;
  readonly byNamespace: Map<string, number>;
}

function countOf(plan: ServicePortPlan | undefined): number {
  return plan?.sourceRanges?.length ?? 0;
}

function count(use: Use, { namespace }: ServicePortPlan, ranges: number): void {
  if (ranges === 0) return;
  const used = (use.byNamespace.get(namespace) ?? 0) + ranges;
  use.total += ranges;
  if (used === 0) use.byNamespace.delete(namespace);
  else use.byNamespace.set(namespace, used);
}
