import { type Address, socketKey } from "../../../../core/net/address.ts";
import type { Family } from "../../../../core/net/protocol.ts";
import type { PlanKey } from "../../../../core/plan/plan.ts";
import type {
  EndpointList,
  RelayedFrontend,
  RelayedProtocol,
  RelayedService,
  ServiceCounters,
  Side,
} from "../messages.ts";
import { withSharedStrings } from "./shared_strings.ts";

/** A service port with its counters, which outlive changes of the service port. */
export class Service {
  /** The number is never used again. */
  readonly id: number;
  spec: RelayedService;
  connections = 0;
  open = 0;
  retries = 0;
  failures = 0;
  refused = 0;
  bytesToEndpoints = 0;
  bytesToClients = 0;

  constructor(id: number, spec: RelayedService) {
    this.id = id;
    this.spec = spec;
  }

  counters(): ServiceCounters {
    const { connections, open, retries, failures, refused, bytesToEndpoints, bytesToClients } = this;
    const { key } = this.spec;
    return { key, connections, open, retries, failures, refused, bytesToEndpoints, bytesToClients };
  }
}

/** A frontend and its service. */
export interface FrontendEntry {
  readonly service: Service;
  readonly frontend: RelayedFrontend;
}

/** Receives the frontends that the relay itself listens for. */
export interface DirectFrontends {
  add(entry: FrontendEntry): void;
  remove(entry: FrontendEntry): void;
  /** The changes are complete. A frontend that was removed and added again has not been away. */
  settle(): void;
}

/** Services by key, and their frontends by address and port. */
export class ServiceTable {
  readonly #services = new Map<PlanKey, Service>();
  readonly #frontends = new Map<string, Map<string, FrontendEntry>>();
  readonly #direct: DirectFrontends;
  #nextId = 1;

  constructor(direct: DirectFrontends) {
    this.#direct = direct;
  }

  /** Removes all services but these. */
  retain(keys: readonly PlanKey[]): void {
    const kept = new Set(keys);
    this.update([], [...this.#services.keys()].filter((key) => !kept.has(key)));
  }

  update(specs: readonly RelayedService[], removed: readonly PlanKey[]): void {
    for (const key of removed) this.#remove(key);
    // A frontend may change from one service to another: first all old ones, then all new ones.
    const old = specs.map(({ key }) => this.#services.get(key));
    for (const service of old) if (service !== undefined) this.#removeFrontends(service);
    for (const [index, spec] of specs.entries()) this.#set(old[index], spec);
    this.#direct.settle();
  }

  /** Returns the frontend of a destination. Those with an address come before node ports. */
  find(
    family: Family,
    protocol: RelayedProtocol,
    destination: string,
    port: number,
  ): FrontendEntry | undefined {
    const frontends = this.#frontends.get(`${protocol}${family}`);
    return frontends?.get(socketKey(destination as Address, port)) ?? frontends?.get(nodePortKey(port));
  }

  /** Counters of the service ports that have had connections. */
  *counters(): Generator<ServiceCounters> {
    for (const service of this.#services.values()) {
      if (service.connections + service.refused > 0) yield service.counters();
    }
  }

  #set(old: Service | undefined, received: RelayedService): void {
    const spec = withSharedStrings(received);
    const service = old ?? new Service(this.#nextId++, spec);
    service.spec = spec;
    this.#services.set(spec.key, service);
    const frontends = this.#frontendsOf(spec);
    for (const frontend of spec.frontends) {
      const entry = { service, frontend };
      if (frontend.listen === undefined) frontends.set(keyOf(frontend), entry);
      else this.#direct.add(entry);
    }
  }

  #remove(key: PlanKey): void {
    const service = this.#services.get(key);
    if (service === undefined) return;
    this.#removeFrontends(service);
    this.#services.delete(key);
    // Its connections go on, but find no other endpoint.
    service.spec = {
      ...service.spec,
      frontends: [],
      cluster: "",
      local: "",
      serving: "",
    };
  }

  #removeFrontends(service: Service): void {
    const frontends = this.#frontendsOf(service.spec);
    for (const frontend of service.spec.frontends) {
      if (frontend.listen !== undefined) this.#direct.remove({ service, frontend });
      else if (frontends.get(keyOf(frontend))?.service === service) frontends.delete(keyOf(frontend));
    }
  }

  #frontendsOf({ protocol, family }: RelayedService): Map<string, FrontendEntry> {
    const name = `${protocol}${family}`;
    let frontends = this.#frontends.get(name);
    if (frontends === undefined) this.#frontends.set(name, frontends = new Map());
    return frontends;
  }
}

/** Returns the packed endpoints of a list as they are now. */
export function endpointsOf({ spec }: Service, list: EndpointList): string {
  switch (list) {
    case "cluster":
      return spec.cluster;
    case "local":
      return spec.local;
    case "none":
      return "";
  }
}

/** Returns the list for a connection from one side. */
export function listFor({ frontend }: FrontendEntry, side: Side): EndpointList {
  return side === "inside" ? frontend.inside : frontend.outside;
}

/** Reports whether two frontends have the same address and port. */
export function sameFrontend(a: RelayedFrontend, b: RelayedFrontend): boolean {
  return a.address === b.address && a.port === b.port;
}

function keyOf({ address, port }: RelayedFrontend): string {
  return address === undefined ? nodePortKey(port) : socketKey(address, port);
}

function nodePortKey(port: number): string {
  return String.fromCharCode(port >> 8, port & 0xff);
}
