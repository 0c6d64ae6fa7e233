import assert from "node:assert/strict";
import { FAMILIES } from "../../../core/net/protocol.ts";
import { planOf } from "../../backends/ebpf/plans.ts";
import { planOf as planOfAnyMode } from "../../backends/plans.ts";
import { type Agent, isAnswered } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { machines, servedPorts } from "../../lab/topology.ts";
import { startEbpf } from "../support/ebpf_process.ts";
import { labSettings } from "../support/lab_settings.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { countedTraffic } from "./support/counted_traffic.ts";
import { type Scene, settings, socketErrorOf, withScene } from "./support/sockets/scene.ts";
import { Sockets } from "./support/sockets/sockets.ts";

const web = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.2:8080"] });

/** Redirects connections of a pod to its port 15001, as a service mesh does. */
const sidecarRules = `table ip sidecar {
  chain output {
    type nat hook output priority -100;
    tcp dport { 80, 8080 } redirect to :15001
  }
}`;

/** Returns the destination that a sidecar sees when its pod connects to the service. */
async function seenBySidecar(
  { node, client }: Pick<Scene, "node" | "client">,
  sockets: "all" | "node",
): Promise<string> {
  await using backend = node.startBackend({ sockets });
  await backend.reconcile([web], settings);
  return (await client.sockets.connect("10.96.0.10", 80)).server;
}

Deno.test("a sidecar sees the address of the service if only sockets of the node are balanced", () =>
  withScene(async ({ node, client, nodeSockets }) => {
    await client.sockets.serveOriginalDestination(15001);
    await client.namespace.run("nft", sidecarRules);
    assert.equal(await seenBySidecar({ node, client }, "all"), "10.1.0.2:8080");
    assert.equal(await seenBySidecar({ node, client }, "node"), "10.96.0.10:80");
    assert.equal((await nodeSockets.connect("10.96.0.10", 80)).server, "a");
    // A change of the option takes effect at once in both directions.
    assert.equal(await seenBySidecar({ node, client }, "all"), "10.1.0.2:8080");
  }));

/** A node of a cluster inside a pod, which has a service of its own with the same address. */
const nestedRules = `table ip services {
  chain output {
    type nat hook output priority -100;
    ip daddr 10.96.0.10 tcp dport 80 dnat to 10.9.0.1:9000
  }
}`;

Deno.test("a cluster in a pod has its own services if only sockets of the node are balanced", () =>
  withScene(async ({ node, client }) => {
    await using nested = await NetworkNamespace.make();
    await client.namespace.run(
      "ip",
      "link",
      "add",
      "nested",
      "type",
      "veth",
      "peer",
      "eth0",
      "netns",
      nested.name,
    );
    await client.namespace.run("ip", "link", "set", "nested", "up");
    await nested.run("ip", "link", "set", "lo", "up");
    await nested.run("ip", "link", "set", "eth0", "up");
    await nested.run("ip", "address", "add", "10.9.0.1/24", "dev", "eth0");
    await nested.run("ip", "route", "add", "default", "via", "10.9.0.2");
    await nested.run("nft", nestedRules);
    await using sockets = await Sockets.start(nested.name, node.cgroup);
    await sockets.serve("nested", "10.9.0.1", 9000);
    {
      await using backend = node.startBackend();
      await backend.reconcile([web], settings);
      // The endpoint of this cluster has no route from there.
      assert.equal(await socketErrorOf(sockets.connect("10.96.0.10", 80)), "timed out");
    }
    await using backend = node.startBackend({ sockets: "node" });
    await backend.reconcile([web], settings);
    assert.equal((await sockets.connect("10.96.0.10", 80)).server, "nested");
  }));

Deno.test("a connection of a pod outlives the change to sockets of the node only", () =>
  withScene(async ({ node, client: { sockets } }) => {
    const udp = { protocol: "UDP" } as const;
    const dns = planOf({ name: "dns", clusterIP: "10.96.0.53:53", ...udp, endpoints: ["10.1.0.2:8080"] });
    {
      await using backend = node.startBackend();
      await backend.reconcile([web, dns], settings);
      await sockets.keep("tcp", "10.96.0.10", 80);
      await sockets.keep("udp", "10.96.0.53", 53, udp);
      await sockets.sendOnly("unconnected", "10.96.0.53", 53);
    }
    await using backend = node.startBackend({ sockets: "node" });
    await backend.reconcile([web, dns], settings);
    assert.equal((await sockets.ask("tcp")).peer, "10.96.0.10");
    assert.equal((await sockets.ask("udp")).peer, "10.96.0.53");
    assert.equal((await sockets.receive("unconnected")).source, "10.96.0.53");
  }));

Deno.test("with sockets of the node only, pods are balanced by their packets", async (t) => {
  await using lab = await Lab.create(true);
  const agents = { "node": lab.agent("node"), "pod-c": lab.agent("pod-c") };
  await using backend = startEbpf({ name: lab.namespace("node") }, lab.ebpfMounts, { sockets: "node" });
  const settings = labSettings({ trafficMetrics: "full" });
  for (const protocol of ["TCP", "UDP"] as const) {
    for (const family of FAMILIES) {
      await t.step(`${protocol}, ${family}`, async () => {
        const bracketed = (address: string) => family === "IPv4" ? address : `[${address}]`;
        const clusterIP = family === "IPv4" ? "10.96.0.10" : "fd00:10:96::10";
        const endpoints = [`${bracketed(machines["pod-b"].addresses[family])}:${servedPorts[0]}`];
        const plan = planOfAnyMode({
          protocol,
          family,
          clusterIP: `${bracketed(clusterIP)}:80`,
          nodePort: 30080,
          endpoints,
        });
        await backend.reconcile([plan], settings);
        /** Connects, and reports whether the programs of devices saw the packets. */
        const hasPackets = async (client: Agent, from: keyof typeof agents, to: string, port: number) => {
          const before = await countedTraffic(backend, plan.key);
          const outcomes = await client.probe({ protocol, to, port }, { times: 5 });
          for (const outcome of outcomes) assert(isAnswered(outcome), JSON.stringify(outcome));
          const after = await countedTraffic(backend, plan.key);
          assert.equal(after.connections - before.connections, 5, from);
          return after.packets > before.packets;
        };
        for (const [to, port] of [[clusterIP, 80], [machines.node.addresses[family], 30080]] as const) {
          assert.equal(await hasPackets(agents.node, "node", to, port), false);
          assert.equal(await hasPackets(agents["pod-c"], "pod-c", to, port), true);
        }
      });
    }
  }
});
