import { type Address, formatAddress, formatCidr } from "../../../core/net/address.ts";
import {
  describeFrontend,
  type Frontend,
  type PlanKey,
  printedNameOf,
  type ServicePortPlan,
} from "../../../core/plan/plan.ts";
import type { Limitation } from "../../../core/plan/limitation.ts";
import { BackendError, type BackendMetric, type PlanChange } from "../../../core/backend/contract.ts";
import type { ChangeList } from "../../change_list.ts";
import { difference, type SetDifference } from "../../difference.ts";
import { TruncatedList } from "../../truncated_list.ts";
import { UseChanges } from "../../use_counts.ts";
import { Allocations } from "./allocation.ts";
import { type AllocatedPlan, type BalancingOptions, serviceEntry } from "./compile.ts";
import { forgetCounters, keepCounters } from "../maps/counters.ts";
import { Entries, hasEntries, replaceEntries } from "../maps/entries.ts";
import type { KernelMaps } from "../maps/kernel_maps.ts";
import { describeKey } from "./describe_key.ts";
import {
  addCatchAll,
  addFrontend,
  clusterIPsOf,
  frontendsOf,
  hasSameFrontends,
  keyName,
  type PlanFrontend,
  writeValue,
} from "./frontend_entries.ts";
import { Owners } from "./identity.ts";
import { demandsInForce, type KernelState } from "./in_force.ts";
import { NO_ROOM_FOR_TABLE } from "./limitations.ts";
import { type Matches, matchPlans } from "./matching.ts";
import { Admission, type AdmissionRequest, demandOf } from "./quotas/admission.ts";
import { ServiceSnapshot } from "./snapshot.ts";
import { usageMetrics } from "./quotas/usage_metrics.ts";
import { UsageWarnings } from "./quotas/usage_warnings.ts";
import { verify } from "./verification.ts";
import { SIZE, viewOf, writeCatchAll, writeRange } from "../maps/layout.ts";

/**
 * Programs service ports into the maps. The order of a change keeps every frontend complete at any time:
 * endpoints go into slots that no service names, then each service entry is replaced atomically, then stale
 * entries are deleted.
 */
export class Services {
  readonly #maps: KernelMaps;
  readonly #options: BalancingOptions;
  readonly #allocations: Allocations;
  readonly #owners: Owners;
  #admission: Admission;
  readonly #warnings = new UsageWarnings();

  /** @param waitForPrograms returns when every run of a program that had begun is over. */
  constructor(maps: KernelMaps, options: BalancingOptions, waitForPrograms: () => void) {
    this.#maps = maps;
    this.#options = options;
    this.#admission = new Admission(maps);
    this.#allocations = new Allocations(maps, options, this.#admission.tables, waitForPrograms);
    this.#owners = new Owners(maps.owners);
  }

  /** The owner of each id. */
  get owners(): ReadonlyMap<number, PlanKey> {
    return this.#allocations.owners;
  }

