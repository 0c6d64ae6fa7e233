import assert from "node:assert/strict";
import { Cluster } from "./support/cluster.ts";
import { inPod, onNode, outside } from "./support/places.ts";
import { Addresses, families, gatewayOf, outsideAddress } from "./support/programs/addresses.ts";
import { Namespace } from "./support/programs/namespace.ts";
import { both, type Question, unexpected } from "./support/programs/observed.ts";
import { restartProxy, subjects } from "./support/programs/subjects.ts";
import { urlsOf, webPod, webService } from "./support/programs/web.ts";

const namespace = "portmap";
const hostPort = 8888, nodePort = 30888, contestedPort = 30889;

Deno.test("host ports of portmap and Services work side by side", async (t) => {
  await using cluster = await Cluster.start({ nodes: 2, subject: subjects[0] });
  const [first = "", second = ""] = cluster.nodes;
  const mapped = webPod(namespace, { name: "mapped", node: first, hostPort });
  await using _pods = await Namespace.create(cluster, namespace, [
    mapped,
    webPod(namespace, { name: "near", node: first, of: "web" }),
    webPod(namespace, { name: "far", node: second, of: "web" }),
    webPod(namespace, { name: "contender", node: first, hostPort: contestedPort }),
    webService(namespace, "mapped"),
    webService(namespace, "contested", {
      nodePort: contestedPort,
      externalTrafficPolicy: "Local",
      selector: { app: "web" },
    }),
    webService(namespace, "web", { nodePort, externalTrafficPolicy: "Local" }),
  ]);
  const ask = async () =>
    assert.deepEqual(await unexpected(cluster, await questionsOf(cluster, first, second)), []);
  const askForContestedPort = async () => {
    const [node = ""] = await cluster.addressesOf(first);
    const [to = ""] = urlsOf(node, contestedPort);
    const expected = `near sees ${outsideAddress.IPv4}` as const;
    assert.deepEqual(await unexpected(cluster, [{ from: outside, to, expected }]), []);
  };

  for (const subject of subjects) {
    await t.step(`${subject} replaces what served Services, beside a pod with a host port`, async () => {
      await cluster.deploy(subject);
      await ask();
    });
    await t.step(`${subject} restarts`, async () => {
      await restartProxy(cluster, first);
      await ask();
    });
    await t.step(`the pod with a host port is replaced while ${subject} runs`, async () => {
      await cluster.kubectl("--namespace", namespace, "delete", "pod", "mapped", "--wait");
      await cluster.apply(mapped);
      await ask();
    });
    // In mode nftables, the order of our table and that of portmap decides.
    if (subject === "iptables" || subject === "ebpf") {
      await t.step(
        `beside ${subject}, a node port wins over a host port with its number`,
        askForContestedPort,
      );
    }
  }
});

/** Everyone asks the host port of the first node, and the Services of its pod and of others. */
async function questionsOf(cluster: Cluster, first: string, second: string): Promise<Question[]> {
  const addresses = await Addresses.read(cluster, namespace);
  const near = inPod(namespace, "near"), far = inPod(namespace, "far"), mapped = inPod(namespace, "mapped");
  return families.flatMap((family) => {
    const of = (name: string) => addresses.get(name, family);
    const gateway = gatewayOf(of("near"));
    return [
      both(outside, of(first), hostPort, `mapped sees ${outsideAddress[family]}`),
      both(onNode(first), of(first), hostPort, `mapped sees ${of(first)}`),
      both(onNode(second), of(first), hostPort, `mapped sees ${of(second)}`),
      both(far, of(first), hostPort, `mapped sees ${of("far")}`),
      // portmap masquerades connections within the range of the node's pods, for the sake of a pod that asks itself.
      both(near, of(first), hostPort, `mapped sees ${gateway}`),
      both(mapped, of(first), hostPort, `mapped sees ${gateway}`),
      // It supports loopback addresses for IPv4 only.
      family === "IPv4" ? both(onNode(first), "127.0.0.1", hostPort, `mapped sees ${gateway}`) : [],
      both(far, of("service mapped"), 80, `mapped sees ${of("far")}`),
      both(near, of("service mapped"), 80, `mapped sees ${of("near")}`),
      both(outside, of(first), nodePort, `near sees ${outsideAddress[family]}`),
      both(outside, of(second), nodePort, `far sees ${outsideAddress[family]}`),
    ].flat();
  });
}
