import ipaddr from "ipaddr.js";
import type { RawCluster, RawPacket, RawProtocol } from "./raw_objects.ts";
import { type KnownEndpoint, type Selected, selectEndpoints } from "./reference_endpoints.ts";
import {
  compare,
  type Family,
  familyOf,
  serviceOf,
  type ServicePort,
  servicePorts,
} from "./reference_service_ports.ts";

/**
 * A second implementation of docs/behaviour.md §1-§4, written table by table from the text. It works on the
 * objects as the API server returns them, with strings, and ignores cost. It shares no code with the parser,
 * the planner and the tracer, so that a result on which both agree follows from the text.
 *
 * Returns a line: `passed`, `rejected SERVICE`, `dropped SERVICE`, or `balanced SERVICE affinity SECONDS:
 * ENDPOINT sees client|node…`.
 */
export function referenceVerdict(cluster: RawCluster, packet: RawPacket): string {
  const family = familyOf(packet.destination);
  if (!cluster.configuration.families.includes(family)) return "passed";
  return new Reference(cluster, family).verdict(packet);
}

type Role = "clusterIP" | "lbVIP" | "externalIP" | "nodePort";

/** A frontend and the service port that it belongs to. */
interface Target {
  readonly role: Role;
  readonly of: ServicePort;
}

/** Route of a connection to a frontend: endpoints to choose from, or the reason why there are none. */
type Route =
  | { readonly endpoints: readonly KnownEndpoint[]; readonly masquerade: boolean }
  | { readonly none: "reject" | "drop" | "not for this client" };

class Reference {
  readonly #cluster: RawCluster;
  readonly #family: Family;
  readonly #ports: readonly ServicePort[];
  readonly #selected = new Map<ServicePort, Selected>();
  /** Frontends by `address protocol port` or `node port protocol port`. */
  readonly #served = new Map<string, Target>();

