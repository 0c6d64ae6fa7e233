import type { Address } from "../../core/net/address.ts";
import { DEFAULT_WEIGHT } from "../../core/objects/objects.ts";
import {
  type Endpoint,
  type Frontend,
  type NodeSettings,
  printedName,
  type Route,
  type ServicePortPlan,
} from "../../core/plan/plan.ts";
import type { Element } from "../nf_tables/set/element.ts";
import { addressKey } from "../nf_tables/set/keys.ts";
import { PlanElements } from "../nf_tables/set/plan_elements.ts";
import { CLUSTER_IPS, HAIRPIN_CONNECTIONS } from "../nf_tables/set/shared.ts";
import { truncatedComment } from "../nf_tables/userdata.ts";
import type { IpvsOptions } from "./options.ts";
import { IP_VS_SVC_F_SCHED1, IP_VS_SVC_F_SCHED2 } from "./protocol/constants.ts";
import { skipsResting } from "./servers/schedulers.ts";
import { type RealServer, realServerKey, type VirtualServer } from "./servers/virtual_server.ts";
import * as sets from "./tables/sets.ts";

/** A virtual server and where it sends to. */
export interface BalancedServer extends VirtualServer {
  readonly realServers: readonly RealServer[];
}

/** What of the kernel makes a service port reachable. */
export interface Compiled {
  readonly servers: readonly BalancedServer[];
  /** Of the device kube-ipvs0; several service ports may share one. */
  readonly addresses: readonly Address[];
  /** Of the sets of our table; of some sets, service ports may share elements (sharedSets). */
  readonly elements: readonly Element[];
}

/**
 * Whose hash is that of a real server without weight gets another one, or clients would be refused as long as one is
 * drained. With mh the source port, too, says where to send, as upstream has it.
 */
const schedulerFlags: Readonly<Record<string, number>> = {
  sh: IP_VS_SVC_F_SCHED1,
  mh: IP_VS_SVC_F_SCHED1 | IP_VS_SVC_F_SCHED2,
};

/** Those of the options that make a difference for a service port. */
export type CompileOptions = Pick<IpvsOptions, "scheduler" | "localFallback">;

/**
 * The same plan and settings give the same objects, so that an update is the difference of two calls. Everything
 * appears once, whatever the plan repeats.
 */
export function compile(
  plan: ServicePortPlan,
  settings: NodeSettings,
  options: CompileOptions,
): Compiled {
  const compilation = new Compilation(plan, settings, options);
  for (const frontend of plan.frontends) compilation.add(frontend);
  compilation.addHairpins();
  // Of a whole cluster, no more is kept than what is asked for.
  const { servers, addresses, elements } = compilation;
  return { servers, addresses, elements: elements.list };
}

class Compilation {
  readonly servers: BalancedServer[] = [];
  readonly addresses: Address[] = [];
  readonly elements = new PlanElements();
  readonly #plan: ServicePortPlan;
  readonly #settings: NodeSettings;
  readonly #scheduler: string;
  readonly #localFallback: boolean;
  readonly #comment: string;

  constructor(
    plan: ServicePortPlan,
    settings: NodeSettings,
    { scheduler, localFallback }: CompileOptions,
  ) {
    this.#plan = plan;
    this.#settings = settings;
    this.#scheduler = scheduler === "" ? "rr" : scheduler;
    this.#localFallback = localFallback;
    this.#comment = truncatedComment(printedName(plan));
  }

  add(frontend: Frontend): void {
    if (frontend.kind === "NodePort") return this.#addNodePort(frontend.port);
    const { kind, address, port } = frontend;
    if (kind === "LoadBalancerIP") this.#addLoadBalancer(address, port);
    this.#bind(address);
    if (kind === "ClusterIP") this.elements.add(CLUSTER_IPS, address);
    this.#balance(address, port, kind === "ClusterIP" ? this.#plan.internal : this.#plan.external);
  }

  /** For each endpoint on this node, what it sends to itself. */
  addHairpins(): void {
    const { clusterEndpoints, localEndpoints } = this.#plan;
    for (const endpoints of [clusterEndpoints, localEndpoints]) {
      for (const { address, isLocal } of endpoints) {
        if (isLocal) this.elements.add(HAIRPIN_CONNECTIONS, address + address);
      }
    }
  }

