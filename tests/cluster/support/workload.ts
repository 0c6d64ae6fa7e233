import type { Cluster, KubernetesObject } from "./cluster.ts";
import { type Flow, held, short, udp } from "./flows.ts";
import { inPod, outside } from "./places.ts";
import type { Client } from "./traffic.ts";

export const NAMESPACE = "traffic";
export const AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.66.1";

/** Ports that `agnhost netexec` serves in the pods. */
const HTTP_PORT = 8080;
const UDP_PORT = 8081;

/** Node ports of the Services, which all families share. */
export const nodePorts = { cluster: 30080, local: 30081, udp: 30053 };

/** Addresses of the load balancer of Service `web`, which `outside` routes to the first node. */
const loadBalancer = { IPv4: "192.168.90.200", IPv6: "fd00:10:89:1::200" };

/**
 * Servers and clients on every node, and Services for the servers:
 *
 *   web        TCP and UDP, ClusterIP, node ports, an address of a load balancer
 *   web-local  the same servers with externalTrafficPolicy and internalTrafficPolicy Local
 *
 * `clients` describes traffic to all of them.
 */
export class Workload {
  private constructor(
    private readonly cluster: Cluster,
    readonly serverPods: readonly string[],
    /** A client pod on each node. */
    readonly clientPods: readonly string[],
    private readonly web: readonly string[],
    private readonly webLocal: readonly string[],
  ) {}

  /** Creates the objects, and waits for the pods. */
  static async create(cluster: Cluster): Promise<Workload> {
    await cluster.apply(
      { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } },
      podOnEachNode("server", netexec),
      podOnEachNode("client", ["pause"]),
      service(
        "web",
        { type: "LoadBalancer", allocateLoadBalancerNodePorts: true },
        nodePorts.cluster,
        nodePorts.udp,
      ),
      service("web-local", {
        type: "NodePort",
        externalTrafficPolicy: "Local",
        internalTrafficPolicy: "Local",
      }, nodePorts.local),
    );
    await cluster.rolledOut(NAMESPACE, "daemonset/server");
    await cluster.rolledOut(NAMESPACE, "daemonset/client");
    const web = await addressesOf(cluster, "web");
    await publishLoadBalancer(cluster, web);
    return new Workload(
      cluster,
      await podsOf(cluster, "server"),
      await podsOf(cluster, "client"),
      web,
      await addressesOf(cluster, "web-local"),
    );
  }

  /** Traffic from a pod on every node, and from outside: new and held connections, and UDP, in all families. */
  async clients(): Promise<readonly Client[]> {
    const nodes = await Promise.all(this.cluster.nodes.map((node) => this.cluster.addressesOf(node)));
    return [
      ...this.clientPods.map((pod) => ({ place: inPod(NAMESPACE, pod), flows: this.#flowsFromPod(nodes) })),
      { place: outside, flows: this.#flowsFromOutside(nodes) },
    ];
  }

  #flowsFromPod(nodes: readonly (readonly string[])[]): Flow[] {
    const [firstNode] = nodes;
    return [
      ...this.web.flatMap((address, index) => [
        short(`ClusterIP ${address}`, address, 80),
        ...several(3, (number) => held(`held ClusterIP ${address} (${number})`, address, 80)),
        udp(`UDP ClusterIP ${address}`, address, 53, 5300 + index),
      ]),
      ...this.webLocal.map((address) => short(`internal Local ${address}`, address, 80)),
      ...(firstNode ?? []).map((address) => short(`node port ${address}`, address, nodePorts.cluster)),
    ];
  }

  #flowsFromOutside(nodes: readonly (readonly string[])[]): Flow[] {
    return [
      ...nodes.flat().flatMap((address, index) => [
        short(`node port ${address}`, address, nodePorts.cluster),
        short(`Local node port ${address}`, address, nodePorts.local),
        ...several(3, (number) => held(`held node port ${address} (${number})`, address, nodePorts.cluster)),
        held(`held Local node port ${address}`, address, nodePorts.local),
        udp(`UDP node port ${address}`, address, nodePorts.udp, 5310 + index),
      ]),
      ...this.web.map((address) => loadBalancer[familyOf(address)]).flatMap((address) => [
        short(`load balancer ${address}`, address, 80),
        held(`held load balancer ${address}`, address, 80),
      ]),
    ];
  }
}

/**
 * A DaemonSet. Its servers answer for 5 s after they are told to end, as servers do that drain their connections.
 */
export function podOnEachNode(name: string, args: readonly string[]): KubernetesObject {
  return {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name, namespace: NAMESPACE },
    spec: {
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: podSpec(args) },
    },
  };
}

