import { type Cidr, sameCidr } from "../net/address.ts";
import type {
  EndpointSlice,
  ModelObject,
  Node,
  ObjectKind,
  ObjectRef,
  Service,
  ServiceCidr,
} from "./objects.ts";
import { sameList, sameNode, sameService, sameSlice } from "./equality.ts";

/** Returns `namespace/name` of a Service, a plan, or anything else that has both names. */
export function serviceName(of: { readonly namespace: string; readonly name: string }): string {
  // join() makes a flat string. A concatenation would keep its parts in memory as well.
  return [of.namespace, of.name].join("/");
}

/** A Service and the slices that belong to it, sorted by name. */
export interface StoredService {
  readonly service: Service;
  readonly slices: readonly EndpointSlice[];
}

/** Parts of the desired state that an event may have changed. */
export interface StoreChange {
  /** Names of services to plan again: the Service or one of its slices was added, changed or deleted. */
  readonly services: readonly string[];
  /** This node changed, on which every plan may depend. */
  readonly node: boolean;
  readonly serviceCidrs: boolean;
}

/** The known objects of the cluster. Joins slices to their Services, in whatever order they arrive. */
export class Store {
  readonly #nodeName: string;
  #node: Node | undefined;
  readonly #entries = new Map<string, Entry>();
  /** The entry that each slice is in, by the slice's namespace and name. */
  readonly #owners = new Map<string, Entry>();
  readonly #serviceCidrs = new Map<string, ServiceCidr>();
  #services = 0;
  #endpoints = 0;

  /** @param nodeName name of this node; other Node objects are ignored. */
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

