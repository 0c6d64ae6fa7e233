import type { Cluster } from "../cluster.ts";
import { podAddresses, serviceAddresses } from "./web.ts";

export const families = ["IPv4", "IPv6"] as const;
export type Family = typeof families[number];

/** Addresses of the machine outside the cluster, as nodes and pods see it. */
export const outsideAddress: Readonly<Record<Family, string>> = {
  IPv4: "192.168.89.1",
  IPv6: "fd00:10:89::1",
};

/** Addresses of the nodes, and of the pods and Services of a namespace. */
export class Addresses {
  private constructor(private readonly of: Readonly<Record<string, readonly string[]>>) {}

  static async read(cluster: Cluster, namespace: string): Promise<Addresses> {
    const services = await serviceAddresses(cluster, namespace);
    const nodes = cluster.nodes.map(async (node) => [node, await cluster.addressesOf(node)]);
    return new Addresses({
      ...await podAddresses(cluster, namespace),
      ...Object.fromEntries(Object.entries(services).map(([name, list]) => [`service ${name}`, list])),
      ...Object.fromEntries(await Promise.all(nodes)),
    });
  }

  /** Address of a node, of a pod, or of "service NAME". */
  get(name: string, family: Family): string {
    const address = this.of[name]?.[families.indexOf(family)];
    if (address === undefined) throw new Error(`no ${family} address of ${name}`);
    return address;
  }
}

/** Address that a node has towards its pods, the first one of its pod range. Derived from the address of a pod. */
export function gatewayOf(pod: string): string {
  return pod.includes(":") ? pod.replace(/::.*/, "::1") : pod.replace(/\d+$/, "1");
}
