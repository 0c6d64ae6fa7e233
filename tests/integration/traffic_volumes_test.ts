import assert from "node:assert/strict";
import type { Volume } from "../../core/backend/traffic.ts";
import { FAMILIES, type Family } from "../../core/net/protocol.ts";
import { addressOf, cidrOf, planOf, settingsOf } from "../backends/plans.ts";
import { type Agent, isAnswered } from "../lab/agent.ts";
import { Lab } from "../lab/lab.ts";
import { type MachineName, machines, podCidrs, servedPorts, serviceAddress } from "../lab/topology.ts";
import { BackendProcess } from "./support/backend_process.ts";

/** Headers of IP and UDP. */
const HEADER_BYTES = { IPv4: 28, IPv6: 48 };
/** The question of agent.py. */
const QUESTION_BYTES = 2;
/** Datagrams of each connection. */
const DATAGRAMS = 5;
const NODE_PORT = 30053;
/** A port that another program translates, as a container runtime does for host ports. */
const HOST_PORT = 30099;

for (const mode of ["nftables", "iptables", "userspace"] as const) {
  Deno.test(`${mode}: packets and bytes are counted exactly, both ways, and outlive changes and restarts`, async (t) => {
    await using lab = await Lab.create();
    const start = () => new BackendProcess(mode, { name: lab.namespace("node") });
    for (const family of FAMILIES) {
      await t.step(family, async () => {
        const settings = [settingsOf(family, {
          localTraffic: { mode: "cidr", cidr: cidrOf(podCidrs.here[family]) },
          interfaceAddresses: [addressOf(machines.node.addresses[family])],
          trafficMetrics: "full",
        })];
        const dns = serviceOn(family, "dns", 10, ["pod-d", "pod-a", "node"]);
        const other = serviceOn(family, "other", 11, ["pod-a"]);
        let expected: Volumes = {};
        {
          await using backend = start();
          await backend.reconcile([dns], settings);
          await addHostPort(lab, family);
          expected = await talk(lab, family);
          assert.deepEqual(await counted(backend), expected);
          // Nothing is kept of what is no service's.
          assert.doesNotMatch(await nft(lab, "list", "ruleset"), new RegExp(`udp \\. ${HOST_PORT} counter`));
          await backend.apply([{ key: other.key, old: undefined, new: other }]);
          const smaller = { ...dns, clusterEndpoints: dns.clusterEndpoints.slice(1) };
          await backend.apply([{ key: dns.key, old: dns, new: smaller }]);
          await backend.reconcile([dns, other], settings);
          assert.deepEqual(await counted(backend), expected, "after changes and a reconcile");
        }
        await using restarted = start();
        await restarted.reconcile([dns], settings);
        expected = sumOf(expected, await talk(lab, family));
        assert.deepEqual(await counted(restarted), expected, "after a restart");

        await restarted.apply([{ key: dns.key, old: dns, new: undefined }]);
        await restarted.apply([{ key: dns.key, old: undefined, new: dns }]);
        assert.deepEqual(await counted(restarted), {}, "a new service with the same frontends");

        await restarted.reconcile([dns], settings.map((one) => ({ ...one, trafficMetrics: "connections" })));
        await talk(lab, family);
        assert.deepEqual(await counted(restarted), {}, "connections only");
        assert.doesNotMatch(await nft(lab, "list", "ruleset"), /packets-to-endpoints/);
        await restarted.reconcile([dns], settings);
        await restarted.cleanup();
        const left = await nft(lab, "list", "tables");
        assert.doesNotMatch(left, /kube-proxy/);
        await nft(lab, "delete", "table", "inet", "others");
      });
    }
  });
}

/** Packets and bytes of both directions by service and kind of frontend: `dns ClusterIP to`. */
type Volumes = Readonly<Record<string, Volume>>;

