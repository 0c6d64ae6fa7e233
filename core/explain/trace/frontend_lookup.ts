import { type Address, isLoopback } from "../../net/address.ts";
import type { Protocol } from "../../net/protocol.ts";
import type { Endpoint, Frontend, NodeSettings } from "../../plan/plan.ts";
import type { PlannedFrontend, TracedNode } from "./trace.ts";

/**
 * Finds the frontends of a node in one family and protocol. Searches all plans, so no index has to be
 * maintained.
 */
export class FrontendLookup {
  readonly #node: TracedNode;
  readonly #settings: NodeSettings;
  readonly #protocol: Protocol;

  constructor(node: TracedNode, settings: NodeSettings, protocol: Protocol) {
    this.#node = node;
    this.#settings = settings;
    this.#protocol = protocol;
  }

  atAddress(address: Address, port: number): PlannedFrontend | undefined {
    return this.#find((frontend) =>
      frontend.kind !== "NodePort" && frontend.port === port && frontend.address === address
    );
  }

  /**
   * Node ports answer on the addresses of the settings; on loopback addresses only with `localhostNodePorts`.
   */
  atNodePort(address: Address, port: number): PlannedFrontend | undefined {
    const { nodePorts, localhostNodePorts } = this.#settings;
    const answers = nodePorts === "all"
      ? localhostNodePorts || !isLoopback(address)
      : nodePorts.includes(address);
    if (!answers) return undefined;
    return this.#find((frontend) => frontend.kind === "NodePort" && frontend.port === port);
  }

  /** Reports whether the address is a ClusterIP of any service, in any protocol. */
  isClusterIP(address: Address): boolean {
    for (const { frontends } of this.#node.plans.values()) {
      for (const frontend of frontends) {
        if (frontend.kind === "ClusterIP" && frontend.address === address) return true;
      }
    }
    return false;
  }

  /** Reports whether the kernel routes the address to the node itself. */
  isLocal(address: Address): boolean {
    return isLoopback(address) || this.#node.addresses.includes(address);
  }

  /** Reports whether any service port sends connections to the address, in any protocol. */
  isEndpoint(address: Address): boolean {
    const isSame = (endpoint: Endpoint) => endpoint.address === address;
    for (const { clusterEndpoints, localEndpoints } of this.#node.plans.values()) {
      if (clusterEndpoints.some(isSame) || localEndpoints.some(isSame)) return true;
    }
    return false;
  }

  /** Reports whether any service port has the endpoint on this node, or does not know its node. */
  mayBeHere(endpoint: Endpoint): boolean {
    if (endpoint.isLocal || endpoint.isNodeUnknown) return true;
    const { address, port } = endpoint;
    const isSame = (other: Endpoint) =>
      (other.isLocal || other.isNodeUnknown === true) && other.address === address && other.port === port;
    for (const plan of this.#node.plans.values()) {
      if (plan.protocol !== this.#protocol) continue;
      if (plan.clusterEndpoints.some(isSame) || plan.localEndpoints.some(isSame)) return true;
    }
    return false;
  }

  #find(fits: (frontend: Frontend) => boolean): PlannedFrontend | undefined {
    for (const plan of this.#node.plans.values()) {
      if (plan.family !== this.#settings.family || plan.protocol !== this.#protocol) continue;
      const frontend = plan.frontends.find(fits);
      if (frontend !== undefined) return { plan, frontend };
    }
    return undefined;
  }
}
