import type { PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import { BackendError } from "../../../core/backend/contract.ts";
import { type Allocation, type BalancingOptions, blockOf, type EndpointBlock, sameBlock } from "./compile.ts";
import { type ServiceSnapshot, slotsOf } from "./snapshot.ts";
import { sameWords } from "../maps/entries.ts";
import { type ServiceEntry, SIZE, type SlotRange, writeEndpoint } from "../maps/layout.ts";
import { SlotAllocator } from "./slot_allocator.ts";

/** A plan with its endpoints and their allocation. */
export interface AllocatedPlan {
  readonly plan: ServicePortPlan;
  readonly block: EndpointBlock;
  readonly allocation: Allocation;
}

/**
 * Allocates ids and slots to service ports, and writes endpoints into slots that no service names yet. This
 * is the only state that does not follow from the plans. It can be read back from map `services`.
 */
export class Allocations {
  readonly #endpoints: DataView<ArrayBuffer>;
  readonly #options: BalancingOptions;
  readonly #nowMs: () => number;
  #allocations = new Map<PlanKey, Allocation>();
  #slots: SlotAllocator;
  #nextId = 1;
  #nextGeneration = 1;

  constructor(endpoints: DataView<ArrayBuffer>, options: BalancingOptions, nowMs: () => number) {
    this.#endpoints = endpoints;
    this.#options = options;
    this.#nowMs = nowMs;
    this.#slots = new SlotAllocator(endpoints.byteLength / SIZE.endpoint);
  }

  get(key: PlanKey): Allocation | undefined {
    return this.#allocations.get(key);
  }

  entries(): IterableIterator<[PlanKey, Allocation]> {
    return this.#allocations.entries();
  }

  /** The last generation that was assigned. */
  get generation(): number {
    return this.#nextGeneration - 1;
  }

  /**
   * Allocates slots to a plan. A plan with unchanged endpoints keeps its allocation. `commit` or `rollback`
   * follows.
   * @throws BackendError if no free block is large enough.
   */
  allocate(plan: ServicePortPlan, old: ServicePortPlan | undefined): AllocatedPlan {
    const current = this.#allocations.get(plan.key);
    const block = blockOf(plan, this.#options);
    if (current !== undefined && old !== undefined && sameBlock(old, plan, this.#options)) {
      return { plan, block, allocation: current };
    }
    return { plan, block, allocation: this.#allocate(plan, block, current?.id) };
  }

  /** Retires the old slots, because services name the new ones from now on. */
  commit(allocated: Iterable<AllocatedPlan>, removed: Iterable<PlanKey>): void {
    for (const key of removed) {
      const current = this.#allocations.get(key);
      if (current !== undefined) this.#slots.retire(current.slots, this.#nowMs());
      this.#allocations.delete(key);
    }
    for (const { plan, allocation } of allocated) {
      const current = this.#allocations.get(plan.key);
      if (current === allocation) continue;
      if (current !== undefined) this.#slots.retire(current.slots, this.#nowMs());
      this.#allocations.set(plan.key, allocation);
    }
  }

  /** Gives back the slots of allocations that are not used after all. */
  rollback(allocated: Iterable<AllocatedPlan>): void {
    for (const { plan, allocation } of allocated) {
      if (this.#allocations.get(plan.key) !== allocation) this.#slots.giveBack(allocation.slots);
    }
  }

  /**
   * Replaces all allocations. A plan whose endpoints are in the slots that its service names keeps these and
   * its id; every other plan gets new slots. The allocations are final, without `commit`.
   * @param entryOf returns the kernel's entry of a plan's first frontend.
   * @throws BackendError if no free block is large enough.
   */
  takeOver(
    plans: Iterable<ServicePortPlan>,
    snapshot: ServiceSnapshot,
    entryOf: (plan: ServicePortPlan) => ServiceEntry | undefined,
  ): readonly AllocatedPlan[] {
    this.#nextId = Math.max(this.#nextId, snapshot.maxId + 1);
    this.#nextGeneration = Math.max(this.#nextGeneration, snapshot.maxGeneration + 1);
    const kept = new KeptAllocations(this.#slots.capacity);
    const matched = [...plans].map((plan) => {
      const service = entryOf(plan);
      const block = blockOf(plan, this.#options);
      const id = service !== undefined && kept.keepId(service.id) ? service.id : undefined;
      const keepsSlots = id !== undefined && service !== undefined && this.#holds(service, block) &&
        kept.keepSlots(slotsOf(service));
      const allocation = keepsSlots
        ? { id, slots: slotsOf(service), generation: service.generation }
        : undefined;
      return { plan, block, id, allocation };
    });

    const retired = [...snapshot.slots()].filter((slots) => !kept.hasAll(slots));
    this.#slots = new SlotAllocator(this.#slots.capacity, kept.slots, retired, this.#nowMs());
    this.#allocations = new Map();
    const allocated = matched.map(({ plan, block, id, allocation }) => ({
      plan,
      block,
      allocation: allocation ?? this.#allocate(plan, block, id),
    }));
    for (const { plan, allocation } of allocated) this.#allocations.set(plan.key, allocation);
    return allocated;
  }

  #allocate(plan: ServicePortPlan, block: EndpointBlock, id: number | undefined): Allocation {
    const slots = this.#slots.take(block.endpoints.length, this.#nowMs());
    if (slots === undefined) throw slotsExhausted(plan, block, this.#slots);
    this.#write(block, slots.first);
    return { id: id ?? this.#nextId++, slots, generation: this.#nextGeneration++ };
  }

  #write({ endpoints }: EndpointBlock, first: number): void {
    let offset = first * SIZE.endpoint;
    for (const { address, port, isLocal } of endpoints) {
      writeEndpoint(this.#endpoints, offset, address, port, isLocal);
      offset += SIZE.endpoint;
    }
  }

  /** Reports whether a service names exactly this block, and its slots contain it. */
  #holds(service: ServiceEntry, { endpoints, cluster, local, serving }: EndpointBlock): boolean {
    const { first, count } = slotsOf(service);
    const isAt = (list: SlotRange, expected: SlotRange) =>
      list.count === expected.count && (list.count === 0 || list.first === first + expected.first);
    if (count !== endpoints.length || (first + count) * SIZE.endpoint > this.#endpoints.byteLength) {
      return false;
    }
    if (!isAt(service.cluster, cluster) || !isAt(service.local, local) || !isAt(service.serving, serving)) {
      return false;
    }
    return endpoints.every(({ address, port, isLocal }, index) => {
      writeEndpoint(scratch, 0, address, port, isLocal);
      return sameWords(scratch, 0, this.#endpoints, (first + index) * SIZE.endpoint, SIZE.endpoint);
    });
  }
}

const scratch = new DataView(new ArrayBuffer(SIZE.endpoint));

/** Ids and slots that plans keep. Each is kept only once, whatever the kernel's entries contain. */
class KeptAllocations {
  readonly #ids = new Set<number>([0]);
  /** 1 for kept slots. */
  readonly #isKept: Uint8Array;
  readonly slots: SlotRange[] = [];

  constructor(capacity: number) {
    this.#isKept = new Uint8Array(capacity);
  }

  /** Returns false if the id is kept already. */
  keepId(id: number): boolean {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    return true;
  }

  /** Returns false if one of the slots is kept already. */
  keepSlots(range: SlotRange): boolean {
    const slots = this.#isKept.subarray(range.first, range.first + range.count);
    if (slots.includes(1)) return false;
    slots.fill(1);
    if (range.count > 0) this.slots.push(range);
    return true;
  }

  /** Reports whether all slots of the range are kept. */
  hasAll(range: SlotRange): boolean {
    return !this.#isKept.subarray(range.first, range.first + range.count).includes(0);
  }
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