function serviceOn(family: Family, name: string, n: number, endpoints: readonly MachineName[]) {
  const at = (address: string, port: number) =>
    address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  return planOf({
    family,
    name,
    protocol: "UDP",
    clusterIP: at(serviceAddress("clusterIP", family, n), 53),
    loadBalancerIPs: [at(serviceAddress("loadBalancer", family, n), 53)],
    nodePort: NODE_PORT + n - 10,
    endpoints: endpoints.map((machine) => {
      const { node, addresses } = machines[machine];
      return at(addresses[family], servedPorts[0] ?? 0) + (node === "here" ? "@here" : "");
    }),
  });
}

/** Another program sends a port of the node to a pod. */
async function addHostPort(lab: Lab, family: Family): Promise<void> {
  const ip = family === "IPv4" ? "ip" : "ip6";
  const address = machines["pod-a"].addresses[family];
  const target = family === "IPv4" ? `${address}:8080` : `[${address}]:8080`;
  await nft(
    lab,
    `table inet others {
      chain others {
        type nat hook prerouting priority dstnat - 5
        udp dport ${HOST_PORT} dnat ${ip} to ${target}
      }
    }`,
  );
}

/** Exchanges datagrams over every kind of path. @returns what is to be counted. */
async function talk(lab: Lab, family: Family): Promise<Volumes> {
  const sent: Record<string, Volume> = {};
  const exchange = async (client: Agent, to: string, port: number, kind?: string) => {
    const clients = await client.probe({ protocol: "UDP", to, port }, { times: 6, keep: true });
    const connections = clients.map(({ connection = 0 }) => connection);
    const replies = [...clients];
    for (let n = 1; n < DATAGRAMS; n++) replies.push(...await client.send(connections));
    await client.close(connections);
    if (kind === undefined) return;
    const header = HEADER_BYTES[family];
    for (const reply of replies) {
      assert.ok(isAnswered(reply), JSON.stringify({ to, port, reply }));
      const answer = `${reply.pod} ${reply.port} ${reply.source} ${reply.sourcePort}\n`;
      add(sent, `dns ${kind} to`, { packets: 1, bytes: header + QUESTION_BYTES });
      add(sent, `dns ${kind} from`, { packets: 1, bytes: header + answer.length });
    }
  };
  const clusterIP = serviceAddress("clusterIP", family, 10);
  const [outside, node] = [lab.agent("outside"), machines.node.addresses[family]];
  await exchange(lab.agent("pod-b"), clusterIP, 53, "ClusterIP");
  await exchange(lab.agent("pod-a"), clusterIP, 53, "ClusterIP");
  await exchange(lab.agent("node"), clusterIP, 53, "ClusterIP");
  await exchange(outside, serviceAddress("loadBalancer", family, 10), 53, "LoadBalancerIP");
  await exchange(outside, node, NODE_PORT, "NodePort");
  await exchange(lab.agent("node"), node, NODE_PORT, "NodePort");
  await exchange(outside, node, HOST_PORT);
  return sent;
}

async function counted(backend: BackendProcess): Promise<Volumes> {
  const found: Record<string, Volume> = {};
  const { services } = await backend.traffic();
  for (const { key, frontend, toEndpoints, fromEndpoints } of services) {
    const name = `${key.slice("default/".length, key.indexOf(":"))} ${frontend}`;
    if (toEndpoints !== undefined) add(found, `${name} to`, toEndpoints);
    if (fromEndpoints !== undefined) add(found, `${name} from`, fromEndpoints);
  }
  return found;
}

function add(volumes: Record<string, Volume>, name: string, { packets, bytes }: Volume): void {
  const before = volumes[name] ?? { packets: 0, bytes: 0 };
  volumes[name] = { packets: before.packets + packets, bytes: before.bytes + bytes };
}

function sumOf(a: Volumes, b: Volumes): Volumes {
  const sums: Record<string, Volume> = { ...a };
  for (const [name, volume] of Object.entries(b)) add(sums, name, volume);
  return sums;
}

async function nft(lab: Lab, ...command: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await lab.run("node", ["nft", ...command]);
  assert.equal(code, 0, stderr);
  return stdout;
}