  constructor(cluster: RawCluster, family: Family) {
    this.#cluster = cluster;
    this.#family = family;
    this.#ports = cluster.services.flatMap((service) => servicePorts(service, family))
      // The older of two services whose claims are equal gets the frontend.
      .sort((a, b) => compare(a.created, b.created) || compare(serviceOf(a), serviceOf(b)));
    for (const port of this.#ports) {
      this.#selected.set(port, selectEndpoints(port, cluster, family));
    }
    // §2, addresses with several claims: by trust, then by age.
    for (const role of ["clusterIP", "lbVIP", "externalIP", "nodePort"] as const) {
      for (const port of this.#ports) this.#claim(role, port);
    }
  }

  verdict(packet: RawPacket): string {
    const byAddress = this.#served.get(key(packet.destination, packet));
    const byNodePort = this.#acceptsNodePorts(packet.destination)
      ? this.#served.get(key("node port", packet))
      : undefined;

    // §4.6: checked before anything else, with or without endpoints.
    if (byAddress?.role === "lbVIP" && !this.#mayUse(byAddress.of, packet.source)) {
      return `dropped ${byAddress.of.name}`;
    }
    // §5.2, chain services: addresses come before node ports. Frontends without endpoints are in neither map.
    for (const target of [byAddress, this.#isOfNode(packet.destination) ? byNodePort : undefined]) {
      if (target === undefined) continue;
      const route = this.#route(target, packet);
      if ("endpoints" in route) return this.#balanced(target.of, route.endpoints, route.masquerade, packet);
      if (route.none === "not for this client") break;
    }
    return this.#filtered(packet.destination, packet.port, packet) ?? "passed";
  }

  /** §5.2, base chains filter-input, filter-forward and filter-output: the first verdict counts. */
  #filtered(address: string, port: number, packet: RawPacket, isTranslated = false): string | undefined {
    const verdictOf = (target: Target | undefined) => {
      if (target === undefined) return undefined;
      const none = this.#noEndpoints(target);
      return none === undefined
        ? undefined
        : `${none === "reject" ? "rejected" : "dropped"} ${target.of.name}`;
    };
    const where = { protocol: packet.protocol, port };
    const service = verdictOf(this.#served.get(key(address, where)));
    const nodePort = this.#acceptsNodePorts(address)
      ? verdictOf(this.#served.get(key("node port", where)))
      : undefined;
    const input = nodePort ?? service;
    // Unlike in kube-proxy, connections that were sent to an endpoint are not checked.
    const forwardOrOutput = service ?? (isTranslated ? undefined : this.#clusterIPsCheck(address));
    if (packet.incoming !== undefined) return this.#isOfNode(address) ? input : forwardOrOutput;
    // A packet from the node to itself passes output and then input.
    return forwardOrOutput ?? (this.#isOfNode(address) ? input : undefined);
  }

  #clusterIPsCheck(address: string): string | undefined {
    if (this.#isClusterIP(address)) return "rejected nobody";
    const known = this.#cluster.serviceCidrs.flatMap(({ spec }) => spec.cidrs);
    if (!known.some((cidr) => within(address, cidr))) return undefined;
    // Unlike in kube-proxy, endpoints in a service range are reached.
    const isEndpoint = this.#ports.some((port) => {
      const { cluster, local } = this.#selected.get(port)!;
      return [...cluster, ...local].some(({ id }) => splitId(id).address === address);
    });
    return isEndpoint ? undefined : "dropped nobody";
  }

  /** §3, no-endpoint outcomes, for connections that were not sent to an endpoint before. */
  #noEndpoints({ role, of }: Target): "reject" | "drop" | undefined {
    const { hasAny, local } = this.#selected.get(of)!;
    if (!hasAny) return "reject";
    const isLocal = role === "clusterIP" ? of.internalLocal : of.externalLocal;
    return isLocal && local.length === 0 ? "drop" : undefined;
  }

  /** §4.3, the rows of the table from top to bottom. */
  #route(target: Target, packet: RawPacket): Route {
    const { role, of } = target;
    const { cluster, local } = this.#selected.get(of)!;
    const none = this.#noEndpoints(target);
    const toClusterIP = this.#masqueradesToClusterIP(packet);
    if (role === "clusterIP") {
      if (none !== undefined) return { none };
      return { endpoints: of.internalLocal ? local : cluster, masquerade: toClusterIP };
    }
    if (none === "reject") return { none };
    if (!of.externalLocal) return { endpoints: cluster, masquerade: true };
    if (this.#isLocalPod(packet) === true) return { endpoints: cluster, masquerade: toClusterIP };
    if (this.#isOfNode(packet.source)) return { endpoints: cluster, masquerade: true };
    if (none === "drop") return { none: "not for this client" };
    return { endpoints: local, masquerade: toClusterIP };
  }

  /** §5.2, chain services, rule (1): depends on the address alone. */
  #masqueradesToClusterIP(packet: RawPacket): boolean {
    if (!this.#isClusterIP(packet.destination)) return false;
    return this.#cluster.configuration.masqueradeAll || this.#isLocalPod(packet) === false;
  }

  #balanced(
    of: ServicePort,
    endpoints: readonly KnownEndpoint[],
    masquerade: boolean,
    packet: RawPacket,
  ): string {
    const seen = endpoints.map(({ id }) => {
      const { address, port } = splitId(id);
      const stopped = this.#filtered(address, port, packet, true)?.split(" ")[0];
      // Masquerading happens in POSTROUTING, which a packet from outside to the node itself does not pass.
      const passesPostrouting = packet.incoming === undefined || !this.#isOfNode(address);
      const isHairpin = packet.source === address && this.#mayBeHere(id, of.protocol);
      const sees = passesPostrouting && (masquerade || isHairpin) ? "node" : "client";
      return `${id} sees ${sees}${stopped === undefined ? "" : ` ${stopped}`}`;
    });
    return `balanced ${of.name} affinity ${of.affinity}: ${seen.sort().join(", ")}`;
  }

  /**
   * §5.2, hairpin-connections: every local reachable endpoint of any service port. Unlike in kube-proxy, also those
   * whose slice names no node.
   */
  #mayBeHere(id: string, protocol: RawProtocol): boolean {
    return this.#ports.some((port) => {
      const { cluster, local } = this.#selected.get(port)!;
      return port.protocol === protocol &&
        [...cluster, ...local].some((one) => one.id === id && (one.isLocal || one.isNodeUnknown));
    });
  }

  #claim(role: Role, of: ServicePort): void {
    const claim = (where: string, port: number) => {
      const at = key(where, { protocol: of.protocol, port });
      if (!this.#served.has(at)) this.#served.set(at, { role, of });
    };
    if (role === "clusterIP") claim(of.clusterIP, of.port);
    if (role === "nodePort" && of.nodePort !== 0) claim("node port", of.nodePort);
    const ips = role === "lbVIP" ? of.lbVIPs : role === "externalIP" ? of.externalIPs : [];
    for (const ip of ips) if (!this.#isClusterIPOfAnother(ip, of)) claim(ip, of.port);
  }

  #isClusterIPOfAnother(address: string, { service }: ServicePort): boolean {
    return this.#ports.some((port) => port.clusterIP === address && port.service !== service);
  }

  #isClusterIP(address: string): boolean {
    return [...this.#served].some(([at, { role }]) => role === "clusterIP" && at.startsWith(`${address} `));
  }

  #mayUse({ ranges, lbVIPs }: ServicePort, source: string): boolean {
    if (ranges.length === 0 || ranges.some((range) => within(source, range))) return true;
    const nodeIP = this.#nodeIP();
    return ranges.some((range) => within(nodeIP, range)) && lbVIPs.includes(source);
  }

  /** §1.5, node IP detection. */
  #nodeIP(): string {
    const { bindAddress } = this.#cluster.configuration;
    if (bindAddress !== undefined && bindAddress !== "0.0.0.0" && familyOf(bindAddress) === this.#family) {
      return bindAddress;
    }
    const all = this.#node()?.status.addresses ?? [];
    for (const preferred of ["InternalIP", "ExternalIP"]) {
      for (const { type, address } of all) {
        if (type === preferred && familyOf(address) === this.#family) return address;
      }
    }
    return this.#family === "IPv4" ? "127.0.0.1" : "::1";
  }

  #node() {
    return this.#cluster.nodes.find(({ metadata }) => metadata.name === "here");
  }

  #isOfNode(address: string): boolean {
    return isLoopback(address) || this.#cluster.interfaceAddresses.includes(address);
  }

  /** §4.4 */
  #acceptsNodePorts(address: string): boolean {
    if (isLoopback(address)) return false;
    const setting = this.#cluster.configuration.nodePortAddresses;
    const words = setting.length === 0 ? ["primary"] : setting;
    const ofFamily = words.filter((word) => !word.includes("/") || familyOf(word) === this.#family);
    if (ofFamily.length === 0) return true;
    const nodeIP = this.#nodeIP();
    const cidrs = ofFamily.flatMap((word) => {
      if (word === "primary") {
        return isLoopback(nodeIP) ? [] : [`${nodeIP}/${this.#family === "IPv4" ? 32 : 128}`];
      }
      if (word === "localhost") return ["127.0.0.0/8", "::1/128"];
      return word === "all" ? ["0.0.0.0/0", "::/0"] : [word];
    }).filter((cidr) => familyOf(cidr) === this.#family);
    if (cidrs.some((cidr) => cidr.endsWith("/0"))) return true;
    return this.#cluster.interfaceAddresses.includes(address) && cidrs.some((cidr) => within(address, cidr));
  }

  /** §4.2; undefined when local traffic cannot be detected. */
  #isLocalPod({ source, incoming }: RawPacket): boolean | undefined {
    const mode = this.#cluster.configuration.detectLocal;
    if (mode.mode === "BridgeInterface") return incoming === mode.interface;
    if (mode.mode === "InterfaceNamePrefix") return (incoming ?? "").startsWith(mode.prefix);
    const cidrs = mode.mode === "ClusterCIDR" ? mode.cidrs : this.#node()?.spec.podCIDRs ?? [];
    const own = cidrs.find((cidr) => familyOf(cidr) === this.#family);
    return own === undefined ? undefined : within(source, own);
  }
}

function key(where: string, { protocol, port }: { protocol: RawProtocol; port: number }): string {
  return `${where} ${protocol} ${port}`;
}

function splitId(id: string): { address: string; port: number } {
  const [address = "", port] = id.split(" ");
  return { address, port: Number(port) };
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}

function within(address: string, cidr: string): boolean {
  const parsed = ipaddr.parse(address);
  const [network, prefix] = ipaddr.parseCIDR(cidr);
  return parsed.kind() === network.kind() && parsed.match(network, prefix);
}
