import type { PlanChange } from "../backend/contract.ts";
import { serviceName, type Store } from "../objects/store.ts";
import type { Log } from "../observe/log.ts";
import { FrontendClaims } from "../plan/frontend_claims.ts";
import { type HealthCheck, type HealthCheckChanges, healthCheckOf } from "../plan/health_check.ts";
import type { PlanKey, ServicePortPlan } from "../plan/plan.ts";
import { type PlanContext, planService } from "../plan/planner.ts";

/**
 * The desired state: plans the services that changed, and knows which service holds which frontend and which
 * keys.
 */
export class DesiredPlans {
  readonly #store: Store;
  readonly #log: Log;
  readonly #claims = new FrontendClaims();
  /** Keys of each service that are in force or hold frontends. */
  readonly #keysOf = new Map<string, readonly PlanKey[]>();
  readonly #dirty = new Set<string>();
  /** Names of the services with a health check. */
  readonly #healthChecked = new Set<string>();
  #healthChecks = new Map<string, HealthCheck | undefined>();

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** Number of services that wait to be planned. */
  get dirty(): number {
    return this.#dirty.size;
  }

  markDirty(services: Iterable<string>): void {
    for (const service of services) this.#dirty.add(service);
  }

  /** Plans the dirty services: the plan of each of their keys; undefined for a key that goes away. */
  plan(context: PlanContext): ReadonlyMap<PlanKey, ServicePortPlan | undefined> {
    const desired = new Map<PlanKey, ServicePortPlan | undefined>();
    // A frontend that becomes free makes the services dirty that wait for it.
    while (this.#dirty.size > 0) {
      const services = this.#store.inOrderOfAge(this.#dirty);
      this.#dirty.clear();
      const planned = services.map((service) => ({ service, plans: this.#planService(service, context) }));
      // Keys that go away release their frontends before any plan claims one.
      for (const { service, plans } of planned) this.#removeMissingKeys(service, plans, desired);
      for (const { plans } of planned) {
        for (const plan of plans) desired.set(plan.key, this.#claimFrontends(plan));
      }
    }
    return desired;
  }

  /**
   * Keeps a key whose removal is not in force attached to its service, so that planning the service retries
   * it.
   */
  keep(change: PlanChange): void {
    const service = serviceOf(change);
    const keys = this.#keysOf.get(service) ?? [];
    if (!keys.includes(change.key)) this.#keysOf.set(service, [...keys, change.key]);
  }

  /** Takes the health checks that changed since the last call. */
  takeHealthChecks(): HealthCheckChanges {
    const changed = this.#healthChecks;
    if (changed.size > 0) this.#healthChecks = new Map();
    return changed;
  }

  /** Puts back health checks of a batch that failed. */
  putBackHealthChecks(changes: HealthCheckChanges): void {
    for (const [service, check] of changes) this.#healthChecks.set(service, check);
  }

  #planService(name: string, context: PlanContext): readonly ServicePortPlan[] {
    const stored = this.#store.get(name);
    const check = stored && healthCheckOf(stored.service, stored.slices, context);
    if (check !== undefined) this.#healthChecked.add(name);
    // Most services have no health check and had none before.
    if (check !== undefined || this.#healthChecked.delete(name)) this.#healthChecks.set(name, check);
    return stored === undefined ? [] : planService(stored.service, stored.slices, context);
  }

  #removeMissingKeys(
    service: string,
    plans: readonly ServicePortPlan[],
    desired: Map<PlanKey, ServicePortPlan | undefined>,
  ): void {
    const keys = plans.map((plan) => plan.key);
    for (const key of this.#keysOf.get(service) ?? []) {
      if (keys.includes(key)) continue;
      desired.set(key, undefined);
      this.markDirty(this.#claims.release(key));
    }
    if (keys.length > 0) this.#keysOf.set(service, keys);
    else this.#keysOf.delete(service);
  }

  /** Returns the plan without the frontends that other services hold. */
  #claimFrontends(plan: ServicePortPlan): ServicePortPlan {
    const claim = this.#claims.claim(plan);
    this.markDirty(claim.freed);
    for (const conflict of claim.conflicts) {
      this.#log.warn("A frontend belongs to another service", { conflict });
    }
    return claim.plan;
  }
}

/** `namespace/name` of the Service that the change belongs to. */
export function serviceOf(change: PlanChange): string {
  const plan = change.new ?? change.old;
  return plan === undefined ? "" : serviceName(plan);
}
