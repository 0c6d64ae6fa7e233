import assert from "node:assert/strict";
import type { ServiceTraffic, TrafficCounters } from "../../core/backend/traffic.ts";
import { FAMILIES, type Family } from "../../core/net/protocol.ts";
import type { ServicePortPlan } from "../../core/plan/plan.ts";
import { addressOf, cidrOf, planOf, type PlanText, settingsOf } from "../backends/plans.ts";
import { type Agent, isAnswered, type Target } from "../lab/agent.ts";
import { Lab } from "../lab/lab.ts";
import { machines, podCidrs, servedPorts, serviceAddress } from "../lab/topology.ts";
import { hasIpvs } from "./ipvs/support/has_ipvs.ts";
import { BackendProcess } from "./support/backend_process.ts";

/** Shorter than the interval in which TCP repeats a SYN, so that each attempt is one packet. */
const ATTEMPT_MS = 300;

/** Modes, and what they count besides connections. */
const MODES = {
  nftables: { countsRefused: true, countsUnallocated: true },
  iptables: { countsRefused: true, countsUnallocated: false },
  ebpf: { countsRefused: true, countsUnallocated: false },
  userspace: { countsRefused: true, countsUnallocated: true },
  ipvs: { countsRefused: false, countsUnallocated: false },
} as const;

/** Time in which IPVS adds up its statistics, twice. */
const IPVS_SUMS_MS = 4500;

for (const [mode, counting] of Object.entries(MODES) as Entries<typeof MODES>) {
  const ignore = mode === "ipvs" && !hasIpvs();
  const name =
    `${mode}: connections are counted per service port and kind of frontend, refused ones by reason`;
  Deno.test({ name, ignore }, async (t) => {
    await using lab = await Lab.create(mode === "ebpf");
    const options = `EBPF_OPTIONS=${JSON.stringify(lab.ebpfMounts)}`;
    const start = () => new BackendProcess(mode, { name: lab.namespace("node") }, ["env", options]);
    for (const family of FAMILIES) {
      await t.step(family, async () => {
        const services = servicesOf(family);
        const settings = [settingsOf(family, {
          localTraffic: { mode: "cidr", cidr: cidrOf(podCidrs.here[family]) },
          serviceCidrs: [cidrOf(family === "IPv4" ? "10.96.0.0/16" : "fd00:10:96::/112")],
          interfaceAddresses: [addressOf(machines.node.addresses[family])],
          ...(mode === "ipvs" ? { nodePorts: [addressOf(machines.node.addresses[family])] } : {}),
        })];
        const connected = async (): Promise<Counts> => {
          const counts = Object.entries(await connect(lab, family)).filter(([name]) =>
            name === "unallocated"
              ? counting.countsUnallocated
              : counting.countsRefused || !name.includes("-")
          );
          return Object.fromEntries(counts);
        };
        const counted = async (backend: BackendProcess): Promise<Counts> => {
          if (mode === "ipvs") await new Promise((resolve) => setTimeout(resolve, IPVS_SUMS_MS));
          return countsOf(await backend.traffic());
        };
        let expected: Counts = {};
        {
          await using backend = start();
          await backend.reconcile(services, settings);
          assert.deepEqual(await counted(backend), {});
          expected = await connected();
          assert.deepEqual(await counted(backend), expected);

          const [web] = services;
          assert.ok(web);
          const beside = planOf({
            name: "beside",
            clusterIP: at("clusterIP", family, 30),
            endpoints: [pod("pod-a", family)],
          });
          const smaller = { ...web, clusterEndpoints: web.clusterEndpoints.slice(1) };
          await backend.apply([{ key: beside.key, old: undefined, new: beside }, {
            key: web.key,
            old: web,
            new: smaller,
          }]);
          assert.deepEqual(await counted(backend), expected, "after a change");
          await backend.apply([{ key: beside.key, old: beside, new: undefined }, {
            key: web.key,
            old: smaller,
            new: web,
          }]);
          await backend.reconcile(services, settings);
          assert.deepEqual(await counted(backend), expected, "after a reconcile");
        }
        await using restarted = start();
        await restarted.reconcile(services, settings);
        assert.deepEqual(await counted(restarted), expected, "after a restart");
        const all = sumOf(expected, await connected());
        assert.deepEqual(await counted(restarted), all);

        const [web] = services;
        assert.ok(web);
        await restarted.apply([{ key: web.key, old: web, new: undefined }]);
        await restarted.apply([{ key: web.key, old: undefined, new: web }]);
        const others = Object.entries(all).filter(([name]) => !name.startsWith("web "));
        assert.deepEqual(
          await counted(restarted),
          Object.fromEntries(others),
          "a new service with the same frontends",
        );
        await restarted.cleanup();
      });
    }
  });
}

type Entries<Table> = { [Key in keyof Table]: [Key, Table[Key]] }[keyof Table][];

/** Connections and refused packets: `web ClusterIP` or `none NodePort no-endpoints`. */
type Counts = Readonly<Record<string, number>>;

