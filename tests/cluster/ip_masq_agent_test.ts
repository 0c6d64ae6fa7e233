import assert from "node:assert/strict";
import { Cluster, type KubernetesObject } from "./support/cluster.ts";
import { inPod, onNode, outside } from "./support/places.ts";
import { ipMasqAgentRules } from "./support/programs/ip_masq_agent.ts";
import { ForeignRules } from "./support/programs/iptables.ts";
import { Namespace } from "./support/programs/namespace.ts";
import { type Question, unexpected } from "./support/programs/observed.ts";
import { OutsideServer } from "./support/programs/outside_server.ts";
import { restartProxy, subjects } from "./support/programs/subjects.ts";
import { podAddresses, serviceAddresses, urlsOf, webPod, webService } from "./support/programs/web.ts";

const namespace = "ip-masq-agent";
const localPort = 30810, clusterPort = 30811, externalPort = 30812;

Deno.test("ip-masq-agent masquerades what leaves the cluster, and Services keep the addresses of clients", async (t) => {
  await using cluster = await Cluster.start({ nodes: 2, subject: subjects[0] });
  const [first = "", second = ""] = cluster.nodes;
  await using server = await OutsideServer.start(cluster);
  await using _pods = await Namespace.create(cluster, namespace, [
    webPod(namespace, { name: "client", node: first }),
    webPod(namespace, { name: "web", node: second }),
    webService(namespace, "web", { nodePort: localPort, externalTrafficPolicy: "Local" }),
    webService(namespace, "web-cluster", { nodePort: clusterPort, selector: { app: "web" } }),
    webService(namespace, "external", { nodePort: externalPort, selector: {} }),
    endpointOutside(server),
  ]);
  const ask = async (masqueraded: boolean) => {
    const questions = await questionsOf(cluster, first, second, server, masqueraded);
    assert.deepEqual(await unexpected(cluster, questions), []);
  };

  await t.step("without the agent, a server outside the cluster sees the pod", () => ask(false));
  await using rules = new AsyncDisposableStack();
  for (const node of cluster.nodes) {
    rules.use(await ForeignRules.add(cluster, node, "IPv4", ipMasqAgentRules));
  }
  for (const subject of subjects) {
    await t.step(`beside ${subject}`, async () => {
      await cluster.deploy(subject);
      await ask(true);
    });
    await t.step(`after a restart of ${subject}`, async () => {
      await restartProxy(cluster, first);
      await ask(true);
    });
  }
});

/** Endpoint of Service "external". */
function endpointOutside({ publicAddress, port }: OutsideServer): KubernetesObject {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "external", namespace, labels: { "kubernetes.io/service-name": "external" } },
    addressType: "IPv4",
    endpoints: [{ addresses: [publicAddress] }],
    ports: ["TCP", "UDP"].map((protocol) => ({ name: protocol.toLowerCase(), protocol, port })),
  };
}

async function questionsOf(
  cluster: Cluster,
  first: string,
  second: string,
  server: OutsideServer,
  masqueraded: boolean,
): Promise<Question[]> {
  const { client: [pod = ""] = [], web: [web = ""] = [] } = await podAddresses(cluster, namespace);
  const services = await serviceAddresses(cluster, namespace);
  const [near = ""] = await cluster.addressesOf(first);
  const [far = ""] = await cluster.addressesOf(second);
  const client = inPod(namespace, "client");
  const leaving = `${server.name} sees ${masqueraded ? near : pod}` as const;
  const table = [
    // Beyond the ranges of the agent, and within.
    { from: client, to: server.publicAddress, port: server.port, expected: leaving },
    { from: client, to: server.privateAddress, port: server.port, expected: `${server.name} sees ${pod}` },
    { from: client, to: services["external"]?.[0], port: 80, expected: leaving },
    // Pods and Services.
    { from: client, to: web, port: 8080, expected: `web sees ${pod}` },
    { from: client, to: services["web"]?.[0], port: 80, expected: `web sees ${pod}` },
    { from: onNode(first), to: services["web"]?.[0], port: 80, expected: `web sees ${near}` },
    { from: onNode(first), to: services["external"]?.[0], port: 80, expected: `${server.name} sees ${near}` },
    // Clients from outside, who keep their address with externalTrafficPolicy Local.
    { from: outside, to: far, port: localPort, expected: "web sees 192.168.89.1" },
    { from: outside, to: near, port: clusterPort, expected: `web sees ${near}` },
    { from: outside, to: near, port: externalPort, expected: `${server.name} sees ${near}` },
  ] as const;
  return table.flatMap(({ from, to, port, expected }) =>
    urlsOf(to ?? "", port).map((url) => ({ from, to: url, expected }))
  );
}
