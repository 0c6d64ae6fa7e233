import type { Address } from "../../../core/net/address.ts";
import {
  describeFrontend,
  type Frontend,
  type PlanKey,
  printedNameOf,
  type ServicePortPlan,
} from "../../../core/plan/plan.ts";
import { BackendError, type PlanChange } from "../../../core/backend/contract.ts";
import { UseCounts } from "../../use_counts.ts";
import { type ListOptions, serviceEntry } from "./compile.ts";
import { forgetCounters, keepCounters } from "../maps/counters.ts";
import { Entries, nameOf } from "../maps/entries.ts";
import { FoundServices } from "./snapshot.ts";
import type { KernelMaps } from "../maps/kernel_maps.ts";
import {
  type ServiceEntry,
  SIZE,
  VERDICT,
  viewOf,
  writeFrontend,
  writeNodePort,
  writeRange,
  writeService,
  writeWholeAddress,
} from "../maps/layout.ts";
import { type Placed, Placement } from "./allocation.ts";

/**
 * Service ports in the maps. A change is made in an order that leaves every frontend whole at every moment: endpoints
 * go into slots that nothing names, then the services that name them replace the old ones, each atomically, and what
 * is left over goes last.
 */
export class Services {
  readonly #maps: KernelMaps;
  readonly #placement: Placement;
  /** How many service ports are at each ClusterIP. */
  #clusterIPs = new UseCounts();
  /** Entries of the services map. */
  #entries = 0;

  /** @param nowMs a clock that does not go back. */
  constructor(
    maps: KernelMaps,
    readonly options: ListOptions,
    nowMs: () => number = () => performance.now(),
  ) {
    this.#maps = maps;
    this.#placement = new Placement(maps.endpoints, options, nowMs);
  }

