import assert from "node:assert/strict";
import { Cluster } from "./support/cluster.ts";
import { inPod, onNode, outside, type Place } from "./support/places.ts";
import { Addresses, families, type Family, gatewayOf, outsideAddress } from "./support/programs/addresses.ts";
import { ForeignRules } from "./support/programs/iptables.ts";
import { kubeRouterRules, type PodPolicy } from "./support/programs/kube_router.ts";
import { Namespace } from "./support/programs/namespace.ts";
import { type Question, unexpected } from "./support/programs/observed.ts";
import { restartProxy, subjects } from "./support/programs/subjects.ts";
import { type Answer, urlsOf, webPod, webService } from "./support/programs/web.ts";

const namespace = "network-policy";
const localPort = 30820, clusterPort = 30821;
const serviceRange = { IPv4: "10.96.0.0/16", IPv6: "fd00:10:96::/112" };

Deno.test("Services are subject to kube-router's network policies", async (t) => {
  await using cluster = await Cluster.start({ nodes: 2, subject: subjects[0] });
  const [first = "", second = ""] = cluster.nodes;
  await using _pods = await Namespace.create(cluster, namespace, [
    webPod(namespace, { name: "guarded", node: first }),
    webPod(namespace, { name: "confined", node: first }),
    webPod(namespace, { name: "open", node: second }),
    webPod(namespace, { name: "friend-near", node: first }),
    webPod(namespace, { name: "friend-far", node: second }),
    webPod(namespace, { name: "stranger-near", node: first }),
    webPod(namespace, { name: "stranger-far", node: second }),
    webService(namespace, "open"),
    webService(namespace, "guarded", { nodePort: localPort, externalTrafficPolicy: "Local" }),
    webService(namespace, "guarded-cluster", { nodePort: clusterPort, selector: { app: "guarded" } }),
  ]);
  const addresses = await Addresses.read(cluster, namespace);
  for (const subject of subjects) {
    await cluster.deploy(subject);
    for (const outsideIsAllowed of [false, true]) {
      const ask = async () => {
        const questions = questionsOf(addresses, first, second, outsideIsAllowed);
        assert.deepEqual(await unexpected(cluster, questions), []);
      };
      await using rules = new AsyncDisposableStack();
      for (const family of families) {
        const text = kubeRouterRules(policiesOf(addresses, family, outsideIsAllowed), serviceRange[family]);
        rules.use(await ForeignRules.add(cluster, first, family, text));
      }
      const policy = outsideIsAllowed ? "pods and a client outside are allowed" : "pods are allowed";
      // Mode ebpf looks for policy engines at this interval.
      if (subject === "ebpf") await new Promise((resolve) => setTimeout(resolve, 31_000));
      await t.step(`beside ${subject}, ${policy}`, ask);
      await t.step(`after a restart of ${subject}, ${policy}`, async () => {
        await restartProxy(cluster, first);
        await ask();
      });
    }
  }
});

/** Pod "guarded" may be reached by friends, and pod "confined" may reach pod "open". */
function policiesOf(addresses: Addresses, family: Family, outsideIsAllowed: boolean): PodPolicy[] {
  const of = (name: string) => addresses.get(name, family);
  const friends = [
    of("friend-near"),
    of("friend-far"),
    ...(outsideIsAllowed ? [outsideAddress[family]] : []),
  ];
  return [
    { name: "GUARDED", pod: of("guarded"), direction: "ingress", allowed: friends, port: 8080 },
    { name: "CONFINED", pod: of("confined"), direction: "egress", allowed: [of("open")], port: 8080 },
  ];
}

function questionsOf(
  addresses: Addresses,
  first: string,
  second: string,
  outsideIsAllowed: boolean,
): Question[] {
  return families.flatMap((family) => {
    const of = (name: string) => addresses.get(name, family);
    const pod = (name: string) => inPod(namespace, name);
    const tcp = (from: Place, address: string, port: number, expected: Answer): Question => {
      const [to = ""] = urlsOf(address, port);
      return { from, to, expected };
    };
    const guarded = [[of("guarded"), 8080], [of("service guarded"), 80], [
      of("service guarded-cluster"),
      80,
    ]] as const;
    const allowed = ["friend-near", "friend-far"].flatMap((client) =>
      guarded.map(([address, port]) => tcp(pod(client), address, port, `guarded sees ${of(client)}`))
    );
    const rejected = [pod("stranger-near"), pod("stranger-far"), onNode(second)].flatMap((client) =>
      guarded.map(([address, port]) => tcp(client, address, port, "rejected"))
    );
    // Policies allow TCP only, so UDP is rejected.
    const udp = guarded.map(([address, port]): Question => {
      const [, to = ""] = urlsOf(address, port);
      return { from: pod("friend-far"), to, expected: "rejected" };
    });
    // kube-router lets the node of the pod pass, for probes.
    const probes = [
      tcp(onNode(first), of("guarded"), 8080, `guarded sees ${gatewayOf(of("guarded"))}`),
    ];
    const egress = [
      tcp(pod("confined"), of("open"), 8080, `open sees ${of("confined")}`),
      tcp(pod("confined"), of("service open"), 80, `open sees ${of("confined")}`),
      tcp(pod("confined"), of("guarded"), 8080, "rejected"),
      tcp(pod("confined"), of("service guarded"), 80, "rejected"),
      tcp(pod("confined"), of(first), localPort, "rejected"),
    ];
    const fromOutside = [
      tcp(
        outside,
        of("guarded"),
        8080,
        outsideIsAllowed ? `guarded sees ${outsideAddress[family]}` : "rejected",
      ),
      tcp(
        outside,
        of(first),
        localPort,
        outsideIsAllowed ? `guarded sees ${outsideAddress[family]}` : "rejected",
      ),
      tcp(
        outside,
        of(first),
        clusterPort,
        outsideIsAllowed ? `guarded sees ${gatewayOf(of("guarded"))}` : "rejected",
      ),
      // The other node masquerades, so the policy sees a node instead of the client.
      tcp(outside, of(second), clusterPort, "rejected"),
    ];
    return [...allowed, ...rejected, ...udp, ...probes, ...egress, ...fromOutside];
  });
}
