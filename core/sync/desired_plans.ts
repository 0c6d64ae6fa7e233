import type { PlanChange } from "../backend/contract.ts";
import type { Service } from "../objects/objects.ts";
import { serviceName, type Store } from "../objects/store.ts";
import type { Log } from "../observe/log.ts";
import { type Claim, type Conflict, describeConflict, FrontendClaims } from "../plan/frontend_claims.ts";
import { type HealthCheck, type HealthCheckChanges, healthCheckOf } from "../plan/health_check.ts";
import type { PlanKey, ServicePortPlan } from "../plan/plan.ts";
import type { ServiceWarning } from "../source.ts";
import { type PlanContext, planService } from "../plan/planner.ts";

/**
 * The desired state: plans the services that changed, and knows which service holds which frontend and which
 * keys.
 */
export class DesiredPlans {
  readonly #store: Store;
  readonly #log: Log;
  readonly #warn: (warning: ServiceWarning) => void;
  readonly #claims = new FrontendClaims();
  /** Keys of each service that are in force or hold frontends. */
  readonly #keysOf = new Map<string, readonly PlanKey[]>();
  readonly #dirty = new Set<string>();
  /**
   * Services with many frontends that have all of them, each as it was when it claimed them. They need not claim
   * again when only their endpoints change.
   */
  readonly #undisputed = new Map<string, Service>();
  #context: PlanContext | undefined;
  /** Names of the services with a health check. */
  readonly #healthChecked = new Set<string>();
  #healthChecks = new Map<string, HealthCheck | undefined>();

  constructor(store: Store, log: Log, warn: (warning: ServiceWarning) => void) {
    this.#store = store;
    this.#log = log;
    this.#warn = warn;
  }

  /** Number of services that wait to be planned. */
  get dirty(): number {
    return this.#dirty.size;
  }

  markDirty(services: Iterable<string>): void {
    for (const service of services) this.#dirty.add(service);
  }

  /** Number of frontends that services claim and other services have. */
  get conflicts(): number {
    return this.#claims.refusals;
  }

  /** Number of frontends that this service claims and other services have. */
  conflictsOf(service: string): number {
    return this.#claims.refusalsOf(service);
  }

  /** Plans the dirty services: the plan of each of their keys; undefined for a key that goes away. */
  plan(context: PlanContext): ReadonlyMap<PlanKey, ServicePortPlan | undefined> {
    const desired = new Map<PlanKey, ServicePortPlan | undefined>();
    // Frontends depend on the families.
    if (context !== this.#context) this.#undisputed.clear();
    this.#context = context;
    // A claim may make other services dirty: those that lose a frontend, and those that wait for one.
    while (this.#dirty.size > 0) {
      const planned = this.#planDirty(context, desired);
      for (const service of this.#store.inOrderOfAge(planned.keys())) {
        for (const plan of this.#claimFrontends(service, planned.get(service) ?? [])) {
          desired.set(plan.key, plan);
        }
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

  /** Plans the dirty services, and those that wait for what they release before any of them claims something. */
  #planDirty(
    context: PlanContext,
    desired: Map<PlanKey, ServicePortPlan | undefined>,
  ): ReadonlyMap<string, readonly ServicePortPlan[]> {
    const planned = new Map<string, readonly ServicePortPlan[]>();
    while (this.#dirty.size > 0) {
      const services = [...this.#dirty].filter((service) => !planned.has(service));
      this.#dirty.clear();
      for (const service of services) {
        const plans = this.#planService(service, context);
        planned.set(service, plans);
        this.#removeMissingKeys(service, plans, desired);
      }
      // A service alone releases when it claims.
      if (planned.size === 1) break;
      for (const service of services) {
        if (!this.#isUndisputed(service)) {
          this.#dispute(this.#claims.release(service, planned.get(service) ?? []));
        }
      }
    }
    return planned;
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
    const stays = new Set(keys);
    for (const key of this.#keysOf.get(service) ?? []) {
      if (!stays.has(key)) desired.set(key, undefined);
    }
    if (keys.length > 0) this.#keysOf.set(service, keys);
    else this.#keysOf.delete(service);
  }

  /** Returns the plans without the frontends that other services have. */
  #claimFrontends(service: string, plans: readonly ServicePortPlan[]): readonly ServicePortPlan[] {
    if (this.#isUndisputed(service)) return plans;
    const claim = this.#claims.claim(service, plans);
    this.#dispute(claim.replan);
    this.#noteUndisputed(service, plans, claim);
    this.#reportConflicts(claim.conflicts);
    if (claim.isSettled) this.#log.info("The service has all its frontends now", { service });
    return claim.plans;
  }

  /** Reports the conflicts of one service in one line, because it may have thousands. */
  #reportConflicts([first, ...others]: readonly Conflict[]): void {
    if (first === undefined) return;
    const conflict = describeConflict(first);
    const more = others.length > 0 ? { more: others.length } : {};
    this.#log.warn("A frontend belongs to another service", { conflict, ...more });
    const { namespace, name } = first.plan;
    const note = others.length > 0 ? `${conflict}, and ${others.length} more` : conflict;
    this.#warn({ namespace, name, reason: "FrontendConflict", action: "ClaimFrontend", note });
  }

  #isUndisputed(service: string): boolean {
    const claimed = this.#undisputed.get(service);
    return claimed !== undefined && claimed === this.#store.get(service)?.service;
  }

  #noteUndisputed(service: string, plans: readonly ServicePortPlan[], { isUndisputed }: Claim): void {
    const claimed = this.#store.get(service)?.service;
    if (claimed !== undefined && isUndisputed && hasManyFrontends(plans)) {
      this.#undisputed.set(service, claimed);
    } else this.#undisputed.delete(service);
  }

  /** Plans services again, because another one takes a frontend from them or makes one free. */
  #dispute(services: readonly string[]): void {
    for (const service of services) this.#undisputed.delete(service);
    this.markDirty(services);
  }
}

/** Claiming fewer frontends takes no time that is worth remembering the Service. */
const MANY_FRONTENDS = 64;

function hasManyFrontends(plans: readonly ServicePortPlan[]): boolean {
  let count = 0;
  for (const { frontends } of plans) count += frontends.length;
  return count >= MANY_FRONTENDS;
}

/** `namespace/name` of the Service that the change belongs to. */
export function serviceOf(change: PlanChange): string {
  const plan = change.new ?? change.old;
  return plan === undefined ? "" : serviceName(plan);
}
