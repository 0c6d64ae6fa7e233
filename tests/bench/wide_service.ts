import process from "node:process";
import { parseArgs } from "node:util";
import { ConntrackReconciler } from "../../backends/conntrack/reconciler.ts";
import { EbpfBackend } from "../../backends/ebpf/backend.ts";
import { IptablesBackend } from "../../backends/iptables/backend.ts";
import { IpvsBackend } from "../../backends/ipvs/backend.ts";
import { NftablesBackend } from "../../backends/nftables/backend.ts";
import type { Backend } from "../../core/backend/contract.ts";
import { LOOPBACK } from "../../core/net/address.ts";
import type { ModelObject } from "../../core/objects/objects.ts";
import { parseObject } from "../../core/objects/parse/index.ts";
import type { DesiredState } from "../../core/plan/plan.ts";
import { PlanQueue } from "../../core/sync/plan_queue.ts";
import { defaultOptions } from "../backends/ipvs/options.ts";
import { messages } from "../../ffi/netlink/reader.ts";
import { Recorder } from "./backend/recorder.ts";
import { median, milliseconds, rows } from "./report.ts";

// Measures changes of the endpoints of one service with very many ports and addresses. scripts/bench-wide.sh runs it
// in a network namespace of its own.

const { values } = parseArgs({
  options: {
    mode: { type: "string", default: "nftables" },
    ports: { type: "string", default: "3000" },
    addresses: { type: "string", default: "24" },
    endpoints: { type: "string", default: "10" },
    rounds: { type: "string", default: "5" },
    protocol: { type: "string", default: "TCP" },
    policy: { type: "string", default: "Cluster" },
    all: { type: "boolean", default: false },
    bpffs: { type: "string", default: "" },
    cgroup: { type: "string", default: "" },
  },
});
const ports = Number(values.ports);
const recorder = new Recorder();
const context = {
  families: ["IPv4"],
  nodeName: "node-0",
  zone: "",
  nodeAddresses: LOOPBACK,
  endsConnections: values.mode === "ebpf",
} as const;
const settings: DesiredState["settings"] = [{
  family: "IPv4",
  localTraffic: { mode: "none" },
  masqueradeAll: false,
  masqueradeMark: 0x4000,
  nodePorts: values.mode === "ipvs" ? [LOOPBACK.IPv4] : "all",
  interfaceAddresses: [],
  localhostNodePorts: false,
  serviceCidrs: [],
  trafficMetrics: "connections",
}];

function open(): Backend {
  switch (values.mode) {
    case "nftables":
      return new NftablesBackend(recorder.open);
    case "iptables":
      return new IptablesBackend(recorder.open);
    case "ipvs":
      return new IpvsBackend(defaultOptions, recorder.open);
    default:
      return new EbpfBackend({
        bpffs: values.bpffs,
        cgroup: values.cgroup,
        sockets: "all",
        devices: [],
        balancing: "random",
        forwarding: "auto",
        redirectPeer: true,
        maglevTableSize: 1021,
        capacity: { frontends: 131072, endpoints: 524288, connections: 131072, clients: 65536 },
        timeouts: {
          tcpEstablishedTimeoutMs: 0,
          tcpCloseWaitTimeoutMs: 0,
          udpTimeoutMs: 0,
          udpStreamTimeoutMs: 0,
        },
      });
  }
}

function service(): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "wide", namespace: "default", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: {
      type: "LoadBalancer",
      clusterIP: "10.96.0.10",
      clusterIPs: ["10.96.0.10"],
      ipFamilies: ["IPv4"],
      externalTrafficPolicy: values.policy,
      ...values.policy === "Local" ? { healthCheckNodePort: 29_999 } : {},
      externalIPs: Array.from({ length: Number(values.addresses) }, (_, n) => `203.0.113.${n + 1}`),
      ports: Array.from({ length: ports }, (_, n) => ({
        name: `port-${n}`,
        port: 10_000 + n,
        nodePort: 30_000 + n,
        protocol: values.protocol,
      })),
    },
    status: { loadBalancer: { ingress: [{ ip: "198.51.100.1" }] } },
  };
}

