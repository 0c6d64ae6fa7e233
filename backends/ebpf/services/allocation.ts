import { type PlanKey, printedNameOf, type ServicePortPlan } from "../../../core/plan/plan.ts";
import { BackendError, type PlanChange } from "../../../core/backend/contract.ts";
import {
  type AllocatedPlan,
  type Allocation,
  asksForTables,
  type BalancingOptions,
  blockOf,
  type EndpointBlock,
  type PlacedPlan,
  sameBlock,
} from "./compile.ts";
import { Identity } from "./identity.ts";
import { containsBlock, type Matches } from "./matching.ts";
import type { ServiceSnapshot } from "./snapshot.ts";
import type { KernelMaps } from "../maps/kernel_maps.ts";
import { type ServiceEntry, SIZE, writeEndpoint } from "../maps/layout.ts";
import { SlotAllocator } from "./slot_allocator.ts";
import type { TableQuota } from "./quotas/table_quota.ts";

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
    tables: TableQuota,
    waitForPrograms: () => void,
  ) {
    this.#endpoints = endpoints;
    this.#options = options;
    this.#waitForPrograms = waitForPrograms;
    this.#identity = new Identity(identity);
    this.#slots = new SlotAllocator(endpoints.byteLength / SIZE.endpoint, waitForPrograms);
    this.#tables = tables;
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
   * Allocates slots to the new plans of changes. A plan with unchanged endpoints keeps its allocation. `commit` or
   * `rollback` follows.
   * @throws BackendError with all service ports that no free block is large enough for, and then nothing is allocated.
   */
  allocate(changes: readonly PlanChange[]): readonly AllocatedPlan[] {
    const requests = changes.flatMap(({ old, new: plan }) => plan === undefined ? [] : [{ old, plan }]);
    const allocated = this.#allocateInOrder(requests, ({ old, plan }) => {
      const current = this.get(plan.key);
      if (current !== undefined && old !== undefined && sameBlock(old, plan, this.#options)) {
        return { plan, block: blockOf(plan, this.#options, current.tables), allocation: current };
      }
      return this.#allocate(plan, current?.id, current?.tables === "granted");
    });
    if ("allocated" in allocated) return allocated.allocated;
    this.rollback(allocated.others);
    throw allocated.error;
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
      if (allocation.tables === "granted") this.#tables.remove(plan, allocation.slots.count);
      if (current === undefined) this.#owners.delete(allocation.id);
    }
  }

  /**
   * Replaces all allocations. A plan keeps its id. If its endpoints are in the slots that its service names, it keeps
   * these, too; every other plan gets new slots. The allocations are final, without `commit`; `retireNamed` follows when
   * the services name them.
   * @param tables counts the tables that are kept already.
   * @throws BackendError with all plans that no free block is large enough for. Another `takeOver` has to follow.
   */
  takeOver(
    { plans, kept }: Matches,
    snapshot: ServiceSnapshot,
    tables: TableQuota,
  ): readonly AllocatedPlan[] {
    this.#identity.skip(snapshot);
    // A program may read slots that no service names any more. In an empty map there was none.
    if (snapshot.count > 0) this.#waitForPrograms();
    const named = [...snapshot.slots()].filter((slots) => !kept.hasAll(slots));
    this.#slots = new SlotAllocator(this.#slots.capacity, this.#waitForPrograms, kept.slots, named);
    this.#tables = tables;
    this.#owners = new Map();
    for (const { plan, id } of plans) if (id !== undefined) this.#owners.set(id, plan.key);
    const before = this.#placed;
    this.#placed = new Map();
    this.withoutTables.clear();
    const allocated = this.#allocateInOrder(plans, ({ plan, id, service, allocated }) => {
      if (allocated === undefined) return this.#allocate(plan, id, hadTables(service, this.#options));
      return this.#isDecided(allocated, before.get(plan.key)) ? allocated : this.#withTables(allocated);
    });
    if ("error" in allocated) throw allocated.error;
    for (const port of allocated.allocated) this.#setPlaced(port);
    return allocated.allocated;
  }

  /** Retires the slots that services named before `takeOver`. */
  retireNamed(): void {
    this.#slots.retireNamed();
  }

  /** Reports whether the slots of a plan in force have its endpoints. */
  hasEndpoints({ plan, allocation }: PlacedPlan): boolean {
    return containsBlock(this.#endpoints, allocation.slots, blockOf(plan, this.#options, allocation.tables));
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
    if (allocation.tables === "granted") this.#tables.remove(plan, allocation.slots.count);
  }

  /**
   * Allocates small lists first, so that a large one takes no slots from them, and tables last, because they can do
   * without.
   */
  #allocateInOrder<Request extends { readonly plan: ServicePortPlan }>(
    requests: readonly Request[],
    allocate: (request: Request) => AllocatedPlan | undefined,
  ): { readonly allocated: readonly AllocatedPlan[] } | Exhaustion {
    const allocated: AllocatedPlan[] = [];
    const rejected: ServicePortPlan[] = [];
    for (const request of inOrder(requests, this.#options)) {
      const port = allocate(request);
      if (port === undefined) rejected.push(request.plan);
      else allocated.push(port);
    }
    if (rejected.length === 0) return { allocated };
    return { others: allocated, error: slotsExhausted(rejected, this.#slots) };
  }

  /**
   * @param hadTables the service port had tables, which it keeps when others come.
   * @returns undefined if no free block is large enough.
   */
  #allocate(plan: ServicePortPlan, id: number | undefined, hadTables: boolean): AllocatedPlan | undefined {
    const isAsked = asksForTables(plan, this.#options);
    const allocated = isAsked ? this.#allocateTables(plan, id, hadTables) : undefined;
    if (allocated !== undefined) return allocated;
    const tables = isAsked ? "denied" : "none";
    const block = blockOf(plan, this.#options, tables);
    const slots = this.#slots.take(block.endpoints.length);
    if (slots === undefined) return undefined;
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
    this.#tables.add(plan, count);
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
}

/** No free block is large enough for some plans. */
interface Exhaustion {
  readonly others: readonly AllocatedPlan[];
  readonly error: BackendError;
}

/** Use of map `endpoints`. */
export interface SlotUsage {
  readonly capacity: number;
  /** Slots of plain lists, and of tables. */
  readonly lists: number;
  readonly tables: number;
}

function hadTables(service: ServiceEntry | undefined, { maglevTableSize }: BalancingOptions): boolean {
  return service?.cluster.count === maglevTableSize || service?.local.count === maglevTableSize;
}

function inOrder<Request extends { readonly plan: ServicePortPlan }>(
  requests: readonly Request[],
  options: BalancingOptions,
): readonly Request[] {
  if (requests.length < 2) return requests;
  const sizeOf = ({ clusterEndpoints, localEndpoints }: ServicePortPlan) =>
    clusterEndpoints.length + localEndpoints.length;
  const [tables, lists] = [[] as Request[], [] as Request[]];
  for (const request of requests) (asksForTables(request.plan, options) ? tables : lists).push(request);
  return [...lists.sort((a, b) => sizeOf(a.plan) - sizeOf(b.plan)), ...tables];
}

/** Slots are counted before they are allocated. So this happens only when too many lists change at the same time. */
function slotsExhausted(
  rejected: readonly ServicePortPlan[],
  { free, capacity }: SlotAllocator,
): BackendError {
  const keys = rejected.map(({ key }) => key);
  const others = keys.length > 1 ? ` and ${keys.length - 1} other service ports` : "";
  return new BackendError(
    `ebpf: no consecutive slots for the new endpoints of service port ${
      printedNameOf(keys[0]!)
    }${others}, as long as ` +
      `their old ones are in use; ${free} of ${capacity} are free. They are tried again. Increase --ebpf-max-endpoints`,
    keys,
  );
}
