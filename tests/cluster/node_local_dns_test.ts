import assert from "node:assert/strict";
import { Cluster, type KubernetesObject, type Subject } from "./support/cluster.ts";
import { ForeignRules } from "./support/programs/iptables.ts";
import { Namespace } from "./support/programs/namespace.ts";
import {
  nodeLocalAddress,
  NodeLocalDevice,
  nodeLocalDns,
  nodeLocalDnsRules,
  upstreamService,
} from "./support/programs/node_local_dns.ts";
import { restartProxy, subjects } from "./support/programs/subjects.ts";
import { podAddresses } from "./support/programs/web.ts";
import { AGNHOST } from "./support/workload.ts";

const namespace = "node-local-dns", clientNamespace = "dns-clients";
const clusterDns = "10.96.0.10";
const addresses = [nodeLocalAddress, clusterDns];

Deno.test("NodeLocal DNSCache answers on its node, and the Service answers when it is removed", async (t) => {
  await using cluster = await Cluster.start({ nodes: 2, subject: subjects[0] });
  await using upstream = await Upstream.create(cluster);
  await using _clients = await Namespace.create(cluster, clientNamespace, cluster.nodes.flatMap(clients));
  await podAddresses(cluster, clientNamespace);
  for (const subject of subjects) {
    await t.step(`beside ${subject}`, async () => {
      await cluster.deploy(subject);
      assert.deepEqual(await wrongAnswers(cluster, withoutCache), []);
      await using cache = new AsyncDisposableStack();
      for (const node of cluster.nodes) cache.use(await NodeLocalDevice.create(cluster, node, addresses));
      cache.use(await Namespace.create(cluster, namespace, nodeLocalDns(namespace, upstream.address)));
      await cluster.rolledOut(namespace, "daemonset/node-local-dns");
      for (const node of cluster.nodes) {
        cache.use(await ForeignRules.add(cluster, node, "IPv4", nodeLocalDnsRules(addresses)));
      }
      assert.deepEqual(await wrongAnswers(cluster, withCache(subject)), [], "with the cache");
      await restartProxy(cluster, cluster.nodes[0]!);
      assert.deepEqual(await wrongAnswers(cluster, withCache(subject)), [], `after a restart of ${subject}`);
      await cache.disposeAsync();
      assert.deepEqual(await wrongAnswers(cluster, withoutCache), [], "after the cache is removed");
    });
  }
});

/** A question, the server that gets it, and the answer. NODE is the name of the client's node. */
interface Query {
  readonly server: string;
  readonly name: string;
  readonly answer: string;
}

/** "" stands for no address: the name is not known. */
const withoutCache: readonly Query[] = [
  { server: clusterDns, name: "kubernetes.default.svc.cluster.local", answer: "10.96.0.1" },
  { server: clusterDns, name: "NODE.cache.test", answer: "" },
];

function withCache(subject: Subject): readonly Query[] {
  return [
    { server: nodeLocalAddress, name: "kubernetes.default.svc.cluster.local", answer: "10.96.0.1" },
    { server: nodeLocalAddress, name: "NODE.cache.test", answer: "192.0.2.53" },
    { server: clusterDns, name: "kubernetes.default.svc.cluster.local", answer: "10.96.0.1" },
    // In mode ebpf, a socket is connected to an endpoint of the Service before the rules of the cache see a packet.
    { server: clusterDns, name: "NODE.cache.test", answer: subject === "ebpf" ? "" : "192.0.2.53" },
  ];
}

/** Sends all queries from every client, by UDP from any port and from a fixed one, and by TCP. */
async function wrongAnswers(cluster: Cluster, queries: readonly Query[]): Promise<string[]> {
  const script = queries.flatMap(({ server, name }) =>
    ["", "-b 0.0.0.0#45353", "+tcp"].map((options) =>
      `echo "${options} @${server} ${name} $(dig +short +tries=2 +time=3 ${options} @${server} ${name} | paste -sd ,)"`
    )
  );
  const expected = queries.flatMap(({ server, name, answer }) =>
    ["", "-b 0.0.0.0#45353", "+tcp"].map((options) => `${options} @${server} ${name} ${answer}`)
  );
  const wrong = await Promise.all(cluster.nodes.flatMap((node) =>
    ["pod", "host"].map(async (kind) => {
      const pod = `${kind}-${node}`;
      const command = script.join("; ").replaceAll("NODE", node);
      const output = await cluster.kubectl(
        "--namespace",
        clientNamespace,
        "exec",
        pod,
        "--",
        "bash",
        "-c",
        command,
      );
      const lines = output.replaceAll(node, "NODE").replace(/\n$/, "").split("\n");
      return expected.flatMap((line, index) =>
        lines[index] === line ? [] : [`${pod}: ${lines[index]}, expected: ${line}`]
      );
    })
  ));
  return wrong.flat();
}

/** The Service that the cache forwards to, with the lifetime of the test. */
class Upstream implements AsyncDisposable {
  private constructor(private readonly cluster: Cluster, readonly address: string) {}

  static async create(cluster: Cluster): Promise<Upstream> {
    await cluster.apply(upstreamService);
    const { spec } = await cluster.get("--namespace", "kube-system", "service", "kube-dns-upstream");
    return new Upstream(cluster, spec.clusterIP);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster.kubectl("--namespace", "kube-system", "delete", "service", "kube-dns-upstream");
  }
}

/** A pod and a program of the node that resolve names. */
function clients(node: string): KubernetesObject[] {
  return [false, true].map((hostNetwork) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `${hostNetwork ? "host" : "pod"}-${node}`, namespace: clientNamespace },
    spec: {
      nodeName: node,
      hostNetwork,
      dnsPolicy: hostNetwork ? "ClusterFirstWithHostNet" : "ClusterFirst",
      terminationGracePeriodSeconds: 0,
      containers: [{
        name: "client",
        image: AGNHOST,
        args: ["pause"],
      }],
    },
  }));
}