function servicesOf(family: Family): readonly ServicePortPlan[] {
  const of = (text: PlanText) => planOf({ family, ...text });
  return [
    of({
      name: "web",
      clusterIP: at("clusterIP", family, 10),
      externalIPs: [at("external", family, 10)],
      loadBalancerIPs: [at("loadBalancer", family, 10)],
      nodePort: 30080,
      endpoints: [pod("pod-a", family), pod("pod-d", family)],
    }),
    of({
      name: "sticky",
      clusterIP: at("clusterIP", family, 11),
      externalIPs: [at("external", family, 11)],
      affinitySeconds: 100,
      endpoints: [pod("pod-a", family), pod("pod-d", family)],
    }),
    of({
      name: "elsewhere",
      loadBalancerIPs: [at("loadBalancer", family, 12)],
      nodePort: 30082,
      external: "local",
      endpoints: [pod("pod-d", family)],
    }),
    of({
      name: "none",
      clusterIP: at("clusterIP", family, 13),
      nodePort: 30083,
      internal: "reject",
      external: "reject",
      endpoints: [],
    }),
    of({
      name: "guarded",
      loadBalancerIPs: [at("loadBalancer", family, 14)],
      endpoints: [pod("pod-a", family)],
      sourceRanges: [`${machines.outside.addresses[family]}/${family === "IPv4" ? 32 : 128}`],
    }),
    of({
      name: "many",
      externalIPs: Array.from({ length: 9 }, (_, n) => at("external", family, 100 + n)),
      endpoints: [pod("pod-a", family)],
    }),
  ];
}

/** Makes connections of every kind. @returns what is to be counted */
async function connect(lab: Lab, family: Family): Promise<Counts> {
  const node = machines.node.addresses[family];
  const to = (range: Parameters<typeof serviceAddress>[0], n: number) => serviceAddress(range, family, n);
  const [outside, podB, here] = [lab.agent("outside"), lab.agent("pod-b"), lab.agent("node")];
  const stranger = { from: machines.stranger.addresses[family] };
  await answers(podB, { to: to("clusterIP", 10), port: 80 }, 7);
  await answers(here, { to: to("clusterIP", 10), port: 80 }, 2);
  await answers(outside, { to: to("external", 10), port: 80 }, 5);
  await answers(outside, { to: to("loadBalancer", 10), port: 80 }, 4);
  await answers(outside, { to: node, port: 30080 }, 3);
  await answers(podB, { to: to("clusterIP", 11), port: 80 }, 6);
  await answers(outside, { to: to("external", 11), port: 80 }, 2);
  await answers(podB, { to: to("loadBalancer", 12), port: 80 }, 3);
  await answers(outside, { to: to("external", 104), port: 80 }, 2);
  await answers(outside, { to: to("external", 105), port: 80 }, 1);
  await answers(outside, { to: to("loadBalancer", 14), port: 80 }, 2, {
    from: machines.outside.addresses[family],
  });
  await fails(outside, { to: to("loadBalancer", 12), port: 80 }, 2);
  await fails(outside, { to: node, port: 30082 }, 1);
  await fails(outside, { to: to("loadBalancer", 14), port: 80 }, 3, stranger);
  await fails(podB, { to: to("clusterIP", 13), port: 80 }, 2);
  await fails(here, { to: to("clusterIP", 13), port: 80 }, 1);
  await fails(outside, { to: node, port: 30083 }, 4);
  await fails(outside, { to: to("clusterIP", 99), port: 80 }, 2);
  return {
    "web ClusterIP": 9,
    "web ExternalIP": 5,
    "web LoadBalancerIP": 4,
    "web NodePort": 3,
    "sticky ClusterIP": 6,
    "sticky ExternalIP": 2,
    "elsewhere LoadBalancerIP": 3,
    "elsewhere LoadBalancerIP no-local-endpoints": 2,
    "elsewhere NodePort no-local-endpoints": 1,
    "none ClusterIP no-endpoints": 3,
    "none NodePort no-endpoints": 4,
    "guarded LoadBalancerIP": 2,
    "guarded LoadBalancerIP source-range": 3,
    "many ExternalIP": 3,
    "unallocated": 2,
  };
}

async function answers(
  client: Agent,
  target: Omit<Target, "protocol">,
  times: number,
  options: { from?: string } = {},
): Promise<void> {
  const outcomes = await client.probe({ protocol: "TCP", ...target }, { times, ...options });
  for (const outcome of outcomes) assert.ok(isAnswered(outcome), JSON.stringify({ target, outcome }));
}

async function fails(
  client: Agent,
  target: Omit<Target, "protocol">,
  times: number,
  options: { from?: string } = {},
): Promise<void> {
  const outcomes = await client.probe({ protocol: "TCP", ...target }, {
    times,
    timeoutMs: ATTEMPT_MS,
    ...options,
  });
  for (const outcome of outcomes) assert.ok(!isAnswered(outcome), JSON.stringify({ target, outcome }));
}

function countsOf({ services, unallocated }: TrafficCounters): Counts {
  const counts: Record<string, number> = {};
  const add = (name: string, count: number) => {
    if (count > 0) counts[name] = (counts[name] ?? 0) + count;
  };
  for (const { key, frontend, connections, refused } of services as readonly ServiceTraffic[]) {
    const name = `${key.slice("default/".length, key.indexOf(":"))} ${frontend}`;
    add(name, connections);
    for (const [reason, count] of Object.entries(refused)) add(`${name} ${reason}`, count);
  }
  for (const count of Object.values(unallocated)) add("unallocated", count);
  return counts;
}

function sumOf(a: Counts, b: Counts): Counts {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return Object.fromEntries([...names].map((name) => [name, (a[name] ?? 0) + (b[name] ?? 0)]));
}

function at(range: Parameters<typeof serviceAddress>[0], family: Family, n: number): string {
  return socket(serviceAddress(range, family, n), 80);
}

function pod(name: "pod-a" | "pod-d", family: Family): string {
  const here = machines[name].node === "here" ? "@here" : "";
  return `${socket(machines[name].addresses[family], servedPorts[0] ?? 0)}${here}`;
}

function socket(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