  /** Whose id is whose. */
  *ids(): Generator<readonly [number, PlanKey]> {
    for (const [key, { id }] of this.#placement.entries()) yield [id, key];
  }

  /** The last change of a service port's endpoints: none has a larger one. */
  get generation(): number {
    return this.#placement.generation;
  }

  /**
   * Makes plan changes real.
   * @throws BackendError, and then nothing has changed, unless it was the kernel that refused half of it.
   */
  apply(changes: readonly PlanChange[]): void {
    const clusterIPs = new Map<Address, number>();
    const stale = new Map<string, readonly [Frontend, ServicePortPlan]>();
    for (const { old } of changes) {
      if (old === undefined) continue;
      for (const frontend of old.frontends) stale.set(keyName(frontend, old), [frontend, old]);
      countClusterIPs(clusterIPs, old, -1);
    }
    const placed = this.#place(changes);
    const entries = new Entries(SIZE.frontend, SIZE.service);
    let added = 0;
    for (const port of placed) {
      for (const frontend of port.plan.frontends) {
        this.#add(entries, port, frontend);
        if (!stale.delete(entries.keyName(entries.count - 1))) added++;
      }
      countClusterIPs(clusterIPs, port.plan, 1);
    }
    const unused = new Entries(SIZE.frontend, 0);
    for (const [address, uses] of clusterIPs) {
      const before = this.#clusterIPs.of(address);
      if (before === 0 && uses > 0) {
        addWholeAddress(entries, address);
        added++;
      } else if (before > 0 && before + uses === 0) {
        writeWholeAddress(unused.keys, unused.add() * SIZE.frontend, address);
      }
    }
    if (this.#entries + added > this.#maps.services.shape.maxEntries) {
      this.#placement.takeBack(placed);
      throw tooMany(this.#maps, changes.map(({ key }) => key));
    }

    // Who may use a service is known before the service asks for it.
    for (const { plan, place } of placed) this.#allow(plan, place.id);
    this.#maps.services.updateAll(entries.keyBytes, entries.valueBytes, entries.count);
    for (const [frontend, plan] of stale.values()) writeKey(unused, frontend, plan);
    this.#maps.services.deleteAll(unused.keyBytes, unused.count);
    this.#entries += added - unused.count;
    for (const [address, uses] of clusterIPs) this.#clusterIPs.add(address, uses);
    this.#forget(changes);
    const gone = changes.filter((change) => change.new === undefined).map(({ key }) => key);
    this.#placement.settle(placed, gone);
  }

  /**
   * Makes the maps hold exactly these plans, whatever is in them.
   * @returns what was missing, different or too much, in words, and whether there was anything.
   * @throws BackendError
   */
  reconcile(
    plans: Iterable<ServicePortPlan>,
  ): { readonly differences: readonly string[]; readonly wasEmpty: boolean } {
    const differences = new Differences();
    const found = new FoundServices(this.#maps.services);
    const placed = this.#placement.takeOver(plans, found, (plan) => {
      const [first] = plan.frontends;
      if (first === undefined) return undefined;
      writeFrontendKey(scratchKey, 0, first, plan);
      return found.get(scratchKey, 0);
    });

    this.#clusterIPs = new UseCounts();
    const entries = new Entries(SIZE.frontend, SIZE.service, 1024);
    let wanted = 0;
    const want = (what: () => string) => {
      const last = entries.count - 1;
      const todo = found.want(entries.keys, last * SIZE.frontend, entries.values, last * SIZE.service);
      wanted++;
      if (todo === "nothing") entries.drop();
      else differences.add(() => `${what()} was ${todo === "add" ? "missing" : "different"}`);
    };
    for (const port of placed) {
      for (const frontend of port.plan.frontends) {
        this.#add(entries, port, frontend);
        want(() => inWords(frontend, port.plan));
        if (frontend.kind !== "ClusterIP" || this.#clusterIPs.add(frontend.address, 1) > 1) continue;
        addWholeAddress(entries, frontend.address);
        want(() => `the rest of ${inWords(frontend, port.plan)}`);
      }
    }
    const unwanted = found.unwanted();
    if (Math.max(wanted, found.count + entries.count) > this.#maps.services.shape.maxEntries) {
      // Room for both is worth more than a gap for what is not wanted any more.
      this.#maps.services.deleteAll(unwanted.keyBytes, unwanted.count);
    }
    if (wanted > this.#maps.services.shape.maxEntries) throw tooMany(this.#maps, []);
    this.#reconcileRanges(placed);
    keepCounters(this.#maps.counters, new Set(placed.map(({ place }) => place.id)));
    this.#maps.services.updateAll(entries.keyBytes, entries.valueBytes, entries.count);
    this.#maps.services.deleteAll(unwanted.keyBytes, unwanted.count);
    for (let index = 0; index < unwanted.count; index++) differences.add(() => "a service that nobody has");
    this.#entries = wanted;
    return { differences: differences.texts, wasEmpty: found.count === 0 };
  }

  #place(changes: readonly PlanChange[]): readonly Placed[] {
    const placed: Placed[] = [];
    try {
      for (const change of changes) {
        if (change.new !== undefined) placed.push(this.#placement.place(change.new, change.old));
      }
      return placed;
    } catch (error) {
      this.#placement.takeBack(placed);
      throw error;
    }
  }

  #add(entries: Entries, { plan, run, place }: Placed, frontend: Frontend): void {
    const index = writeKey(entries, frontend, plan);
    const { id, generation, slots } = place;
    const service = serviceEntry(plan, frontend, run, { id, generation, first: slots.first }, this.options);
    writeEntry(entries, index, service);
  }

  #allow(plan: ServicePortPlan, id: number): void {
    for (const cidr of plan.sourceRanges ?? []) {
      writeRange(rangeKey, 0, id, cidr);
      this.#maps.source_ranges.update(rangeBytes, allowed);
    }
  }

  /** What ids are known for that changed hands: source ranges that a plan has no more, counters of what is gone. */
  #forget(changes: readonly PlanChange[]): void {
    for (const { key, old, new: next } of changes) {
      const place = this.#placement.placeOf(key);
      if (old === undefined || place === undefined) continue;
      const kept = new Set(next?.sourceRanges?.map((cidr) => rangeName(place.id, cidr)));
      for (const cidr of old.sourceRanges ?? []) {
        if (kept.has(rangeName(place.id, cidr))) continue;
        writeRange(rangeKey, 0, place.id, cidr);
        this.#maps.source_ranges.delete(rangeBytes);
      }
      if (next === undefined) forgetCounters(this.#maps.counters, place.id);
    }
  }

  #reconcileRanges(placed: readonly Placed[]): void {
    const wanted = new Set<string>();
    for (const { plan, place } of placed) {
      this.#allow(plan, place.id);
      for (const cidr of plan.sourceRanges ?? []) wanted.add(rangeName(place.id, cidr));
    }
    const unwanted = new Entries(SIZE.range, 0);
    this.#maps.source_ranges.forEach((keys, offset) => {
      if (wanted.has(nameOf(keys, offset, SIZE.range))) return;
      const index = unwanted.add();
      for (let byte = 0; byte < SIZE.range; byte++) {
        unwanted.keys.setUint8(index * SIZE.range + byte, keys.getUint8(offset + byte));
      }
    });
    this.#maps.source_ranges.deleteAll(unwanted.keyBytes, unwanted.count);
  }
}

