import { type Address, isLoopback } from "../../core/net/address.ts";
import type { Protocol } from "../../core/net/protocol.ts";
import type { Endpoint, Frontend, NodeSettings } from "../../core/plan/plan.ts";
import type { AskedFrontend, TracedNode } from "./trace.ts";

/**
 * Who serves what on a node, in one family and protocol. Looks through all plans: there is no index to keep.
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

  atAddress(address: Address, port: number): AskedFrontend | undefined {
    return this.#find((frontend) =>
      frontend.kind !== "NodePort" && frontend.port === port && frontend.address === address
    );
  }

  /** Node ports answer on the addresses that the settings say, on loopback ones in mode iptables only. */
  atNodePort(address: Address, port: number): AskedFrontend | undefined {
    const { nodePorts, localhostNodePorts } = this.#settings;
    const answers = nodePorts === "all"
      ? localhostNodePorts || !isLoopback(address)
      : nodePorts.includes(address);
    if (!answers) return undefined;
    return this.#find((frontend) => frontend.kind === "NodePort" && frontend.port === port);
  }

  /** Of any service, whatever the protocol. */
  isClusterIP(address: Address): boolean {
    for (const { frontends } of this.#node.plans.values()) {
      for (const frontend of frontends) {
        if (frontend.kind === "ClusterIP" && frontend.address === address) return true;
      }
    }
    return false;
  }

  /** As the kernel's routing sees it. */
  isLocal(address: Address): boolean {
    return isLoopback(address) || this.#node.addresses.includes(address);
  }

  /** Whether any service port has it as an endpoint on this node. */
  isLocalEndpoint({ address, port, isLocal }: Endpoint): boolean {
    if (isLocal) return true;
    const isSame = (other: Endpoint) => other.isLocal && other.address === address && other.port === port;
    for (const plan of this.#node.plans.values()) {
      if (plan.protocol !== this.#protocol) continue;
      if (plan.clusterEndpoints.some(isSame) || plan.localEndpoints.some(isSame)) return true;
    }
    return false;
  }

  #find(fits: (frontend: Frontend) => boolean): AskedFrontend | undefined {
    for (const plan of this.#node.plans.values()) {
      if (plan.family !== this.#settings.family || plan.protocol !== this.#protocol) continue;
      const frontend = plan.frontends.find(fits);
      if (frontend !== undefined) return { plan, frontend };
    }
    return undefined;
  }
}