  #addNodePort(port: number): void {
    const { nodePorts } = this.#settings;
    if (nodePorts === "all") throw new Error("ipvs: node ports need to know the addresses of the node");
    for (const address of nodePorts) this.#balance(address, port, this.#plan.external);
  }

  #balance(address: Address, port: number, route: Route): void {
    const { family, protocol, affinitySeconds } = this.#plan;
    const key = addressKey(address, protocol, port);
    if (!this.elements.add(sets.VIRTUAL_SERVERS, key, "", this.#comment)) return;
    this.servers.push({
      family,
      protocol,
      address,
      port,
      scheduler: this.#scheduler,
      persistenceSeconds: affinitySeconds,
      flags: schedulerFlags[this.#scheduler] ?? 0,
      realServers: this.#realServersOf(route),
    });
    if (route.verdict === "balance" && route.masquerade === "all") {
      this.elements.add(sets.MASQUERADED_SERVICES, key);
    }
    if (this.#localFallback) return;
    if (route.verdict === "drop") this.elements.add(sets.NO_ENDPOINT_SERVICES, key, "", this.#comment);
    if (route.verdict === "local-external" && this.#plan.localEndpoints.length === 0) {
      this.elements.add(sets.NO_LOCAL_ENDPOINT_SERVICES, key, "", this.#comment);
    }
  }

  #realServersOf(route: Route): readonly RealServer[] {
    const balanced = this.#endpointsOf(route);
    const realServers = balanced.map(realServerOf);
    for (const { address, port } of this.#restingOf(route, balanced)) {
      realServers.push({ address, port, weight: 0 });
    }
    return realServers;
  }

  /**
   * Endpoints that get no new flows, but keep those they have: in UDP, for connections have an end (GracefulRemoval).
   * Those of other nodes are not worth their number where the policy is Local.
   */
  #restingOf(route: Route, balanced: readonly Endpoint[]): readonly Endpoint[] {
    const { servingEndpoints } = this.#plan;
    if (servingEndpoints.length === 0 || !skipsResting(this.#scheduler)) return [];
    const isCluster = route.verdict === "reject" || route.verdict === "balance" && route.to === "cluster";
    const known = new Set(balanced.map(realServerKey));
    return servingEndpoints.filter((endpoint) =>
      (isCluster || endpoint.isLocal) && !known.has(realServerKey(endpoint))
    );
  }

  /**
   * A virtual server without real servers answers "port unreachable". Connections that were made while there were
   * some go on, so what is dropped has a virtual server, too.
   */
  #endpointsOf(route: Route): readonly Endpoint[] {
    const { clusterEndpoints, localEndpoints } = this.#plan;
    switch (route.verdict) {
      case "balance":
        return route.to === "local" ? localEndpoints : clusterEndpoints;
      // One list serves all sources. Without endpoints here, only those are let in that may use the others, unless
      // everyone may.
      case "local-external":
        return localEndpoints.length === 0 ? clusterEndpoints : localEndpoints;
      // kube-proxy refuses what is a ClusterIP only: such plans have no cluster endpoints.
      case "drop":
        return this.#localFallback ? clusterEndpoints : [];
      case "reject":
        return [];
    }
  }

  /** An address of the node stays where it is: on the device it would outlive its interface, and change routes. */
  #bind(address: Address): void {
    if (this.#settings.interfaceAddresses.includes(address)) return;
    if (this.elements.add(sets.IPVS_IPS, address)) this.addresses.push(address);
  }

  #addLoadBalancer(address: Address, port: number): void {
    const { protocol, sourceRanges, healthCheckNodePort } = this.#plan;
    if (healthCheckNodePort > 0) {
      this.elements.add(sets.HEALTH_CHECKS, addressKey(address, "TCP", healthCheckNodePort));
    }
    this.elements.restrict(addressKey(address, protocol, port), sourceRanges);
  }
}

function realServerOf({ address, port, weight = DEFAULT_WEIGHT }: Endpoint): RealServer {
  return { address, port, weight };
}
