import { eachInTurns, turns } from "../../async/turns.ts";
import { type Address, isLoopback } from "../../net/address.ts";
import type { Family, Protocol } from "../../net/protocol.ts";
import type { Endpoint, NodeSettings, ServicePortPlan } from "../../plan/plan.ts";
import type { PlannedFrontend, TracedNode } from "./trace.ts";

/** Frontends and endpoints of all plans, by their addresses. */
export class FrontendIndex {
  readonly #byAddress = new Map<string, PlannedFrontend>();
  readonly #byNodePort = new Map<string, PlannedFrontend>();
  readonly clusterIPs = new Set<Address>();
  readonly endpointAddresses = new Set<Address>();
  /** Addresses of endpoints on this node. */
  readonly localEndpointAddresses = new Set<Address>();
  /** Endpoints on this node, and those whose node is unknown. */
  readonly #endpointsHere = new Set<string>();

  /** Adds a plan. The first plan that has a frontend keeps it. */
  add(plan: ServicePortPlan): void {
    this.#addFrontends(plan);
    for (const endpoints of [plan.clusterEndpoints, plan.localEndpoints]) {
      for (const endpoint of endpoints) this.#addEndpoint(plan.protocol, endpoint);
    }
  }

  /** Adds plans in turns. */
  async addInTurns(plans: Iterable<ServicePortPlan>): Promise<void> {
    for (const plan of plans) {
      if (turns.isOver) await turns.next();
      this.#addFrontends(plan);
      for (const endpoints of [plan.clusterEndpoints, plan.localEndpoints]) {
        await eachInTurns(endpoints, (endpoint) => this.#addEndpoint(plan.protocol, endpoint));
      }
    }
  }

  #addFrontends(plan: ServicePortPlan): void {
    const { family, protocol, frontends } = plan;
    for (const frontend of frontends) {
      const { kind, port } = frontend;
      if (kind === "ClusterIP") this.clusterIPs.add(frontend.address);
      const map = kind === "NodePort" ? this.#byNodePort : this.#byAddress;
      const key = keyOf(protocol, port, kind === "NodePort" ? family : frontend.address);
      if (!map.has(key)) map.set(key, { plan, frontend });
    }
  }

  #addEndpoint(protocol: Protocol, { address, port, isLocal, isNodeUnknown }: Endpoint): void {
    this.endpointAddresses.add(address);
    if (isLocal) this.localEndpointAddresses.add(address);
    if (isLocal || isNodeUnknown === true) this.#endpointsHere.add(keyOf(protocol, port, address));
  }

  atAddress(protocol: Protocol, address: Address, port: number): PlannedFrontend | undefined {
    return this.#byAddress.get(keyOf(protocol, port, address));
  }

  atNodePort(protocol: Protocol, family: Family, port: number): PlannedFrontend | undefined {
    return this.#byNodePort.get(keyOf(protocol, port, family));
  }

  hasEndpointHere(protocol: Protocol, { address, port }: Endpoint): boolean {
    return this.#endpointsHere.has(keyOf(protocol, port, address));
  }
}

function keyOf(protocol: Protocol, port: number, where: Address | Family): string {
  return `${protocol} ${port} ${where}`;
}

/** Finds the frontends of a node in one family and protocol. */
export class FrontendLookup {
  readonly #node: TracedNode;
  readonly #index: FrontendIndex;
  readonly #settings: NodeSettings;
  readonly #protocol: Protocol;

  constructor(node: TracedNode, settings: NodeSettings, protocol: Protocol) {
    this.#node = node;
    this.#index = node.index;
    this.#settings = settings;
    this.#protocol = protocol;
  }

  atAddress(address: Address, port: number): PlannedFrontend | undefined {
    return this.#index.atAddress(this.#protocol, address, port);
  }

  /**
   * Node ports answer on the addresses of the settings; on loopback addresses only with `localhostNodePorts`.
   */
  atNodePort(address: Address, port: number): PlannedFrontend | undefined {
    const { nodePorts, localhostNodePorts, family } = this.#settings;
    const answers = nodePorts === "all"
      ? localhostNodePorts || !isLoopback(address)
      : nodePorts.includes(address);
    return answers ? this.#index.atNodePort(this.#protocol, family, port) : undefined;
  }

  /** Reports whether the address is a ClusterIP of any service, in any protocol. */
  isClusterIP(address: Address): boolean {
    return this.#index.clusterIPs.has(address);
  }

  /** Reports whether the kernel routes the address to the node itself. */
  isLocal(address: Address): boolean {
    return isLoopback(address) || this.#node.addresses.includes(address);
  }

  /** Reports whether any service port sends connections to the address, in any protocol. */
  isEndpoint(address: Address): boolean {
    return this.#index.endpointAddresses.has(address);
  }

  /** Reports whether any service port has the endpoint on this node, or does not know its node. */
  mayBeHere(endpoint: Endpoint): boolean {
    return endpoint.isLocal || endpoint.isNodeUnknown === true ||
      this.#index.hasEndpointHere(this.#protocol, endpoint);
  }
}
