import type { PlanChange } from "../../../core/backend/contract.ts";
import { type Address, type Cidr, contains, hostCidr } from "../../../core/net/address.ts";
import type { NodeSettings, ServicePortPlan } from "../../../core/plan/plan.ts";
import { UseChanges, UseCounts } from "../../use_counts.ts";
import { Entries, hasEntries, replaceEntries } from "../maps/entries.ts";
import type { EntryMap } from "../maps/kernel_maps.ts";
import { NO_VERDICT, SIZE, VERDICT, writeRange } from "../maps/layout.ts";

/**
 * Map `service_cidrs`: the ranges of service addresses, whose unused addresses are dropped, and the endpoints in
 * them, which are not. A pod may have an address in a service range, and packets of sockets have no other address
 * that shows the service.
 */
export class ServiceRanges {
  readonly #map: EntryMap;
  #cidrs: readonly Cidr[] = [];
  /** Lists of endpoints per address in a range. */
  #uses = new UseCounts();

  constructor(map: EntryMap) {
    this.#map = map;
  }

  /** Makes the map contain exactly the ranges of the settings and the endpoints of the plans. */
  reconcile(settings: readonly NodeSettings[], plans: Iterable<ServicePortPlan>): void {
    replaceEntries(this.#map, this.#entriesOf(settings, plans));
  }

  /** Reports whether `reconcile` has nothing to do. */
  isAsDesired(settings: readonly NodeSettings[], plans: Iterable<ServicePortPlan>): boolean {
    return hasEntries(this.#map, this.#entriesOf(settings, plans));
  }

  /** Reports whether the map contains what was last programmed. */
  isIntact(): boolean {
    const entries = new Entries(SIZE.range, VALUE_BYTES);
    for (const cidr of this.#cidrs) add(entries, cidr, VERDICT.DROP);
    for (const address of this.#uses.names()) add(entries, hostCidr(address as Address), NO_VERDICT);
    return hasEntries(this.#map, entries);
  }

  #entriesOf(settings: readonly NodeSettings[], plans: Iterable<ServicePortPlan>): Entries {
    this.#cidrs = settings.flatMap(({ serviceCidrs }) => serviceCidrs);
    this.#uses = new UseCounts();
    const entries = new Entries(SIZE.range, VALUE_BYTES);
    for (const cidr of this.#cidrs) add(entries, cidr, VERDICT.DROP);
    for (const plan of plans) {
      for (const address of this.#addressesOf(plan)) {
        if (this.#uses.add(address, 1) === 1) add(entries, hostCidr(address), NO_VERDICT);
      }
    }
    return entries;
  }

  /**
   * Adds the endpoints of changed plans.
   * @returns removes those that are gone; to be called once the changes are in force.
   */
  apply(changes: readonly PlanChange[]): () => void {
    const uses = new UseChanges<Address>();
    for (const change of changes) {
      for (const address of this.#addressesOf(change.old)) uses.use(address, address, -1);
      for (const address of this.#addressesOf(change.new)) uses.use(address, address, 1);
    }
    const { added, removed } = uses.difference((address) => this.#uses.of(address));
    const entries = new Entries(SIZE.range, VALUE_BYTES);
    for (const address of added) add(entries, hostCidr(address), NO_VERDICT);
    this.#map.updateAll(entries.keyBytes, entries.valueBytes, entries.count);
    return () => {
      const stale = new Entries(SIZE.range, VALUE_BYTES);
      for (const address of removed) add(stale, hostCidr(address), NO_VERDICT);
      this.#map.deleteAll(stale.keyBytes, stale.count);
      this.#uses.addAll(uses);
    };
  }

  *#addressesOf(plan: ServicePortPlan | undefined): Generator<Address> {
    if (plan === undefined) return;
    const { clusterEndpoints, localEndpoints, servingEndpoints } = plan;
    for (const endpoints of [clusterEndpoints, localEndpoints, servingEndpoints]) {
      for (const { address } of endpoints) {
        // A range of one address cannot have an entry of its own and one for the endpoint.
        const isIn = (cidr: Cidr) => cidr.prefix < 8 * address.length && contains(cidr, address);
        if (this.#cidrs.some(isIn)) yield address;
      }
    }
  }
}

const VALUE_BYTES = 4;

function add(entries: Entries, cidr: Cidr, verdict: number): void {
  const index = entries.add();
  writeRange(entries.keys, index * SIZE.range, 0, cidr);
  entries.values.setInt32(index * VALUE_BYTES, verdict, true);
}
