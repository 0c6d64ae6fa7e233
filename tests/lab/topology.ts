import type { Family } from "../../core/net/protocol.ts";

/**
 * The machines of the lab and their addresses. `lab.ts` builds them.
 *
 *   outside (and stranger, its second address)
 *      │ bridge `lan` with eth0 of node and of elsewhere; service addresses are routed to node
 *      ├── node "here" ──┬── bridge pods0 ── pod-a, pod-b
 *      │                 └── veth pods-c ── pod-c
 *      └── node "elsewhere" ── veth pods-d ── pod-d
 *
 * Pods have /32 and /128 addresses, so that all their traffic is routed by their node, even between two pods of one
 * bridge. Therefore replies are translated back without br_netfilter.
 */
export const machines = {
  node: machine("node", "here", "192.168.8.1", "fd00:8::1"),
  elsewhere: machine("elsewhere", "elsewhere", "192.168.8.2", "fd00:8::2"),
  outside: machine("outside", "", "192.168.8.9", "fd00:8::9"),
  stranger: machine("outside", "", "192.168.8.66", "fd00:8::66"),
  "pod-a": machine("pod-a", "here", "10.244.1.11", "fd00:244:1::11"),
  "pod-b": machine("pod-b", "here", "10.244.1.12", "fd00:244:1::12"),
  "pod-c": machine("pod-c", "here", "10.244.1.13", "fd00:244:1::13"),
  "pod-d": machine("pod-d", "elsewhere", "10.244.2.14", "fd00:244:2::14"),
};

export type MachineName = keyof typeof machines;

export interface Machine {
  /** Machines of one namespace share an agent and differ in their source address. */
  readonly namespace: string;
  /** Kubernetes node that the machine is, or that the pod runs on; "" for neither. */
  readonly node: string;
  readonly addresses: Readonly<Record<Family, string>>;
}

function machine(namespace: string, node: string, IPv4: string, IPv6: string): Machine {
  return { namespace, node, addresses: { IPv4, IPv6 } };
}

export const namespaces = [...new Set(Object.values(machines).map((machine) => machine.namespace))];

/** Gateways of the pods; they are addresses of the node. */
export const podGateways = {
  here: { IPv4: "10.244.1.1", IPv6: "fd00:244:1::1" },
  elsewhere: { IPv4: "10.244.2.1", IPv6: "fd00:244:2::1" },
};

/** Second address of the node's eth0: a local address, but not the primary one. */
export const secondNodeAddress = { IPv4: "192.168.8.101", IPv6: "fd00:8::101" };

/** Reports whether masquerading by the node can result in this source address. */
export function isNodeAddress(address: string): boolean {
  return [machines.node.addresses, podGateways.here, secondNodeAddress]
    .some((addresses) => addresses.IPv4 === address || addresses.IPv6 === address);
}

/** Reports whether a machine is a pod of the node "here". */
export function isPodOfNode(name: MachineName): boolean {
  return name.startsWith("pod-") && machines[name].node === "here";
}

export const podCidrs = {
  here: { IPv4: "10.244.1.0/24", IPv6: "fd00:244:1::/64" },
  elsewhere: { IPv4: "10.244.2.0/24", IPv6: "fd00:244:2::/64" },
};

/** Devices of the node through which packets of its pods arrive. */
export const podBridge = "pods0";
export const podInterfacePrefix = "pods";

/** Address ranges that all machines route to the node. */
export const serviceRanges = {
  clusterIP: { IPv4: "10.96.0.0/16", IPv6: "fd00:10:96::/112" },
  external: { IPv4: "203.0.113.0/24", IPv6: "2001:db8:e::/112" },
  loadBalancer: { IPv4: "198.51.100.0/24", IPv6: "2001:db8:1b::/112" },
};
export type ServiceRange = keyof typeof serviceRanges;

/** The n-th address (1-250) of a range. */
export function serviceAddress(range: ServiceRange, family: Family, n: number): string {
  const [network] = serviceRanges[range][family].split("/");
  return family === "IPv4" ? network!.replace(/0$/, String(n)) : network! + n.toString(16);
}

/**
 * An endpoint that never answers, like a pod of a node that has failed. Packets to it take the default route of the nodes
 * and are lost.
 */
export const nobody = {
  node: "elsewhere",
  addresses: { IPv4: "192.0.2.99", IPv6: "2001:db8:99::99" },
} as const;

/** Gateway of the nodes' default routes; no machine has this address, so packets to it are lost. */
export const blackHole = {
  IPv4: "192.168.8.254",
  IPv6: "fd00:8::254",
  linkAddress: "02:00:00:00:00:fe",
};

/** Ports that every machine serves in TCP and UDP on its own address. */
export const servedPorts: readonly number[] = [8080, 8081, 8082];
