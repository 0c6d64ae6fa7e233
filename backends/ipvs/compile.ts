import type { Address } from "../../core/net/address.ts";
import { DEFAULT_WEIGHT } from "../../core/objects/objects.ts";
import {
  type Endpoint,
  type Frontend,
  mayReachItselfHere,
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
import { skipsWeightZero } from "./servers/schedulers.ts";
import { type RealServer, realServerKey, type VirtualServer } from "./servers/virtual_server.ts";
import * as sets from "./tables/sets.ts";

/** A virtual server with its real servers. */
export interface BalancedServer extends VirtualServer {
  readonly realServers: readonly RealServer[];
}

/** The kernel objects of one service port. */
export interface Compiled {
  readonly servers: readonly BalancedServer[];
  /** Addresses of the device kube-ipvs0. Several service ports may share one. */
  readonly addresses: readonly Address[];
  /** Elements of the sets of our table. Service ports may share elements of SHARED_SETS. */
  readonly elements: readonly Element[];
}

/**
 * Flags of virtual servers by scheduler. SCHED1: if the hash picks a server of weight 0, fall back to another
 * one; otherwise clients are rejected while it drains. SCHED2: mh hashes the source port, too, as in
 * kube-proxy.
 */
const SCHEDULER_FLAGS: Readonly<Record<string, number>> = {
  sh: IP_VS_SVC_F_SCHED1,
  mh: IP_VS_SVC_F_SCHED1 | IP_VS_SVC_F_SCHED2,
};

/** The options that affect a service port. */
export type CompileOptions = Pick<IpvsOptions, "scheduler" | "localFallback">;

/**
 * Compiles a plan. Equal plans and settings give equal objects, so that an update is the difference of two
 * calls. Each object appears once, even if the plan repeats it.
 */
export function compile(
  plan: ServicePortPlan,
  settings: NodeSettings,
  options: CompileOptions,
): Compiled {
  const compilation = new Compilation(plan, settings, options);
  for (const frontend of plan.frontends) compilation.add(frontend);
  compilation.addHairpins();
  compilation.elements.addEndpointsIn(settings.serviceCidrs, plan);
  // Return plain arrays so that the Compilation can be garbage-collected.
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

  /** Adds the connections to itself of each endpoint that runs, or may run, on this node. */
  addHairpins(): void {
    const { clusterEndpoints, localEndpoints } = this.#plan;
    for (const endpoints of [clusterEndpoints, localEndpoints]) {
      for (const endpoint of endpoints) {
        if (!mayReachItselfHere(endpoint)) continue;
        this.elements.add(HAIRPIN_CONNECTIONS, endpoint.address + endpoint.address);
      }
    }
  }

  #addNodePort(port: number): void {
    const { nodePorts } = this.#settings;
    if (nodePorts === "all") throw new Error('ipvs: node-port addresses must be listed, not "all"');
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
      flags: SCHEDULER_FLAGS[this.#scheduler] ?? 0,
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
    for (const { address, port } of this.#weightZeroEndpointsOf(route, balanced)) {
      realServers.push({ address, port, weight: 0 });
    }
    return realServers;
  }

  /**
   * UDP endpoints that get no new flows, but keep existing ones. (TCP endpoints need no such list: see
   * GracefulTermination.) With policy Local only those on this node, because the others are not worth their
   * number.
   */
  #weightZeroEndpointsOf(route: Route, balanced: readonly Endpoint[]): readonly Endpoint[] {
    const { servingEndpoints } = this.#plan;
    if (servingEndpoints.length === 0 || !skipsWeightZero(this.#scheduler)) return [];
    const isCluster = route.verdict === "reject" || route.verdict === "balance" && route.to === "cluster";
    const known = new Set(balanced.map(realServerKey));
    return servingEndpoints.filter((endpoint) =>
      (isCluster || endpoint.isLocal) && !known.has(realServerKey(endpoint))
    );
  }

  /**
   * Endpoints that get new connections. A virtual server without real servers answers "port unreachable". A
   * dropped frontend has a virtual server, too, because connections from before continue.
   */
  #endpointsOf(route: Route): readonly Endpoint[] {
    const { clusterEndpoints, localEndpoints } = this.#plan;
    switch (route.verdict) {
      case "balance":
        return route.to === "local" ? localEndpoints : clusterEndpoints;
      // One list serves all sources. Without local endpoints, the table drops sources that may not use the
      // others, unless localFallback lets everyone use them.
      case "local-external":
        return localEndpoints.length === 0 ? clusterEndpoints : localEndpoints;
      // kube-proxy rejects services that have a ClusterIP only: their plans have no cluster endpoints.
      case "drop":
        return this.#localFallback ? clusterEndpoints : [];
      case "reject":
        return [];
    }
  }

  /**
   * Leaves addresses of the node where they are: on the device they would outlive their interface, and change
   * routes.
   */
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