function slice(endpoints: number): object {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: "wide-abcde",
      namespace: "default",
      labels: { "kubernetes.io/service-name": "wide" },
    },
    addressType: "IPv4",
    ports: Array.from({ length: ports }, (_, n) => ({
      name: `port-${n}`,
      port: 10_000 + n,
      protocol: values.protocol,
    })),
    endpoints: Array.from({ length: endpoints }, (_, n) => ({
      addresses: [`10.1.0.${n + 1}`],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: `node-${n % 5}`,
    })),
  };
}

function parse(raw: object): ModelObject {
  const parsed = parseObject(JSON.parse(JSON.stringify(raw)), (problem) => {
    throw new Error(problem);
  });
  if (!("object" in parsed)) throw new Error("an object of the benchmark cannot be parsed");
  return parsed.object;
}

const silent = { info() {}, warn: console.error, error: console.error };
const queue = new PlanQueue("node-0", silent);
queue.setView({
  context,
  settings,
  nodePortAddresses: { IPv4: { isAll: true, addresses: [] }, IPv6: { isAll: true, addresses: [] } },
  gaps: [],
});
const conntrack = new ConntrackReconciler({
  log: silent,
  observer: { conntrackReconciled() {}, conntrackFailed() {} },
  nodeAddresses: () => [],
  relaySockets: () => [],
  sweep: () => Promise.resolve({ examined: 0, deleted: 0, rejection: undefined }),
});
using backend = open();
await backend.probe();

async function timed<T>(
  work: () => T | Promise<T>,
): Promise<{ result: T; ms: number; user: number; system: number }> {
  const [before, started] = [process.cpuUsage(), performance.now()];
  const result = await work();
  const ms = performance.now() - started;
  const { user, system } = process.cpuUsage(before);
  return { result, ms, user: user / 1000, system: system / 1000 };
}

const full = Number(values.endpoints);
{
  queue.upsert(parse(service()));
  queue.upsert(parse(slice(full)));
  const batch = queue.take();
  const plans = new Map(batch.changes.flatMap((change) => change.new ? [[change.key, change.new]] : []));
  const desired = { settings, plans };
  const { ms } = await timed(() => backend.reconcile(desired));
  console.log(`first programming: ${milliseconds(ms)}, ${Deno.memoryUsage().rss >> 20} MB`);
  batch.replaceAll(plans);
  batch.close();
}

const removals = [
  ["one endpoint removed", full - 1],
  ...values.all ? [["all removed", 0] as const] : [],
] as const;
for (const [name, other] of removals) {
  const times: Record<string, number[]> = {};
  let sizes = "";
  const note = (stage: string, ms: number) => (times[stage] ??= []).push(ms);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const count of [other, full]) {
      const way = count === full ? "back" : "away";
      const raw = JSON.stringify(slice(count));
      await new Promise((resolve) => setTimeout(resolve, 200));
      const parsed = await timed(() => parse(JSON.parse(raw)));
      note(`${way}: parse`, parsed.ms);
      note(`${way}: store`, (await timed(() => queue.upsert(parsed.result))).ms);
      const { result: batch, ms } = await timed(() => queue.take());
      note(`${way}: plan`, ms);
      recorder.isOn = round === 0;
      const applied = await timed(() => backend.apply(batch.changes));
      note(`${way}: apply`, applied.ms);
      note(`${way}: apply, CPU user`, applied.user);
      note(`${way}: apply, CPU system`, applied.system);
      recorder.isOn = false;
      const sent = recorder.take();
      if (sent.length > 0) {
        let all = 0;
        let bytes = 0;
        for (const { bytes: chunk } of sent) {
          bytes += chunk.length;
          for (const _ of messages(chunk)) all++;
        }
        sizes += `; ${way}: ${batch.changes.length} changes, ${all} messages, ${
          (bytes / 1024).toFixed(0)
        } KiB`;
      }
      note(
        `${way}: accept`,
        (await timed(() => {
          batch.accept(batch.changes);
          batch.close();
        })).ms,
      );
      note(
        `${way}: conntrack`,
        (await timed(() => {
          conntrack.synced({
            desired: { settings, plans: queue.applied },
            changes: batch.changes,
            full: false,
          });
        })).ms,
      );
    }
  }
  console.log(
    rows(
      name + sizes,
      Object.entries(times).map(([stage, ms]) => ({ name: stage, value: milliseconds(median(ms)) })),
    ),
  );
}
await backend.cleanup();
Deno.exit(0);
