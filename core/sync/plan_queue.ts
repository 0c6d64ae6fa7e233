import type { PlanChange } from "../backend/contract.ts";
import { loopback } from "../net/address.ts";
import { FrontendClaims } from "../plan/frontend_claims.ts";
import { type HealthCheck, type HealthCheckChanges, healthCheckOf } from "../plan/health_check.ts";
import type { NodePortAddresses } from "../plan/node_settings.ts";
import type { Family } from "../net/protocol.ts";
import type { ModelObject, ObjectRef } from "../objects/objects.ts";
import type { NodeSettings, PlanKey, ServicePortPlan } from "../plan/plan.ts";
import { type PlanContext, planService } from "../plan/planner.ts";
import { samePlan } from "../plan/same_plan.ts";
import { serviceName, Store, type StoreChange } from "../objects/store.ts";
import type { Log } from "../observe/log.ts";
import { NoLocalEndpoints } from "./no_local_endpoints.ts";
import { WaitingChanges } from "./waiting_changes.ts";

/** What planning needs to know of this node; replaced as a whole when one of them changes. */
export interface NodeView {
  readonly context: PlanContext;
  readonly settings: readonly NodeSettings[];
  readonly nodePortAddresses: NodePortAddresses;
}

/** When the change that an EndpointSlice tells of was triggered, in milliseconds since the epoch. */
export interface TriggerTime {
  readonly family: Family;
  readonly time: number;
}

/** A plan the kernel refused: not tried again before `retryAt` (milliseconds of performance.now()) unless it changes. */
interface Refusal {
  readonly service: string;
  readonly plan: ServicePortPlan | undefined;
  readonly attempts: number;
  readonly retryAt: number;
}

const FIRST_REFUSAL_RETRY_MS = 1_000;
const LAST_REFUSAL_RETRY_MS = 300_000;

/**
 * From objects that changed to plan changes: knows which services are dirty, which frontends are whose, and which
 * plans are in force.
 */
