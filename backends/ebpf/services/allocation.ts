import type { PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import { BackendError } from "../../../core/backend/contract.ts";
import { type EndpointRun, type ListOptions, runOf, sameRun } from "./compile.ts";
import { type FoundServices, slotsOf } from "./snapshot.ts";
import { type ServiceEntry, SIZE, type SlotRange, writeEndpoint } from "../maps/layout.ts";
import { Slots } from "./slots.ts";

/** Where a service port is in the maps. */
export interface Place {
  /** The key of its counters, clients and source ranges. */
  readonly id: number;
  readonly slots: SlotRange;
  /** Which change of its endpoints this is. */
  readonly generation: number;
}

/** A plan's endpoints, and where they are from now on. */
export interface Placed {
  readonly plan: ServicePortPlan;
  readonly run: EndpointRun;
  readonly place: Place;
}

/**
 * Gives service ports ids and slots, and writes endpoints into slots that nothing names yet. The rest of what is in
 * the kernel follows from plans; this is the part that has to be remembered, and can be read back from the services.
 */
export class Placement {
  #places = new Map<PlanKey, Place>();
  #slots: Slots;
  #nextId = 1;
  #nextGeneration = 1;

  constructor(
    readonly endpoints: DataView<ArrayBuffer>,
    readonly options: ListOptions,
    readonly nowMs: () => number,
  ) {
    this.#slots = new Slots(endpoints.byteLength / SIZE.endpoint);
  }

  placeOf(key: PlanKey): Place | undefined {
    return this.#places.get(key);
  }

  entries(): IterableIterator<[PlanKey, Place]> {
    return this.#places.entries();
  }

  /** The last that was given to a place. */
  get generation(): number {
    return this.#nextGeneration - 1;
  }

  /**
   * Finds a place for a plan: its old one when the endpoints are the same. In force with `settle`.
   * @throws BackendError when there is no room.
   */
  place(plan: ServicePortPlan, old: ServicePortPlan | undefined): Placed {
    const before = this.#places.get(plan.key);
    const run = runOf(plan, this.options);
    if (before !== undefined && old !== undefined && sameRun(old, plan, this.options)) {
      return { plan, run, place: before };
    }
    return { plan, run, place: this.#newPlace(plan, run, before?.id) };
  }

  /** Services name the new places from now on, and the old ones of these keys no more. */
  settle(placed: Iterable<Placed>, gone: Iterable<PlanKey>): void {
    for (const key of gone) {
      const before = this.#places.get(key);
      if (before !== undefined) this.#slots.retire(before.slots, this.nowMs());
      this.#places.delete(key);
    }
    for (const { plan, place } of placed) {
      const before = this.#places.get(plan.key);
      if (before === place) continue;
      if (before !== undefined) this.#slots.retire(before.slots, this.nowMs());
      this.#places.set(plan.key, place);
    }
  }

  /** What `place` returned is not used after all. */
  takeBack(placed: Iterable<Placed>): void {
    for (const { plan, place } of placed) {
      if (this.#places.get(plan.key) !== place) this.#slots.giveBack(place.slots);
    }
  }

  /**
   * Starts anew from what the kernel has: a plan whose endpoints are in slots as they should be keeps them, with its
   * id; every other one gets new slots. All are in force with the services that name them.
   * @param named what the kernel says of the first frontend of a plan.
   * @throws BackendError when there is no room.
   */
  takeOver(
    plans: Iterable<ServicePortPlan>,
    found: FoundServices,
    named: (plan: ServicePortPlan) => ServiceEntry | undefined,
  ): readonly Placed[] {
    this.#nextId = Math.max(this.#nextId, found.largestId + 1);
    this.#nextGeneration = Math.max(this.#nextGeneration, found.largestGeneration + 1);
    const claimed = new Claims(this.#slots.capacity);
    const matched = [...plans].map((plan) => {
      const service = named(plan);
      const run = runOf(plan, this.options);
      const id = service !== undefined && claimed.claimId(service.id) ? service.id : undefined;
      const keeps = id !== undefined && service !== undefined && this.#holds(service, run) &&
        claimed.claimSlots(slotsOf(service));
      const place = keeps ? { id, slots: slotsOf(service), generation: service.generation } : undefined;
      return { plan, run, id, place };
    });

    const retired = [...found.slots()].filter((slots) => !claimed.isClaimed(slots));
    this.#slots = new Slots(this.#slots.capacity, claimed.slots, retired, this.nowMs());
    this.#places = new Map();
    const placed = matched.map(({ plan, run, id, place }) => ({
      plan,
      run,
      place: place ?? this.#newPlace(plan, run, id),
    }));
    for (const { plan, place } of placed) this.#places.set(plan.key, place);
    return placed;
  }

  #newPlace(plan: ServicePortPlan, run: EndpointRun, id: number | undefined): Place {
    const slots = this.#slots.take(run.endpoints.length, this.nowMs());
    if (slots === undefined) throw noRoom(plan, run, this.#slots);
    this.#write(run, slots.first);
    return { id: id ?? this.#nextId++, slots, generation: this.#nextGeneration++ };
  }

  #write({ endpoints }: EndpointRun, first: number): void {
    let offset = first * SIZE.endpoint;
    for (const { address, port, isLocal } of endpoints) {
      writeEndpoint(this.endpoints, offset, address, port, isLocal);
      offset += SIZE.endpoint;
    }
  }

  /** Whether a service names exactly these endpoints, and its slots hold them. */
  #holds(service: ServiceEntry, { endpoints, cluster, local, serving }: EndpointRun): boolean {
    const { first, count } = slotsOf(service);
    const isAt = (list: SlotRange, wanted: SlotRange) =>
      list.count === wanted.count && (list.count === 0 || list.first === first + wanted.first);
    if (count !== endpoints.length || (first + count) * SIZE.endpoint > this.endpoints.byteLength) {
      return false;
    }
    if (!isAt(service.cluster, cluster) || !isAt(service.local, local) || !isAt(service.serving, serving)) {
      return false;
    }
    return endpoints.every(({ address, port, isLocal }, index) => {
      writeEndpoint(scratch, 0, address, port, isLocal);
      const offset = (first + index) * SIZE.endpoint;
      for (let byte = 0; byte < SIZE.endpoint; byte += 4) {
        if (scratch.getUint32(byte) !== this.endpoints.getUint32(offset + byte)) return false;
      }
      return true;
    });
  }
}

const scratch = new DataView(new ArrayBuffer(SIZE.endpoint));

/** What plans have of what was found: an id and a slot belong to one only, whatever the kernel says. */
class Claims {
  readonly #ids = new Set<number>([0]);
  readonly #taken: Uint8Array;
  readonly slots: SlotRange[] = [];

  constructor(capacity: number) {
    this.#taken = new Uint8Array(capacity);
  }

  claimId(id: number): boolean {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    return true;
  }

  claimSlots(range: SlotRange): boolean {
    const slots = this.#taken.subarray(range.first, range.first + range.count);
    if (slots.includes(1)) return false;
    slots.fill(1);
    if (range.count > 0) this.slots.push(range);
    return true;
  }

  /** Whether no slot of it is left. */
  isClaimed(range: SlotRange): boolean {
    return !this.#taken.subarray(range.first, range.first + range.count).includes(0);
  }
}

function noRoom(plan: ServicePortPlan, { endpoints }: EndpointRun, slots: Slots): BackendError {
  return new BackendError(
    `ebpf: no room for the ${endpoints.length} endpoint slots of ${plan.namespace}/${plan.name}: ` +
      `${slots.free} of ${slots.capacity} are free. Give --ebpf-max-endpoints a larger number`,
    [plan.key],
  );
}
