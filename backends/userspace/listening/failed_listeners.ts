import type { UnservedNodePorts } from "../../../core/backend/unserved_node_ports.ts";
import { type PlanKey, printedNameOf, type ServicePortPlan } from "../../../core/plan/plan.ts";
import { TruncatedList } from "../../truncated_list.ts";
import type { FailedListener } from "../relay/messages.ts";

interface Failed {
  readonly plan: ServicePortPlan;
  /** Not empty. */
  readonly listeners: readonly FailedListener[];
}

/** Result of an attempt to open listeners. */
export interface Recorded {
  /** Failures that there was no warning about yet. */
  readonly warnings: readonly string[];
  /** True if other listeners fail than before. */
  readonly isChanged: boolean;
}

/** Warnings of one attempt. */
const MAX_WARNINGS = 20;

/** The service ports with listeners that could not be opened, those that have waited for the longest time first. */
export class FailedListeners {
  readonly #failed = new Map<PlanKey, Failed>();

  get keys(): readonly PlanKey[] {
    return [...this.#failed.keys()];
  }

  /** Returns the first service ports that are to be tried again. */
  first(limit: number): ReadonlyMap<PlanKey, ServicePortPlan> {
    return new Map([...this.#failed].slice(0, limit).map(([key, { plan }]) => [key, plan]));
  }

  /** Reports whether a service port waits with this plan. */
  has(plan: ServicePortPlan): boolean {
    return this.#failed.get(plan.key)?.plan === plan;
  }

  /** Returns why a service port is not served on its loopback address; undefined if it is. */
  loopbackFailure(key: PlanKey): string | undefined {
    return this.#failed.get(key)?.listeners.find(({ kind }) => kind === "ClusterIP")?.reason;
  }

  /**
   * Records the result of an attempt.
   * @param keys the service ports that were tried or removed.
   * @param plans the plans of those that were tried.
   * @param failed the listeners of these that could not be opened.
   */
  record(
    keys: Iterable<PlanKey>,
    plans: ReadonlyMap<PlanKey, ServicePortPlan>,
    failed: readonly FailedListener[],
  ): Recorded {
    const byKey = Map.groupBy(failed, ({ key }) => key);
    const warnings = new TruncatedList(MAX_WARNINGS);
    let isChanged = false;
    for (const key of keys) {
      const before = this.#failed.get(key)?.listeners ?? [];
      const listeners = byKey.get(key) ?? [];
      const plan = plans.get(key);
      this.#failed.delete(key);
      if (plan !== undefined && listeners.length > 0) this.#failed.set(key, { plan, listeners });
      const added = listeners.filter((listener) => !before.some((one) => isSame(one, listener)));
      for (const { reason } of added) {
        warnings.add(() => `${printedNameOf(key)} is not served completely, and is tried again: ${reason}`);
      }
      if (added.length > 0 || listeners.length !== before.length) isChanged = true;
    }
    return { warnings: warnings.texts, isChanged };
  }

  /** @param limit maximum length of the list. */
  nodePorts(limit: number): UnservedNodePorts {
    const first: UnservedNodePorts["first"][number][] = [];
    let total = 0;
    for (const { listeners } of this.#failed.values()) {
      for (const { key, kind, port, reason } of listeners) {
        if (kind !== "NodePort" || ++total > limit) continue;
        first.push({ servicePort: printedNameOf(key), port, reason });
      }
    }
    return { total, first };
  }
}

function isSame(a: FailedListener, b: FailedListener): boolean {
  return a.address === b.address && a.port === b.port && a.kind === b.kind && a.reason === b.reason;
}
