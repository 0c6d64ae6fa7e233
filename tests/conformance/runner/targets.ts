import type { Family } from "../../../core/net/protocol.ts";
import type { Target } from "../../lab/agent.ts";
import { machines, secondNodeAddress } from "../../lab/topology.ts";
import { isMachine, type ServiceAddresses } from "./objects.ts";
import type { ServiceSpec } from "../format/scenario.ts";

/**
 * Resolves the value of `to:`, which is `[service/]kind[:port]`. Kinds are clusterIP, external, lb (addresses of
 * the service), node, second, loopback (addresses of the node), unallocated (an address of the ClusterIP range that no
 * service has) and the machines. The default service is the first one of the scenario. The default port is the first
 * port of the service, and on the node its first NodePort.
 */
export class Targets {
  readonly #services = new Map<string, ServiceSpec>();

  constructor(private readonly addresses: ServiceAddresses) {}

  /** Adds or replaces a service. Deleted services are kept, because scenarios check that they are gone. */
  set(service: ServiceSpec): void {
    this.#services.set(service.name, service);
  }

  resolve(to: string, protocol: "TCP" | "UDP" | undefined, family: Family): Target {
    const [, named, kind, portText] = /^(?:([^/:]+)\/)?([^/:]+)(?::(\d+))?$/.exec(to) ?? [];
    if (kind === undefined) throw new Error(`to: ${to}: must be [service/]kind[:port]`);
    const [first] = this.#services.values();
    // A name that is not a service names a further address of the first service.
    const service = this.#services.get(named ?? "") ?? first;
    if (!service) throw new Error(`to: ${to}: there is no service`);
    if (named !== undefined && named !== service.name && !this.addresses.has(named)) {
      throw new Error(`to: ${to}: no service is called ${named}`);
    }
    const onNode = kind in nodeAddresses;
    const ports = service.ports.map((port) => ({
      protocol: port.protocol,
      number: onNode ? port.nodePort : port.port,
    }));
    const number = portText === undefined
      ? ports.find((port) => port.number !== undefined)?.number
      : Number(portText);
    if (number === undefined) throw new Error(`to: ${to}: service ${service.name} has no such port`);
    return {
      protocol: protocol ?? ports.find((port) => port.number === number)?.protocol ?? "TCP",
      to: this.#address(kind, named ?? service.name, family),
      port: number,
    };
  }

  #address(kind: string, service: string, family: Family): string {
    const range = ranges[kind];
    if (range) return this.addresses.of(range, service, family);
    if (kind === "unallocated") return this.addresses.of("clusterIP", "unallocated", family);
    const onNode = nodeAddresses[kind];
    if (onNode) return onNode[family];
    if (isMachine(kind)) return machines[kind].addresses[family];
    const known = [...Object.keys(ranges), ...Object.keys(nodeAddresses), "unallocated"];
    throw new Error(`to: ${kind} is neither a machine nor one of ${known.join(", ")}`);
  }
}

const ranges: Readonly<Record<string, "clusterIP" | "external" | "loadBalancer">> = {
  clusterIP: "clusterIP",
  external: "external",
  lb: "loadBalancer",
};

const nodeAddresses: Readonly<Record<string, Readonly<Record<Family, string>>>> = {
  node: machines.node.addresses,
  second: secondNodeAddress,
  loopback: { IPv4: "127.0.0.1", IPv6: "::1" },
};