export class Planning {
  readonly store: Store;
  readonly #claims = new FrontendClaims();
  readonly #log: Log;
  readonly #startedAt = Date.now();
  #view: NodeView = {
    context: { families: [], nodeName: "", zone: "", nodeAddresses: loopback, endsConnections: false },
    settings: [],
    nodePortAddresses: { IPv4: { isAll: false, addresses: [] }, IPv6: { isAll: false, addresses: [] } },
  };
  #applied: Map<PlanKey, ServicePortPlan> = new Map();
  /** Keys of a service that are in force or hold frontends. */
  readonly #keysOf = new Map<string, readonly PlanKey[]>();
  readonly #dirty = new Set<string>();
  readonly #refusals = new Map<PlanKey, Refusal>();
  #triggerTimes: TriggerTime[] = [];
  readonly #waiting = new WaitingChanges();
  readonly #noLocalEndpoints = new NoLocalEndpoints();
  /** Names of the services with a health check. */
  readonly #healthChecked = new Set<string>();
  #healthChecks = new Map<string, HealthCheck | undefined>();

  constructor(nodeName: string, log: Log) {
    this.store = new Store(nodeName);
    this.#log = log;
  }

  get applied(): ReadonlyMap<PlanKey, ServicePortPlan> {
    return this.#applied;
  }

  /** Names of services that wait to be planned. */
  get pending(): number {
    return this.#dirty.size;
  }

  /** Changes of objects that are not in force yet. */
  get waiting(): { readonly services: number; readonly endpoints: number } {
    return this.#waiting;
  }

  /** Service ports in force with policy Local and endpoints, but none on this node. */
  noLocalEndpoints(family: Family): { readonly internal: number; readonly external: number } {
    return this.#noLocalEndpoints.of(family);
  }

  upsert(object: ModelObject): StoreChange {
    const change = this.store.upsert(object);
    if (
      object.kind === "EndpointSlice" && object.triggerTime > this.#startedAt && change.services.length > 0
    ) {
      this.#triggerTimes.push({ family: object.family, time: object.triggerTime });
    }
    this.#waiting.add(object.kind, change);
    this.#markDirty(change.services);
    return change;
  }

  delete(ref: ObjectRef): StoreChange {
    const change = this.store.delete(ref);
    this.#waiting.add(ref.kind, change);
    this.#markDirty(change.services);
    return change;
  }

  /** Another zone, other addresses or other families: every service may be planned differently. */
  setView(view: NodeView): void {
    this.#view = view;
    this.#markDirty(this.store.serviceNames());
  }

  /** Other settings change no plan: the backend has to reconcile with them. */
  setSettings(settings: readonly NodeSettings[]): void {
    this.#view = { ...this.#view, settings };
  }

  /** Other addresses to listen on change no plan and no setting. */
  setNodePortAddresses(nodePortAddresses: NodePortAddresses): void {
    this.#view = { ...this.#view, nodePortAddresses };
  }

  get view(): NodeView {
    return this.#view;
  }

  /** When a refused plan is to be tried again, in milliseconds of performance.now(); Infinity for never. */
  nextRetry(): number {
    let next = Infinity;
    for (const refusal of this.#refusals.values()) next = Math.min(next, refusal.retryAt);
    return next;
  }

  /** Plans what is dirty: the changes against what is in force. They count as taken, see `accept` and `putBack`. */
  takeChanges(): readonly PlanChange[] {
    this.#waiting.take();
    const now = performance.now();
    for (const refusal of this.#refusals.values()) {
      if (refusal.retryAt <= now) this.#dirty.add(refusal.service);
    }
    const changes: PlanChange[] = [];
    for (const [key, plan] of this.#plan()) {
      const old = this.#applied.get(key);
      if (sameOrBothNone(old, plan)) {
        this.#refusals.delete(key);
        continue;
      }
      const refusal = this.#refusals.get(key);
      if (refusal !== undefined && refusal.retryAt > now && sameOrBothNone(refusal.plan, plan)) continue;
      changes.push({ key, old, new: plan });
    }
    // A frontend that moves from a service that goes to one that comes is freed first.
    return changes.sort((a, b) => Number(a.new !== undefined) - Number(b.new !== undefined));
  }

  /** Trigger times of the endpoint changes that the changes taken last make real. */
  takeTriggerTimes(): readonly TriggerTime[] {
    const times = this.#triggerTimes;
    this.#triggerTimes = [];
    return times;
  }

  /**
   * All that was taken is in force, but what the kernel refuses for its own sake; so are the health checks that this
   * returns.
   */
  complete(): HealthCheckChanges {
    this.#waiting.done();
    const changed = this.#healthChecks;
    if (changed.size > 0) this.#healthChecks = new Map();
    return changed;
  }

  /** These changes are in force. */
  accept(changes: readonly PlanChange[]): void {
    for (const { key, new: plan } of changes) {
      this.#noLocalEndpoints.exchange(this.#applied.get(key), plan);
      this.#refusals.delete(key);
      if (plan === undefined) this.#applied.delete(key);
      else this.#applied.set(key, plan);
    }
  }

  /** Exactly these plans are in force. */
  replaceApplied(plans: Map<PlanKey, ServicePortPlan>): void {
    this.#applied = plans;
    this.#noLocalEndpoints.recount(plans.values());
    for (const [key, { plan }] of this.#refusals) {
      if (this.#applied.get(key) === plan) this.#refusals.delete(key);
    }
  }

  /** These changes were not made: they stay dirty. */
  putBack(changes: readonly PlanChange[]): void {
    for (const change of changes) {
      this.#dirty.add(serviceOf(change));
      this.#remember(change);
    }
  }

  /** The kernel refused this plan: it waits until it changes or a growing delay has passed. */
  refuse(change: PlanChange): void {
    this.#remember(change);
    const attempts = (this.#refusals.get(change.key)?.attempts ?? 0) + 1;
    this.#refusals.set(change.key, {
      service: serviceOf(change),
      plan: change.new,
      attempts,
      retryAt: performance.now() +
        Math.min(FIRST_REFUSAL_RETRY_MS * 2 ** (attempts - 1), LAST_REFUSAL_RETRY_MS),
    });
  }

  /** A key that was to go and did not is to be planned for with its service again. */
  #remember(change: PlanChange): void {
    const service = serviceOf(change);
    const keys = this.#keysOf.get(service) ?? [];
    if (!keys.includes(change.key)) this.#keysOf.set(service, [...keys, change.key]);
  }

  #markDirty(services: Iterable<string>): void {
    for (const service of services) this.#dirty.add(service);
  }

  /** The wanted plan of every key of every dirty service; undefined for a key that goes. */
  #plan(): Map<PlanKey, ServicePortPlan | undefined> {
    const wanted = new Map<PlanKey, ServicePortPlan | undefined>();
    while (this.#dirty.size > 0) {
      const services = this.store.inOrderOfAge(this.#dirty);
      this.#dirty.clear();
      const planned = services.map((service) => ({ service, plans: this.#planService(service) }));
      // What goes gives its frontends back before anything new asks for them.
      for (const { service, plans } of planned) {
        const keys = plans.map((plan) => plan.key);
        for (const key of this.#keysOf.get(service) ?? []) {
          if (keys.includes(key)) continue;
          wanted.set(key, undefined);
          this.#markDirty(this.#claims.release(key));
        }
        if (keys.length > 0) this.#keysOf.set(service, keys);
        else this.#keysOf.delete(service);
      }
      for (const { plans } of planned) {
        for (const plan of plans) {
          const grant = this.#claims.grant(plan);
          wanted.set(plan.key, grant.plan);
          this.#markDirty(grant.freed);
          for (const conflict of grant.conflicts) this.#log.warn("A frontend is already taken", { conflict });
        }
      }
    }
    return wanted;
  }

  #planService(name: string): readonly ServicePortPlan[] {
    const joined = this.store.get(name);
    const check = joined && healthCheckOf(joined.service, joined.slices, this.#view.context);
    if (check !== undefined) this.#healthChecked.add(name);
    // Most services have none, and had none.
    if (check !== undefined || this.#healthChecked.delete(name)) this.#healthChecks.set(name, check);
    return joined === undefined ? [] : planService(joined.service, joined.slices, this.#view.context);
  }
}

function serviceOf(change: PlanChange): string {
  const plan = change.new ?? change.old;
  return plan === undefined ? "" : serviceName(plan);
}

function sameOrBothNone(a: ServicePortPlan | undefined, b: ServicePortPlan | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && samePlan(a, b));
}