  /** Unknown refs change NO_CHANGE. */
  delete(ref: ObjectRef): StoreChange {
    switch (ref.kind) {
      case "Service":
        return this.#deleteService(serviceName(ref));
      case "EndpointSlice":
        return dirty(this.#removeSlice(ref));
      case "Node":
        return this.#forgetNode(ref.name);
      case "ServiceCIDR":
        return this.#serviceCidrs.delete(ref.name) ? SERVICE_CIDRS_CHANGED : NO_CHANGE;
    }
  }

  /** Returns undefined when there is no such Service, even if there are slices for it. */
  get(name: string): StoredService | undefined {
    const entry = this.#entries.get(name);
    return entry?.service === undefined ? undefined : { service: entry.service, slices: entry.slices };
  }

  /** Names of all Services, in no particular order. */
  *serviceNames(): Generator<string> {
    for (const { name, service } of this.#entries.values()) {
      if (service !== undefined) yield name;
    }
  }

  /**
   * Sorts services in the order in which they claim frontends: the oldest first, then by name. Deleted
   * services come before all others.
   */
  inOrderOfAge(names: Iterable<string>): readonly string[] {
    return [...names]
      .map((name) => ({ name, created: this.#entries.get(name)?.service?.created ?? "" }))
      .sort((a, b) => compare(a.created, b.created) || compare(a.name, b.name))
      .map(({ name }) => name);
  }

  /**
   * This node's object; undefined before the first one was received. A deleted Node is kept, but is not
   * eligible: rules made from its addresses and its zone stay right for the traffic that still arrives. For the
   * same reason it keeps its addresses and its pod CIDRs when it is created again without them, as a node of a
   * cloud is until the cloud's controller has found it.
   */
  get node(): Node | undefined {
    return this.#node;
  }

  /** The ranges of all ServiceCIDR objects, as written there. */
  get serviceCidrs(): readonly Cidr[] {
    return [...this.#serviceCidrs.values()].flatMap((object) => object.cidrs);
  }

  /** Numbers of known objects. */
  get counts(): Readonly<Record<ObjectKind, number>> {
    return {
      Service: this.#services,
      EndpointSlice: this.#owners.size,
      Node: this.#node === undefined ? 0 : 1,
      ServiceCIDR: this.#serviceCidrs.size,
    };
  }

  /** Number of endpoints of all known slices. */
  get endpointCount(): number {
    return this.#endpoints;
  }

  #upsertService(service: Service): StoreChange {
    const entry = this.#entry(serviceName(service));
    if (entry.service !== undefined && sameService(entry.service, service)) return NO_CHANGE;
    if (entry.service === undefined) this.#services++;
    entry.service = service;
    return dirty([entry]);
  }

  #deleteService(name: string): StoreChange {
    const entry = this.#entries.get(name);
    if (entry?.service === undefined) return NO_CHANGE;
    this.#services--;
    entry.service = undefined;
    this.#dropIfEmpty(entry);
    return servicesChanged([name]);
  }

  #upsertSlice(slice: EndpointSlice): StoreChange {
    const key = sliceKey(slice);
    const owner = this.#owners.get(key);
    const entry = this.#entry(serviceName({ namespace: slice.namespace, name: slice.service }));
    // When a slice's label changes, the slice moves from one service to another.
    const previousOwners = owner === undefined || owner === entry ? [] : this.#removeSlice(slice);
    const index = entry.slices.findIndex((other) => other.name >= slice.name);
    const old = entry.slices[index];
    if (old?.name === slice.name) {
      if (sameSlice(old, slice)) return NO_CHANGE;
      entry.slices = entry.slices.with(index, slice);
    } else {
      entry.slices = entry.slices.toSpliced(index < 0 ? entry.slices.length : index, 0, slice);
      this.#owners.set(key, entry);
    }
    this.#endpoints += slice.endpoints.length - (old?.name === slice.name ? old.endpoints.length : 0);
    return dirty([...previousOwners, entry]);
  }

  /** Returns the entry that the slice was in. */
  #removeSlice(slice: { readonly namespace: string; readonly name: string }): readonly Entry[] {
    const key = sliceKey(slice);
    const owner = this.#owners.get(key);
    if (owner === undefined) return [];
    this.#owners.delete(key);
    const index = owner.slices.findIndex(({ name }) => name === slice.name);
    this.#endpoints -= owner.slices[index]?.endpoints.length ?? 0;
    owner.slices = owner.slices.toSpliced(index, 1);
    this.#dropIfEmpty(owner);
    return [owner];
  }

  #setNode(node: Node): StoreChange {
    const old = this.#node;
    if (node.name !== this.#nodeName) return NO_CHANGE;
    const known = old === undefined ? node : {
      ...node,
      addresses: node.addresses.length > 0 ? node.addresses : old.addresses,
      podCidrs: node.podCidrs.length > 0 ? node.podCidrs : old.podCidrs,
    };
    if (old !== undefined && sameNode(old, known)) return NO_CHANGE;
    this.#node = known;
    return NODE_CHANGED;
  }

  #forgetNode(name: string): StoreChange {
    if (name !== this.#nodeName || this.#node?.eligible !== true) return NO_CHANGE;
    this.#node = { ...this.#node, eligible: false };
    return NODE_CHANGED;
  }

  #upsertServiceCidr(object: ServiceCidr): StoreChange {
    const old = this.#serviceCidrs.get(object.name);
    if (old !== undefined && sameList(old.cidrs, object.cidrs, sameCidr)) return NO_CHANGE;
    this.#serviceCidrs.set(object.name, object);
    return SERVICE_CIDRS_CHANGED;
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

/** A service name that is known from a Service, from slices, or from both. */
interface Entry {
  readonly name: string;
  service: Service | undefined;
  slices: readonly EndpointSlice[];
}

const NO_CHANGE: StoreChange = { services: [], node: false, serviceCidrs: false };
const NODE_CHANGED: StoreChange = { ...NO_CHANGE, node: true };
const SERVICE_CIDRS_CHANGED: StoreChange = { ...NO_CHANGE, serviceCidrs: true };

function servicesChanged(services: readonly string[]): StoreChange {
  return services.length === 0 ? NO_CHANGE : { ...NO_CHANGE, services };
}

/** Leaves out entries without a Service, which have NO_CHANGE to plan. */
function dirty(entries: readonly Entry[]): StoreChange {
  return servicesChanged(entries.filter(({ service }) => service !== undefined).map(({ name }) => name));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sliceKey(slice: { readonly namespace: string; readonly name: string }): string {
  return [slice.namespace, slice.name].join("/");
}
