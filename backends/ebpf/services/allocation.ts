import type { PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import { BackendError } from "../../../core/backend/contract.ts";
import {
  type Allocation,
  asksForTables,
  type BalancingOptions,
  blockOf,
  type EndpointBlock,
  sameBlock,
} from "./compile.ts";
import { Identity, type KnownOwners } from "./identity.ts";
import { KeptAllocations } from "./kept_allocations.ts";
import { type ServiceSnapshot, slotsOf } from "./snapshot.ts";
import { sameWords } from "../maps/entries.ts";
import type { KernelMaps } from "../maps/kernel_maps.ts";
import { type ServiceEntry, SIZE, type SlotRange, writeEndpoint } from "../maps/layout.ts";
import { SlotAllocator } from "./slot_allocator.ts";
import { TableQuota } from "./table_quota.ts";

/** A plan with its allocation. */
export interface PlacedPlan {
  readonly plan: ServicePortPlan;
  readonly allocation: Allocation;
}

/** A plan with its endpoints and their allocation. */
export interface AllocatedPlan extends PlacedPlan {
  readonly block: EndpointBlock;
}

/**
 * Allocates ids and slots to service ports, and writes endpoints into slots that no service names yet. This
 * is the only state that does not follow from the plans. It can be read back from the maps.
 */
export class Allocations {
  readonly #endpoints: DataView<ArrayBuffer>;
  readonly #options: BalancingOptions;
  readonly #waitForPrograms: () => void;
  readonly #identity: Identity;
  #placed = new Map<PlanKey, PlacedPlan>();
  /** The owner of each id. */
  #owners = new Map<number, PlanKey>();
  /** Service ports that ask for tables, but have plain lists. */
  readonly withoutTables = new Set<PlanKey>();
  #slots: SlotAllocator;
  #tables: TableQuota;

  constructor(
    { endpoints, identity }: Pick<KernelMaps, "endpoints" | "identity">,
    options: BalancingOptions,
    waitForPrograms: () => void,
  ) {
    this.#endpoints = endpoints;
    this.#options = options;
    this.#waitForPrograms = waitForPrograms;
    this.#identity = new Identity(identity);
    const capacity = endpoints.byteLength / SIZE.endpoint;
    this.#slots = new SlotAllocator(capacity, waitForPrograms);
    this.#tables = new TableQuota(capacity);
  }

  get(key: PlanKey): Allocation | undefined {
    return this.#placed.get(key)?.allocation;
  }

  /** The plans in force. The iterator may be kept while they change. */
  placed(): IterableIterator<PlacedPlan> {
    return this.#placed.values();
  }

  /** The plan in force that has an id. */
  planOf(id: number): ServicePortPlan | undefined {
    const key = this.#owners.get(id);
    return key === undefined ? undefined : this.#placed.get(key)?.plan;
  }

  /** The owner of each id. */
  get owners(): ReadonlyMap<number, PlanKey> {
    return this.#owners;
  }

  /** The last generation that was assigned. */
  get generation(): number {
    return this.#identity.lastGeneration;
  }

  /** Slots by use. */
  get usage(): SlotUsage {
    const { capacity, used } = this.#slots;
    return { capacity, tables: this.#tables.used, lists: used - this.#tables.used };
  }

  /**
   * Allocates slots to a plan. A plan with unchanged endpoints keeps its allocation. `commit` or `rollback`
   * follows.
   * @throws BackendError if no free block is large enough.
   */
  allocate(plan: ServicePortPlan, old: ServicePortPlan | undefined): AllocatedPlan {
    const current = this.get(plan.key);
    if (current !== undefined && old !== undefined && sameBlock(old, plan, this.#options)) {
      return { plan, block: blockOf(plan, this.#options, current.tables), allocation: current };
    }
    return this.#allocate(plan, current?.id, current?.tables === "granted");
  }

  /** Retires the old slots, because services name the new ones from now on. */
  commit(allocated: Iterable<AllocatedPlan>, removed: Iterable<PlanKey>): void {
    for (const key of removed) {
      const current = this.#placed.get(key);
      if (current !== undefined) this.#retire(current);
      if (current !== undefined) this.#owners.delete(current.allocation.id);
      this.#placed.delete(key);
      this.withoutTables.delete(key);
    }
    for (const next of allocated) {
      const current = this.#placed.get(next.plan.key);
      if (current !== undefined && current.allocation !== next.allocation) this.#retire(current);
      this.#setPlaced(next);
    }
  }

  /** Gives back the ids and slots of allocations that are not used after all. */
  rollback(allocated: Iterable<AllocatedPlan>): void {
    for (const { plan, allocation } of allocated) {
      const current = this.get(plan.key);
      if (current === allocation) continue;
      this.#slots.giveBack(allocation.slots);
      if (allocation.tables === "granted") this.#tables.count(plan, -allocation.slots.count);
      if (current === undefined) this.#owners.delete(allocation.id);
    }
  }

  /**
   * Replaces all allocations. A plan keeps its id. If its endpoints are in the slots that its service names, it keeps
   * these, too; every other plan gets new slots. The allocations are final, without `commit`; `retireNamed` follows when
   * the services name them.
   * @param entryOf returns the kernel's entry of a plan's first frontend.
   * @throws BackendError if no free block is large enough.
   */
  takeOver(
    plans: Iterable<ServicePortPlan>,
    snapshot: ServiceSnapshot,
    { idOf }: KnownOwners,
    entryOf: (plan: ServicePortPlan) => ServiceEntry | undefined,
  ): readonly AllocatedPlan[] {
    this.#identity.skip(snapshot);
    // A program may read slots that no service names any more. In an empty map there was none.
    if (snapshot.count > 0) this.#waitForPrograms();
    const kept = new KeptAllocations(this.#slots.capacity);
    const matched = [...plans].map((plan) => {
      const known = idOf(plan.key);
      const id = known !== undefined && kept.keepId(known) ? known : undefined;
      const service = entryOf(plan);
      const isKnown = id !== undefined && service?.id === id;
      return { plan, id, service, allocated: isKnown ? this.#match(plan, service, kept) : undefined };
    });

    const named = [...snapshot.slots()].filter((slots) => !kept.hasAll(slots));
    this.#slots = new SlotAllocator(this.#slots.capacity, this.#waitForPrograms, kept.slots, named);
    this.#tables = new TableQuota(this.#slots.capacity);
    this.#owners = new Map();
    for (const { plan, id, allocated } of matched) {
      if (id !== undefined) this.#owners.set(id, plan.key);
      if (allocated?.allocation.tables === "granted") {
        this.#tables.count(plan, allocated.allocation.slots.count);
      }
    }
    const before = this.#placed;
    this.#placed = new Map();
    this.withoutTables.clear();
    const all = matched.map(({ plan, id, service, allocated }) => {
      if (allocated === undefined) return this.#allocate(plan, id, hadTables(service, this.#options));
      return this.#isDecided(allocated, before.get(plan.key)) ? allocated : this.#withTables(allocated);
    });
    for (const allocated of all) this.#setPlaced(allocated);
    return all;
  }

  /** Retires the slots that services named before `takeOver`. */
  retireNamed(): void {
    this.#slots.retireNamed();
  }

  /** Reports whether the slots of a plan in force have its endpoints. */
  hasEndpoints({ plan, allocation }: PlacedPlan): boolean {
    return this.#contain(allocation.slots, blockOf(plan, this.#options, allocation.tables));
  }

  /** The allocation that a plan has in the kernel, with tables or without. */
  #match(plan: ServicePortPlan, service: ServiceEntry, kept: KeptAllocations): AllocatedPlan | undefined {
    const possible = asksForTables(plan, this.#options) ? ["granted", "denied"] as const : ["none"] as const;
    for (const tables of possible) {
      const block = blockOf(plan, this.#options, tables);
      const slots = slotsOf(service);
      if (!this.#holds(service, block) || !kept.keepSlots(slots)) continue;
      return {
        plan,
        block,
        allocation: { id: service.id, slots, generation: service.generation, tables },
      };
    }
    return undefined;
  }

  /** Reports whether this process has decided already that there is no room for tables. */
  #isDecided({ plan, allocation }: PlacedPlan, before: PlacedPlan | undefined): boolean {
    return allocation.tables !== "denied" ||
      before !== undefined && sameBlock(before.plan, plan, this.#options);
  }

  /** Gives tables to a plan that asks for them and had none, if there is room for them now. */
  #withTables(allocated: AllocatedPlan): AllocatedPlan {
    const { plan, allocation } = allocated;
    const better = this.#allocateTables(plan, allocation.id, false);
    if (better !== undefined) this.#slots.keepNamed(allocation.slots);
    return better ?? allocated;
  }

  #setPlaced({ plan, allocation }: AllocatedPlan): void {
    this.#placed.set(plan.key, { plan, allocation });
    if (allocation.tables === "denied") this.withoutTables.add(plan.key);
    else this.withoutTables.delete(plan.key);
  }

  #retire({ plan, allocation }: PlacedPlan): void {
    this.#slots.retire(allocation.slots);
    if (allocation.tables === "granted") this.#tables.count(plan, -allocation.slots.count);
  }

  /** @param hadTables the service port had tables, which it keeps when others come. */
  #allocate(plan: ServicePortPlan, id: number | undefined, hadTables: boolean): AllocatedPlan {
    const isAsked = asksForTables(plan, this.#options);
    const allocated = isAsked ? this.#allocateTables(plan, id, hadTables) : undefined;
    if (allocated !== undefined) return allocated;
    const tables = isAsked ? "denied" : "none";
    const block = blockOf(plan, this.#options, tables);
    const slots = this.#slots.take(block.endpoints.length);
    if (slots === undefined) throw slotsExhausted(plan, block, this.#slots);
    return this.#place(plan, block, { id, slots, tables });
  }

  #allocateTables(
    plan: ServicePortPlan,
    id: number | undefined,
    hadTables: boolean,
  ): AllocatedPlan | undefined {
    const block = blockOf(plan, this.#options, "granted");
    const count = block.endpoints.length;
    if (!hadTables && !this.#tables.admits(plan, count)) return undefined;
    const slots = this.#slots.take(count);
    if (slots === undefined) return undefined;
    this.#tables.count(plan, count);
    return this.#place(plan, block, { id, slots, tables: "granted" });
  }

  #place(
    plan: ServicePortPlan,
    block: EndpointBlock,
    { id: known, slots, tables }: Pick<Allocation, "slots" | "tables"> & {
      readonly id: number | undefined;
    },
  ): AllocatedPlan {
    this.#write(block, slots.first);
    const id = known ?? this.#identity.nextId((id) => this.#owners.has(id));
    this.#owners.set(id, plan.key);
    return { plan, block, allocation: { id, slots, generation: this.#identity.nextGeneration(), tables } };
  }

  #write({ endpoints }: EndpointBlock, first: number): void {
    let offset = first * SIZE.endpoint;
    for (const { address, port, isLocal } of endpoints) {
      writeEndpoint(this.#endpoints, offset, address, port, isLocal);
      offset += SIZE.endpoint;
    }
  }

  /** Reports whether a service names exactly this block, and its slots contain it. */
  #holds(service: ServiceEntry, block: EndpointBlock): boolean {
    const slots = slotsOf(service);
    const isAt = (list: SlotRange, expected: SlotRange) =>
      list.count === expected.count && (list.count === 0 || list.first === slots.first + expected.first);
    return slots.count === block.endpoints.length && isAt(service.cluster, block.cluster) &&
      isAt(service.local, block.local) && isAt(service.serving, block.serving) && this.#contain(slots, block);
  }

  /** Reports whether slots contain a block. */
  #contain({ first, count }: SlotRange, { endpoints }: EndpointBlock): boolean {
    if ((first + count) * SIZE.endpoint > this.#endpoints.byteLength) return false;
    return endpoints.every(({ address, port, isLocal }, index) => {
      writeEndpoint(scratch, 0, address, port, isLocal);
      return sameWords(scratch, 0, this.#endpoints, (first + index) * SIZE.endpoint, SIZE.endpoint);
    });
  }
}

/** Use of map `endpoints`. */
export interface SlotUsage {
  readonly capacity: number;
  /** Slots of plain lists, and of tables. */
  readonly lists: number;
  readonly tables: number;
}

const scratch = new DataView(new ArrayBuffer(SIZE.endpoint));

function hadTables(service: ServiceEntry | undefined, { maglevTableSize }: BalancingOptions): boolean {
  return service?.cluster.count === maglevTableSize || service?.local.count === maglevTableSize;
}

function slotsExhausted(
  plan: ServicePortPlan,
  { endpoints }: EndpointBlock,
  slots: SlotAllocator,
): BackendError {
  return new BackendError(
    `ebpf: service ${plan.namespace}/${plan.name} needs ${endpoints.length} endpoint slots, but only ` +
      `${slots.free} of ${slots.capacity} are free: increase --ebpf-max-endpoints`,
    [plan.key],
  );
}
