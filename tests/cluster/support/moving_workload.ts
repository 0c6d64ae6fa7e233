import type { Cluster, KubernetesObject } from "./cluster.ts";
import { type Flow, held, short, udp } from "./flows.ts";
import { inPod, outside } from "./places.ts";
import type { Client } from "./traffic.ts";
import { NAMESPACE, netexec, podOnEachNode, podSpec, service } from "./workload.ts";

/** Node ports of the Services. */
export const nodePorts = { web: 30080, udp: 30053, local: 30081, localHealth: 30990 };

/** Addresses of the balancer in front of Service `local`. */
export const balanced = { IPv4: "192.168.90.210", IPv6: "fd00:10:89:1::210" };

/**
 * A Deployment whose pods move from node to node, and clients that stay:
 *
 *   web    TCP and UDP, ClusterIP and node ports
 *   local  the same servers with externalTrafficPolicy Local, for a balancer that asks the health-check node port
 *
 * The servers do what makes moving them safe: a readiness probe, a pause before they end (preStop) in which they
 * still answer, and a PodDisruptionBudget.
 */
export class MovingWorkload {
  private constructor(private readonly cluster: Cluster, private readonly addresses: readonly string[]) {}

  /** Creates the objects, and waits for the pods. */
  static async create(cluster: Cluster): Promise<MovingWorkload> {
    await cluster.apply(
      { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } },
      deployment,
      disruptionBudget,
      podOnEachNode("client", ["pause"]),
      service("web", { type: "NodePort" }, nodePorts.web, nodePorts.udp),
      service("local", {
        type: "LoadBalancer",
        externalTrafficPolicy: "Local",
        healthCheckNodePort: nodePorts.localHealth,
      }, nodePorts.local),
    );
    await cluster.rolledOut(NAMESPACE, "deployment/server");
    await cluster.rolledOut(NAMESPACE, "daemonset/client");
    const { spec } = await cluster.get("--namespace", NAMESPACE, "service", "web");
    return new MovingWorkload(cluster, spec.clusterIPs);
  }

  /** Traffic from a pod on each of these nodes, and from outside through the node ports of these nodes. */
  async clients(nodes: readonly string[]): Promise<readonly Client[]> {
    const pods = await clientsOn(this.cluster, nodes);
    const addresses = (await Promise.all(nodes.map((node) => this.cluster.addressesOf(node)))).flat();
    return [
      ...pods.map((pod) => ({ place: inPod(NAMESPACE, pod), flows: this.#flowsFromPod(addresses) })),
      { place: outside, flows: flowsFromOutside(addresses) },
    ];
  }

  #flowsFromPod(nodes: readonly string[]): Flow[] {
    return [
      ...this.addresses.flatMap((address, index) => [
        often(short(`ClusterIP ${address}`, address, 80)),
        held(`held ClusterIP ${address}`, address, 80),
        udp(`UDP ClusterIP ${address}`, address, 53, 5300 + index),
      ]),
      ...nodes.slice(0, 1).map((address) => often(short(`node port ${address}`, address, nodePorts.web))),
    ];
  }

  /** Changes the number of servers, and waits until they are ready and superfluous ones are gone. */
  async scale(replicas: number): Promise<void> {
    await this.cluster.kubectl(
      ...["--namespace", NAMESPACE, "scale", "deployment/server", `--replicas=${replicas}`],
    );
    await this.settled();
  }

  /** Replaces all servers, and waits until the old ones are gone. */
  async rollOut(): Promise<void> {
    await this.cluster.kubectl("--namespace", NAMESPACE, "rollout", "restart", "deployment/server");
    await this.settled();
  }

  /** Waits until all servers are ready, and none is being terminated. */
  async settled(): Promise<void> {
    await this.cluster.rolledOut(NAMESPACE, "deployment/server");
    await this.cluster.until("the old servers to be gone", async () => {
      const pods = await this.servers();
      return pods.every(({ metadata }) => metadata.deletionTimestamp === undefined);
    });
  }

  async servers(): Promise<readonly KubernetesObject[]> {
    return (await this.cluster.get("--namespace", NAMESPACE, "pods", "--selector", "app=server")).items;
  }

  /** Names of the servers on a node. */
  async serversOn(node: string): Promise<ReadonlySet<string>> {
    const servers = await this.servers();
    return new Set(servers.filter(({ spec }) => spec.nodeName === node).map(({ metadata }) => metadata.name));
  }
}

/** Names of the client pods on these nodes. */
async function clientsOn(cluster: Cluster, nodes: readonly string[]): Promise<readonly string[]> {
  const { items } = await cluster.get("--namespace", NAMESPACE, "pods", "--selector", "app=client");
  return items.filter(({ spec }: KubernetesObject) => nodes.includes(spec.nodeName))
    .map(({ metadata }: KubernetesObject) => metadata.name);
}

function flowsFromOutside(nodes: readonly string[]): Flow[] {
  return [
    ...nodes.flatMap((address, index) => [
      often(short(`node port ${address}`, address, nodePorts.web)),
      held(`held node port ${address}`, address, nodePorts.web),
      udp(`UDP node port ${address}`, address, nodePorts.udp, 5310 + index),
    ]),
    ...Object.values(balanced).map((address) => often(short(`balanced ${address}`, address, 80))),
  ];
}

/** 5 connections per second, because the nodes share the processors with 30 pods that start. */
function often(flow: Flow): Flow {
  return { ...flow, everyMs: 200 };
}

const deployment = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "server", namespace: NAMESPACE },
  spec: {
    replicas: 6,
    selector: { matchLabels: { app: "server" } },
    strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: "10%" } },
    template: { metadata: { labels: { app: "server" } }, spec: serverSpec() },
  },
};

const disruptionBudget = {
  apiVersion: "policy/v1",
  kind: "PodDisruptionBudget",
  metadata: { name: "server", namespace: NAMESPACE },
  spec: { maxUnavailable: 1, selector: { matchLabels: { app: "server" } } },
};

function serverSpec(): KubernetesObject {
  const spec = podSpec(netexec.filter((argument) => !argument.startsWith("--delay-shutdown")));
  const [container] = spec.containers;
  return {
    ...spec,
    // A pod that tolerates everything would come back to a node that is drained.
    tolerations: [],
    // Equal numbers on all nodes, except on those that are drained or down.
    topologySpreadConstraints: [{
      maxSkew: 1,
      topologyKey: "kubernetes.io/hostname",
      whenUnsatisfiable: "DoNotSchedule",
      nodeTaintsPolicy: "Honor",
      labelSelector: { matchLabels: { app: "server" } },
      matchLabelKeys: ["pod-template-hash"],
    }],
    containers: [{ ...container, lifecycle: { preStop: { sleep: { seconds: 5 } } } }],
  };
}