  /** The use of the maps. */
  metrics(): readonly BackendMetric[] {
    return usageMetrics(this.#admission, this.#allocations.usage, this.#allocations.withoutTables.size);
  }

  /** The last generation of all service ports. */
  get generation(): number {
    return this.#allocations.generation;
  }

  /**
   * Programs plan changes.
   * @throws BackendError and then nothing has changed.
   * @throws KernelError and then part of the changes may be in force.
   */
  apply(changes: readonly PlanChange[]): void {
    // Comparing keys takes most of the time, and few changes concern them.
    const moved = changes.filter((change) => !hasSameFrontends(change));
    const before = moved.flatMap((change) => frontendsOf(change.old));
    const after = moved.flatMap((change) => frontendsOf(change.new));
    const frontends = difference(after, before, keyName);
    const clusterIPUses = new UseChanges<Address>();
    for (const address of clusterIPsOf(before)) clusterIPUses.use(address, address, -1);
    for (const address of clusterIPsOf(after)) clusterIPUses.use(address, address, 1);
    const clusterIPs = clusterIPUses.difference((address) => this.#admission.usesOf(address));

    const takeBack = this.#admission.admit(requestsOf(changes));
    try {
      this.#program(changes, { frontends, clusterIPs });
    } catch (error) {
      takeBack();
      throw error;
    }
  }

  #program(changes: readonly PlanChange[], { frontends, clusterIPs }: FrontendChanges): void {
    const allocated = this.#allocations.allocate(changes);
    const entries = new Entries(SIZE.frontend, SIZE.service);
    for (const port of allocated) {
      for (const frontend of port.plan.frontends) this.#add(entries, port, frontend);
    }
    for (const address of clusterIPs.added) addCatchAll(entries, address);
    const stale = new Entries(SIZE.frontend, 0);
    for (const frontend of frontends.removed) addFrontend(stale, frontend);
    for (const address of clusterIPs.removed) {
      const index = stale.add();
      writeCatchAll(stale.keys, index * SIZE.frontend, address);
    }

    this.#owners.add(this.#newIds(allocated));
    // Source ranges first, because a service that refers to them must find them.
    for (const { plan, allocation } of allocated) this.#addRanges(plan, allocation.id);
    const { services } = this.#maps;
    const mustDeleteFirst = this.#admission.quotas.frontends.used + stale.count > services.shape.maxEntries;
    if (mustDeleteFirst) services.deleteAll(stale.keyBytes, stale.count);
    services.updateAll(entries.keyBytes, entries.valueBytes, entries.count);
    if (!mustDeleteFirst) services.deleteAll(stale.keyBytes, stale.count);
    this.#forget(changes);
    const removed = changes.filter((change) => change.new === undefined).map(({ key }) => key);
    this.#allocations.commit(allocated, removed);
  }

  /**
   * Makes the maps contain exactly these plans, whatever they contain now.
   * @returns descriptions of missing, different and extra entries, and whether the map was empty.
   * @throws BackendError with the service ports that do not fit, and then nothing has changed.
   */
  reconcile(
    plans: Iterable<ServicePortPlan>,
  ): { readonly differences: readonly string[]; readonly wasEmpty: boolean } {
    const all = [...plans];
    const state = this.#read();
    const { snapshot, owners } = state;
    const matches = this.#match(all, state);
    const admission = this.#admit(matches, state);
    const differences = new TruncatedList();
    const { allocated, changed, extra } = this.#compare(matches, snapshot, admission, {
      add: (describe) => differences.add(() => `${describe()} was missing`),
      change: (describe) => differences.add(() => `${describe()} was different`),
      remove: () => differences.add(() => "an extra frontend was present"),
    });
    this.#admission = admission;
    if (snapshot.count + changed.count > this.#maps.services.shape.maxEntries) {
      // The map cannot hold both, so delete extra entries first.
      this.#maps.services.deleteAll(extra.keyBytes, extra.count);
    }
    this.#owners.replace(this.owners, owners);
    replaceEntries(this.#maps.source_ranges, rangeEntries(allocated));
    keepCounters(this.#maps.counters, new Set(allocated.map(({ allocation }) => allocation.id)));
    this.#maps.services.updateAll(changed.keyBytes, changed.valueBytes, changed.count);
    this.#maps.services.deleteAll(extra.keyBytes, extra.count);
    this.#allocations.retireNamed();
    return { differences: differences.texts, wasEmpty: snapshot.count === 0 };
  }

  /**
   * Describes what `reconcile` would change with the plans that fit. Writes to no map but `endpoints` and `identity`,
   * which have to be copies.
   * @throws BackendError
   */
  describeChanges(plans: Iterable<ServicePortPlan>, changes: ChangeReceiver): void {
    const state = this.#read();
    const all = [...plans];
    const rejected = new Set(rejectedBy(() => this.#admit(this.#match(all, state), state)));
    const matches = this.#match(all.filter(({ key }) => !rejected.has(key)), state);
    const { allocated } = this.#compare(matches, state.snapshot, this.#admit(matches, state), changes);
    if (!hasEntries(this.#maps.source_ranges, rangeEntries(allocated))) {
      changes.change(() => "source ranges of services");
    }
  }

  /**
   * Warns of maps that are almost full, and of service ports without the tables that they ask for.
   * @param news only what was not so last time.
   */
  warnings(news: "news" | "all"): readonly string[] {
    return this.#warnings.describe(news, this.#admission, this.#allocations.withoutTables);
  }

  /** Says that a service port in force is balanced at random, if there is no room for the table that it asks for. */
  limitationsOf(key: PlanKey): readonly Limitation[] {
    return this.#allocations.withoutTables.has(key) ? [NO_ROOM_FOR_TABLE] : [];
  }

  /** Compares the maps with what is in force, a little per step: see `verify`. */
  verification(): Generator<string | undefined> {
    return verify({
      maps: this.#maps,
      options: this.#options,
      allocations: this.#allocations,
      isClusterIP: (address) => this.#admission.usesOf(address) > 0,
    });
  }

  #read(): KernelState {
    return { snapshot: new ServiceSnapshot(this.#maps.services), owners: this.#owners.read() };
  }

  #match(plans: readonly ServicePortPlan[], state: KernelState): Matches {
    return matchPlans(plans, state, this.#maps.endpoints, this.#options);
  }

  /** @throws BackendError with the plans that do not fit. */
  #admit({ plans }: Matches, state: KernelState): Admission {
    const admission = new Admission(this.#maps);
    for (const { plan, allocated } of plans) {
      if (allocated?.allocation.tables === "granted") {
        admission.tables.add(plan, allocated.allocation.slots.count);
      }
    }
    admission.admitAll(plans.map(({ plan }) => plan), () => demandsInForce(state, this.#maps));
    return admission;
  }

  /** Allocates ids and slots to all plans, and compares the map with their entries. */
  #compare(matches: Matches, snapshot: ServiceSnapshot, { tables }: Admission, changes: ChangeReceiver) {
    const allocated = this.#allocations.takeOver(matches, snapshot, tables);
    const changed = new Entries(SIZE.frontend, SIZE.service, 1024);
    const keepIfChanged = (describe: () => string) => {
      const last = changed.count - 1;
      const result = snapshot.compare(
        changed.keys,
        last * SIZE.frontend,
        changed.values,
        last * SIZE.service,
      );
      if (result === "equal") changed.drop();
      else if (result === "missing") changes.add(describe);
      else changes.change(describe);
    };
    const clusterIPs = new Set<Address>();
    for (const port of allocated) {
      for (const frontend of port.plan.frontends) {
        this.#add(changed, port, frontend);
        keepIfChanged(() =>
          `${describeFrontend(frontend, port.plan.protocol)} of ${printedNameOf(port.plan.key)}`
        );
        if (frontend.kind !== "ClusterIP" || clusterIPs.has(frontend.address)) continue;
        clusterIPs.add(frontend.address);
        addCatchAll(changed, frontend.address);
        keepIfChanged(() => `the entry for unused ports of ${formatAddress(frontend.address)}`);
      }
    }
    const extra = snapshot.extra();
    for (let index = 0; index < extra.count; index++) {
      changes.remove(() => describeKey(extra.keys, index * SIZE.frontend));
    }
    return { allocated, changed, extra };
  }

  *#newIds(allocated: readonly AllocatedPlan[]): Generator<readonly [number, PlanKey]> {
    for (const { plan, allocation } of allocated) {
      if (this.#allocations.get(plan.key) === undefined) yield [allocation.id, plan.key];
    }
  }

  #add(entries: Entries, { plan, block, allocation }: AllocatedPlan, frontend: Frontend): void {
    const index = addFrontend(entries, { frontend, plan });
    writeValue(entries, index, serviceEntry(plan, frontend, block, allocation, this.#options));
  }

  #addRanges(plan: ServicePortPlan, id: number): void {
    for (const cidr of plan.sourceRanges ?? []) {
      writeRange(viewOf(rangeKey), 0, id, cidr);
      this.#maps.source_ranges.update(rangeKey, PREFIX_VALUE);
    }
  }

  /** Deletes stale state by id: source ranges that a plan dropped, and counters of removed service ports. */
  #forget(changes: readonly PlanChange[]): void {
    for (const { key, old, new: next } of changes) {
      const allocation = this.#allocations.get(key);
      if (old === undefined || allocation === undefined) continue;
      for (const cidr of difference(next?.sourceRanges ?? [], old.sourceRanges ?? [], formatCidr).removed) {
        writeRange(viewOf(rangeKey), 0, allocation.id, cidr);
        this.#maps.source_ranges.delete(rangeKey);
      }
      if (next !== undefined) continue;
      forgetCounters(this.#maps.counters, allocation.id);
      this.#owners.delete([allocation.id]);
    }
  }
}

/** Entries of map `services` that a batch adds and removes. */
interface FrontendChanges {
  readonly frontends: SetDifference<PlanFrontend>;
  readonly clusterIPs: SetDifference<Address>;
}

/** Receives the differences between the map and the plans. */
export type ChangeReceiver = Pick<ChangeList, "add" | "change" | "remove">;

const rangeKey = new Uint8Array(SIZE.range);
/** The value of every entry in the prefix maps: 1. */
const PREFIX_VALUE = new Uint8Array([1, 0, 0, 0]);

function rangeEntries(allocated: readonly AllocatedPlan[]): Entries {
  const entries = new Entries(SIZE.range, PREFIX_VALUE.length);
  for (const { plan, allocation } of allocated) {
    for (const cidr of plan.sourceRanges ?? []) {
      const index = entries.add();
      writeRange(entries.keys, index * SIZE.range, allocation.id, cidr);
      entries.values.setUint32(index * PREFIX_VALUE.length, 1, true);
    }
  }
  return entries;
}

function requestsOf(changes: readonly PlanChange[]): readonly AdmissionRequest[] {
  return changes.flatMap((change) => {
    const { old, new: next } = change;
    const plan = next ?? old;
    if (plan === undefined) return [];
    const [before, after] = [demandOf(old), demandOf(next)];
    if (old === undefined || next === undefined || !hasSameFrontends(change)) {
      return [{ plan, before, after }];
    }
    const isSame = before.sourceRanges === after.sourceRanges && before.slots === after.slots;
    // Most changes concern only endpoints.
    const clusterIPs: readonly Address[] = [];
    return isSame ? [] : [{ plan, before: { ...before, clusterIPs }, after: { ...after, clusterIPs } }];
  });
}

function rejectedBy(action: () => unknown): readonly PlanKey[] {
  try {
    action();
    return [];
  } catch (error) {
    if (error instanceof BackendError) return error.rejectedKeys;
    throw error;
  }
}
