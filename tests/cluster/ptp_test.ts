import assert from "node:assert/strict";
import { Cluster, type Subject } from "./support/cluster.ts";
import { inPod, onNode, outside } from "./support/places.ts";
import { Addresses, families, gatewayOf, outsideAddress } from "./support/programs/addresses.ts";
import { Namespace } from "./support/programs/namespace.ts";
import { both, type Question, unexpected } from "./support/programs/observed.ts";
import { restartProxy, subjects } from "./support/programs/subjects.ts";
import { webPod, webService } from "./support/programs/web.ts";

const namespace = "ptp";
const hostPort = 8889;
const localPort = 30840, nearPort = 30841, farPort = 30842;

Deno.test("Services work with the CNI plugin ptp, which gives each pod a device instead of a bridge port", async (t) => {
  await using cluster = await Cluster.start({ nodes: 2, subject: subjects[0], cni: "ptp" });
  const [first = "", second = ""] = cluster.nodes;
  await using _pods = await Namespace.create(cluster, namespace, [
    webPod(namespace, { name: "client", node: first }),
    webPod(namespace, { name: "near", node: first, hostPort }),
    webPod(namespace, { name: "far", node: second }),
    webService(namespace, "near", { nodePort: localPort, externalTrafficPolicy: "Local" }),
    webService(namespace, "near-cluster", { nodePort: nearPort, selector: { app: "near" } }),
    webService(namespace, "far", { nodePort: farPort }),
  ]);
  for (const subject of subjects) {
    const ask = async () => {
      const addresses = await Addresses.read(cluster, namespace);
      assert.deepEqual(await unexpected(cluster, questionsOf(addresses, first, second, subject)), []);
    };
    await t.step(`${subject}`, async () => {
      await cluster.deploy(subject);
      await ask();
    });
    await t.step(`${subject} after a restart, and with new pods`, async () => {
      await restartProxy(cluster, first);
      await cluster.kubectl("--namespace", namespace, "delete", "pod", "client", "--wait");
      await cluster.apply(webPod(namespace, { name: "client", node: first }));
      await ask();
    });
  }
});

function questionsOf(addresses: Addresses, first: string, second: string, subject: Subject): Question[] {
  const client = inPod(namespace, "client"), near = inPod(namespace, "near");
  return families.flatMap((family) => {
    const of = (name: string) => addresses.get(name, family);
    const gateway = gatewayOf(of("near"));
    return [
      both(client, of("near"), 8080, `near sees ${of("client")}`),
      both(client, of("service near"), 80, `near sees ${of("client")}`),
      both(client, of("service far"), 80, `far sees ${of("client")}`),
      both(client, of(first), farPort, `far sees ${subject === "ebpf" ? of("client") : of(first)}`),
      // A pod that reaches itself through its Service. Sockets are not masqueraded in mode ebpf.
      both(near, of("service near"), 80, `near sees ${subject === "ebpf" ? of("near") : gateway}`),
      both(onNode(first), of("service near"), 80, `near sees ${gateway}`),
      both(onNode(first), of("service far"), 80, `far sees ${of(first)}`),
      both(onNode(second), of("service near"), 80, `near sees ${of(second)}`),
      both(outside, of(first), localPort, `near sees ${outsideAddress[family]}`),
      both(outside, of(first), nearPort, `near sees ${gateway}`),
      both(outside, of(first), farPort, `far sees ${of(first)}`),
      both(outside, of(second), nearPort, `near sees ${of(second)}`),
      both(outside, of(first), hostPort, `near sees ${outsideAddress[family]}`),
    ].flat();
  });
}
