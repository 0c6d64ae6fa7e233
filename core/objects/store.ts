import { type Cidr, sameCidr } from "../net/address.ts";
import type { EndpointSlice, ModelObject, Node, ObjectRef, Service, ServiceCidr } from "./objects.ts";
import { sameList, sameNode, sameService, sameSlice } from "./equality.ts";

/** Of a Service, a plan, or whatever else carries both names: `namespace/name`. */
export function serviceName(of: { readonly namespace: string; readonly name: string }): string {
  // Joined, because a string made by adding keeps its parts beside it in memory.
  return [of.namespace, of.name].join("/");
}

/** A Service and the slices that name it, ordered by name whatever order they came in. */
export interface StoredService {
  readonly service: Service;
  readonly slices: readonly EndpointSlice[];
}

/** What an event makes it necessary to look at again. */
export interface StoreChange {
  /** Names of services to plan again: they, or slices of a service that is there, came, changed or went. */
  readonly services: readonly string[];
  /** This node changed: every plan may depend on it. */
  readonly node: boolean;
  readonly serviceCidrs: boolean;
}

/** What is known of the cluster. Services and slices are joined here, in whatever order they come. */
export class Store {
  readonly #nodeName: string;
  #node: Node | undefined;
  readonly #entries = new Map<string, Entry>();
  /** The entry each slice is in, by the slice's namespace and name. */
  readonly #owners = new Map<string, Entry>();
  readonly #serviceCidrs = new Map<string, ServiceCidr>();

  /** @param nodeName this node's: other Node objects are ignored. */
  constructor(nodeName: string) {
    this.#nodeName = nodeName;
  }

  upsert(object: ModelObject): StoreChange {
    switch (object.kind) {
      case "Service":
        return this.#upsertService(object);
      case "EndpointSlice":
        return this.#upsertSlice(object);
      case "Node":
        return this.#setNode(object);
      case "ServiceCIDR":
        return this.#upsertServiceCidr(object);
    }
  }

  /** Unknown refs change nothing. */
  delete(ref: ObjectRef): StoreChange {
    switch (ref.kind) {
      case "Service":
        return this.#deleteService(serviceName(ref));
      case "EndpointSlice":
        return dirty(this.#removeSlice(ref));
      case "Node":
        return this.#forgetNode(ref.name);
      case "ServiceCIDR":
        return this.#serviceCidrs.delete(ref.name) ? serviceCidrsChanged : nothing;
    }
  }

  /** Undefined when there is no such Service, even if there are slices for it. */
  get(name: string): StoredService | undefined {
    const entry = this.#entries.get(name);
    return entry?.service === undefined ? undefined : { service: entry.service, slices: entry.slices };
  }

  /** Of all services there are, in no particular order. */
  *serviceNames(): Generator<string> {
    for (const { name, service } of this.#entries.values()) {
      if (service !== undefined) yield name;
    }
  }

  /**
   * The order in which services that are planned together claim frontends: the oldest first, then by name. Those
   * that are gone come before all others.
   */
  inOrderOfAge(names: Iterable<string>): readonly string[] {
    return [...names]
      .map((name) => ({ name, created: this.#entries.get(name)?.service?.created ?? "" }))
      .sort((a, b) => compare(a.created, b.created) || compare(a.name, b.name))
      .map(({ name }) => name);
  }

  /**
   * This node's object; undefined as long as there has been none. One that was deleted stays as it was last, only not
   * eligible: rules made with its addresses and its zone stay right for the traffic that still comes.
   */
  get node(): Node | undefined {
    return this.#node;
  }

  /** Those of all ServiceCIDR objects, as written there. */
  get serviceCidrs(): readonly Cidr[] {
    return [...this.#serviceCidrs.values()].flatMap((object) => object.cidrs);
  }

  #upsertService(service: Service): StoreChange {
    const entry = this.#entry(serviceName(service));
    if (entry.service !== undefined && sameService(entry.service, service)) return nothing;
    entry.service = service;
    return dirty([entry]);
  }

  #deleteService(name: string): StoreChange {
    const entry = this.#entries.get(name);
    if (entry?.service === undefined) return nothing;
    entry.service = undefined;
    this.#dropIfEmpty(entry);
    return servicesChanged([name]);
  }

  #upsertSlice(slice: EndpointSlice): StoreChange {
    const key = sliceKey(slice);
    const owner = this.#owners.get(key);
    const entry = this.#entry(serviceName({ namespace: slice.namespace, name: slice.service }));
    // A slice's label may change: then it leaves one service for another.
    const left = owner === undefined || owner === entry ? [] : this.#removeSlice(slice);
    const index = entry.slices.findIndex((other) => other.name >= slice.name);
    const old = entry.slices[index];
    if (old?.name === slice.name) {
      if (sameSlice(old, slice)) return nothing;
      entry.slices = entry.slices.with(index, slice);
    } else {
      entry.slices = entry.slices.toSpliced(index < 0 ? entry.slices.length : index, 0, slice);
      this.#owners.set(key, entry);
    }
    return dirty([...left, entry]);
  }

  /** Returns the entry it was in. */
  #removeSlice(slice: { readonly namespace: string; readonly name: string }): readonly Entry[] {
    const key = sliceKey(slice);
    const owner = this.#owners.get(key);
    if (owner === undefined) return [];
    this.#owners.delete(key);
    owner.slices = owner.slices.filter(({ name }) => name !== slice.name);
    this.#dropIfEmpty(owner);
    return [owner];
  }

  #setNode(node: Node): StoreChange {
    const old = this.#node;
    if (node.name !== this.#nodeName || (old !== undefined && sameNode(old, node))) return nothing;
    this.#node = node;
    return nodeChanged;
  }

  #forgetNode(name: string): StoreChange {
    if (name !== this.#nodeName || this.#node?.eligible !== true) return nothing;
    this.#node = { ...this.#node, eligible: false };
    return nodeChanged;
  }

  #upsertServiceCidr(object: ServiceCidr): StoreChange {
    const old = this.#serviceCidrs.get(object.name);
    if (old !== undefined && sameList(old.cidrs, object.cidrs, sameCidr)) return nothing;
    this.#serviceCidrs.set(object.name, object);
    return serviceCidrsChanged;
  }

  #entry(name: string): Entry {
    const found = this.#entries.get(name);
    if (found !== undefined) return found;
    const entry: Entry = { name, service: undefined, slices: [] };
    this.#entries.set(name, entry);
    return entry;
  }

  #dropIfEmpty(entry: Entry): void {
    if (entry.service === undefined && entry.slices.length === 0) this.#entries.delete(entry.name);
  }
}

/** A service name that a Service has, or slices name, or both. */
interface Entry {
  readonly name: string;
  service: Service | undefined;
  slices: readonly EndpointSlice[];
}

const nothing: StoreChange = { services: [], node: false, serviceCidrs: false };
const nodeChanged: StoreChange = { ...nothing, node: true };
const serviceCidrsChanged: StoreChange = { ...nothing, serviceCidrs: true };

function servicesChanged(services: readonly string[]): StoreChange {
  return services.length === 0 ? nothing : { ...nothing, services };
}

/** Entries without a Service have nothing to plan. */
function dirty(entries: readonly Entry[]): StoreChange {
  return servicesChanged(entries.filter(({ service }) => service !== undefined).map(({ name }) => name));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sliceKey(slice: { readonly namespace: string; readonly name: string }): string {
  return [slice.namespace, slice.name].join("/");
}