const rangeBytes = new Uint8Array(SIZE.range);
const rangeKey = viewOf(rangeBytes);
/** What entries of prefix maps hold. */
const allowed = new Uint8Array([1, 0, 0, 0]);

function rangeName(id: number, cidr: Parameters<typeof writeRange>[3]): string {
  writeRange(rangeKey, 0, id, cidr);
  return nameOf(rangeKey, 0, SIZE.range);
}

const scratchKey = new DataView(new ArrayBuffer(SIZE.frontend));

function keyName(frontend: Frontend, plan: ServicePortPlan): string {
  writeFrontendKey(scratchKey, 0, frontend, plan);
  return nameOf(scratchKey, 0, SIZE.frontend);
}

function writeKey(entries: Entries, frontend: Frontend, plan: ServicePortPlan): number {
  const index = entries.add();
  writeFrontendKey(entries.keys, index * SIZE.frontend, frontend, plan);
  return index;
}

function writeFrontendKey(to: DataView, offset: number, frontend: Frontend, plan: ServicePortPlan): void {
  if (frontend.kind === "NodePort") writeNodePort(to, offset, plan.family, frontend.port, plan.protocol);
  else writeFrontend(to, offset, frontend.address, frontend.port, plan.protocol);
}

/** What no service port of a ClusterIP takes is refused. */
const refused: ServiceEntry = {
  id: 0,
  verdict: VERDICT.REJECT,
  flags: 0,
  affinitySeconds: 0,
  cluster: { first: 0, count: 0 },
  local: { first: 0, count: 0 },
  serving: { first: 0, count: 0 },
  generation: 0,
};

function addWholeAddress(entries: Entries, address: Address): void {
  const index = entries.add();
  writeWholeAddress(entries.keys, index * SIZE.frontend, address);
  writeEntry(entries, index, refused);
}

/** What an entry whose key is written says. */
function writeEntry({ keys, values }: Entries, index: number, service: ServiceEntry): void {
  writeService(values, index * SIZE.service, service, keys, index * SIZE.frontend);
}

function countClusterIPs(counts: Map<Address, number>, plan: ServicePortPlan, uses: number): void {
  for (const frontend of plan.frontends) {
    if (frontend.kind !== "ClusterIP") continue;
    counts.set(frontend.address, (counts.get(frontend.address) ?? 0) + uses);
  }
}

function inWords(frontend: Frontend, plan: ServicePortPlan): string {
  return `${describeFrontend(frontend, plan.protocol)} of ${printedNameOf(plan.key)}`;
}

function tooMany(maps: KernelMaps, culprits: readonly PlanKey[]): BackendError {
  const { maxEntries } = maps.services.shape;
  return new BackendError(
    `ebpf: no room for more than ${maxEntries} frontends. Give --ebpf-max-frontends a larger number`,
    culprits,
  );
}

/** The first of many, for the log. */
class Differences {
  readonly #first: string[] = [];
  #count = 0;

  add(text: () => string): void {
    if (++this.#count <= MOST_IN_WORDS) this.#first.push(text());
  }

  get texts(): readonly string[] {
    const more = this.#count - this.#first.length;
    return more === 0 ? this.#first : [...this.#first, `${more} more`];
  }
}

const MOST_IN_WORDS = 20;