/** Arguments of agnhost: the servers. */
export const netexec = [
  "netexec",
  `--http-port=${HTTP_PORT}`,
  `--udp-port=${UDP_PORT}`,
  "--delay-shutdown=5",
];

/** A pod that runs agnhost with these arguments, ready when it serves. */
export function podSpec(args: readonly string[]): KubernetesObject {
  const serves = args[0] === "netexec";
  return {
    terminationGracePeriodSeconds: serves ? 15 : 0,
    tolerations: [{ operator: "Exists" }],
    containers: [{
      name: "agnhost",
      image: AGNHOST,
      imagePullPolicy: "IfNotPresent",
      args,
      ...(serves
        ? { readinessProbe: { httpGet: { path: "/healthz", port: HTTP_PORT }, periodSeconds: 1 } }
        : {}),
    }],
  };
}

/** A dual-stack Service for the pods `server`, in the families that the cluster has. */
export function service(
  name: string,
  spec: KubernetesObject,
  nodePort?: number,
  udpNodePort?: number,
): KubernetesObject {
  const port = (name: string, protocol: string, port: number, targetPort: number, nodePort?: number) => ({
    name,
    protocol,
    port,
    targetPort,
    ...(nodePort === undefined ? {} : { nodePort }),
  });
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: NAMESPACE },
    spec: {
      selector: { app: "server" },
      ipFamilyPolicy: "PreferDualStack",
      ports: [
        port("http", "TCP", 80, HTTP_PORT, nodePort),
        port("udp", "UDP", 53, UDP_PORT, udpNodePort),
      ],
      ...spec,
    },
  };
}

/** Names of the pods with this label `app`, by node. */
export async function podsOf(cluster: Cluster, app: string): Promise<readonly string[]> {
  const { items } = await cluster.get("--namespace", NAMESPACE, "pods", "--selector", `app=${app}`);
  return items.sort((a: KubernetesObject, b: KubernetesObject) => a.spec.nodeName < b.spec.nodeName ? -1 : 1)
    .map(({ metadata }: KubernetesObject) => metadata.name);
}

async function addressesOf(cluster: Cluster, name: string): Promise<readonly string[]> {
  return (await cluster.get("--namespace", NAMESPACE, "service", name)).spec.clusterIPs;
}

/** Does what the controller of a load balancer does, with the first node as the only one. */
async function publishLoadBalancer(cluster: Cluster, addresses: readonly string[]): Promise<void> {
  const ingress = addresses.map((address) => ({ ip: loadBalancer[familyOf(address)] }));
  const patch = JSON.stringify({ status: { loadBalancer: { ingress } } });
  await cluster.kubectl(
    ...["--namespace", NAMESPACE, "patch", "service", "web", "--subresource", "status"],
    ...["--type", "merge", "--patch", patch],
  );
  const [node] = cluster.nodes;
  for (const address of await cluster.addressesOf(node!)) {
    await cluster.run(outside, "ip", "route", "replace", loadBalancer[familyOf(address)], "via", address);
  }
}

function familyOf(address: string): "IPv4" | "IPv6" {
  return address.includes(":") ? "IPv6" : "IPv4";
}

function several<T>(count: number, make: (number: number) => T): readonly T[] {
  return Array.from({ length: count }, (_, index) => make(index + 1));
}
