import assert from "node:assert/strict";
import { Cluster } from "./support/cluster.ts";
import { inPod, onNode, outside, type Place } from "./support/places.ts";
import { Addresses, families, gatewayOf, outsideAddress } from "./support/programs/addresses.ts";
import {
  connectionMarkRules,
  hostEndpointRules,
  markRules,
  originalDestinationRules,
  preDnatRules,
} from "./support/programs/calico.ts";
import { ForeignRules } from "./support/programs/iptables.ts";
import { Namespace } from "./support/programs/namespace.ts";
import { type Question, unexpected } from "./support/programs/observed.ts";
import { subjects } from "./support/programs/subjects.ts";
import { type Answer, urlsOf, webPod, webService } from "./support/programs/web.ts";

const namespace = "host-policy";
const hostEndpointPort = 9376, hostNodePort = 30830, webNodePort = 30831;
const podRange = { IPv4: "10.244.0.0/16", IPv6: "fd00:10:244::/56" };

Deno.test("rules in the style of Calico see what kube-proxy shows them, with the named exceptions", async (t) => {
  await using cluster = await Cluster.start({ nodes: 2, subject: subjects[0] });
  const [first = "", second = ""] = cluster.nodes;
  await using _pods = await Namespace.create(cluster, namespace, [
    webPod(namespace, { name: "host", node: first, hostNetwork: true, port: hostEndpointPort }),
    webPod(namespace, { name: "web", node: first }),
    webPod(namespace, { name: "friend", node: second }),
    webPod(namespace, { name: "stranger", node: second }),
    webService(namespace, "host", { nodePort: hostNodePort, targetPort: hostEndpointPort }),
    webService(namespace, "web", { nodePort: webNodePort }),
  ]);
  const addresses = await Addresses.read(cluster, namespace);

  for (const subject of subjects) {
    await cluster.deploy(subject);
    const isEbpf = subject === "ebpf";
    for (const family of families) {
      const of = (name: string) => addresses.get(name, family);
      const friend = inPod(namespace, "friend"), stranger = inPod(namespace, "stranger");
      const tcp = (from: Place, address: string, port: number, expected: Answer): Question => {
        const [to = ""] = urlsOf(address, port);
        return { from, to, expected };
      };
      /** Adds rules on nodes, asks, and removes them. */
      const beside = async (nodes: readonly string[], rules: string, questions: readonly Question[]) => {
        await using added = new AsyncDisposableStack();
        for (const node of nodes) added.use(await ForeignRules.add(cluster, node, family, rules));
        assert.deepEqual(await unexpected(cluster, questions), []);
      };

      // The node itself is allowed for kubelet's probes, without which the pod would be no endpoint.
      const allowed = [of("friend"), of(first), outsideAddress[family]];
      await t.step(
        `${subject}: INPUT sees the client and the port of an endpoint on the node (${family})`,
        () =>
          beside([first], hostEndpointRules(hostEndpointPort, allowed), [
            tcp(friend, of("service host"), 80, `${first} sees ${of("friend")}`),
            tcp(stranger, of("service host"), 80, "no answer"),
            tcp(friend, of(first), hostNodePort, `${first} sees ${of("friend")}`),
            tcp(stranger, of(first), hostNodePort, "no answer"),
            tcp(outside, of(first), hostNodePort, `${first} sees ${outsideAddress[family]}`),
            // The other node masquerades.
            tcp(outside, of(second), hostNodePort, "no answer"),
          ]),
      );
      await t.step(
        `${subject}: marks of other programs are kept (${family})`,
        () =>
          beside(cluster.nodes, markRules(podRange[family]), [
            tcp(friend, of("service web"), 80, `web sees ${of("friend")}`),
            tcp(outside, of(first), webNodePort, `web sees ${gatewayOf(of("web"))}`),
            tcp(outside, of(second), webNodePort, `web sees ${of(second)}`),
            tcp(onNode(second), of("service web"), 80, `web sees ${of(second)}`),
          ]),
      );
      await t.step(
        `${subject}: rules before the translation see ${
          isEbpf ? "no packets from outside" : "the node port"
        } (${family})`,
        () =>
          beside([first], preDnatRules(webNodePort), [
            tcp(outside, of(first), webNodePort, isEbpf ? `web sees ${gatewayOf(of("web"))}` : "no answer"),
          ]),
      );
      await t.step(
        `${subject}: conntrack knows ${
          isEbpf ? "only the endpoint" : "the Service"
        } of a connection (${family})`,
        () =>
          beside([second], originalDestinationRules(of("stranger"), of("service web")), [
            tcp(friend, of("service web"), 80, `web sees ${of("friend")}`),
            tcp(stranger, of("service web"), 80, isEbpf ? `web sees ${of("stranger")}` : "rejected"),
          ]),
      );
      await t.step(
        `${subject}: a connection from outside ${
          isEbpf ? "has no conntrack entry" : "keeps the mark of its conntrack entry"
        } (${family})`,
        () =>
          beside([first], connectionMarkRules(8080), [
            tcp(outside, of(first), webNodePort, isEbpf ? `web sees ${gatewayOf(of("web"))}` : "rejected"),
          ]),
      );
    }
  }
});
