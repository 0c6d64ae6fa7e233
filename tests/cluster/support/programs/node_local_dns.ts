import type { Cluster, KubernetesObject } from "../cluster.ts";
import { onNode } from "../places.ts";

/** Address that NodeLocal DNSCache has on every node, beside that of the Service of the cluster's DNS. */
export const nodeLocalAddress = "169.254.20.10";

/**
 * Rules that NodeLocal DNSCache (kubernetes/dns, node-cache) writes for its addresses, in the format of
 * iptables-save. Packets that are not tracked are not translated, so they reach the cache.
 */
export function nodeLocalDnsRules(addresses: readonly string[]): string {
  const raw: string[] = [], filter: string[] = [];
  for (const address of addresses) {
    for (const protocol of ["tcp", "udp"]) {
      const to = `-p ${protocol} -d ${address} --dport 53`, from = `-p ${protocol} -s ${address} --sport 53`;
      raw.push(`PREROUTING ${to} -j NOTRACK`, `OUTPUT ${from} -j NOTRACK`, `OUTPUT ${to} -j NOTRACK`);
      filter.push(`INPUT ${to} -j ACCEPT`, `OUTPUT ${from} -j ACCEPT`);
    }
    raw.push(`OUTPUT -p tcp -d ${address} --dport 8080 -j NOTRACK`);
    raw.push(`OUTPUT -p tcp -s ${address} --sport 8080 -j NOTRACK`);
  }
  return [...table("raw", raw), ...table("filter", filter), ""].join("\n");
}

function table(name: string, rules: readonly string[]): string[] {
  return [`*${name}`, ...rules.map((rule) => `-I ${rule}`), "COMMIT"];
}

/**
 * The device with the addresses of the cache. As node-cache leaves it, it is down: local addresses need no more. A
 * bridge without ports serves where the kernel has no dummy devices.
 */
export class NodeLocalDevice implements AsyncDisposable {
  private constructor(private readonly cluster: Cluster, private readonly node: string) {}

  static async create(
    cluster: Cluster,
    node: string,
    addresses: readonly string[],
  ): Promise<NodeLocalDevice> {
    const add = "ip link add nodelocaldns type dummy 2>/dev/null || ip link add nodelocaldns type bridge";
    await cluster.run(onNode(node), "bash", "-c", add);
    const device = new NodeLocalDevice(cluster, node);
    for (const address of addresses) {
      await cluster.run(onNode(node), "ip", "address", "add", `${address}/32`, "dev", "nodelocaldns");
    }
    return device;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster.run(onNode(this.node), "ip", "link", "delete", "nodelocaldns");
  }
}

/** The Service that the cache forwards to. It has the endpoints of the cluster's DNS, and another address. */
export const upstreamService: KubernetesObject = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "kube-dns-upstream", namespace: "kube-system", labels: { "k8s-app": "kube-dns" } },
  spec: {
    selector: { "k8s-app": "kube-dns" },
    ports: [
      { name: "dns", port: 53, protocol: "UDP" },
      { name: "dns-tcp", port: 53, protocol: "TCP" },
    ],
  },
};

/**
 * The cache on every node: CoreDNS with the configuration of NodeLocal DNSCache. It listens on every address of the
 * node instead of two. The name `NODE.cache.test` resolves to 192.0.2.53 in the cache of this node only.
 */
export function nodeLocalDns(namespace: string, upstream: string): readonly KubernetesObject[] {
  const corefile = `
cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {
    errors
    cache {
        success 9984 30
        denial 9984 5
    }
    loop
    forward . ${upstream} {
        force_tcp
    }
    health ${nodeLocalAddress}:8080
}
cache.test:53 {
    errors
    hosts {
        192.0.2.53 {$NODE_NAME}.cache.test
    }
}
`;
  const labels = { "k8s-app": "node-local-dns" };
  return [
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "node-local-dns", namespace },
      data: { Corefile: corefile },
    },
    {
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      metadata: { name: "node-local-dns", namespace },
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            hostNetwork: true,
            dnsPolicy: "Default",
            terminationGracePeriodSeconds: 1,
            containers: [{
              name: "node-cache",
              image: "registry.k8s.io/coredns/coredns:v1.14.7",
              args: ["-conf", "/etc/coredns/Corefile"],
              env: [{ name: "NODE_NAME", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } }],
              readinessProbe: {
                httpGet: { host: nodeLocalAddress, path: "/health", port: 8080 },
                periodSeconds: 1,
              },
              volumeMounts: [{ name: "config", mountPath: "/etc/coredns" }],
            }],
            volumes: [{ name: "config", configMap: { name: "node-local-dns" } }],
          },
        },
      },
    },
  ];
}
