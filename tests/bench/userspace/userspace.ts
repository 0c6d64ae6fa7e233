import { parseArgs } from "node:util";
import { memory } from "../process/resident_memory.ts";
import { atLeast, atMost, rows } from "../report.ts";
import { haproxyConfiguration } from "./haproxy.ts";
import { type Load, Measured, type Subject } from "./measured.ts";
import { BenchNetwork, NODE, SERVER, SERVICE, SERVICE_PORT } from "./network.ts";

// Measures mode userspace beside HAProxy in TCP mode, and beside direct connections, which nf_tables translates. One
// run, one machine; the subjects take turns. docs/userspace.md has the figures.

const { values } = parseArgs({
  options: {
    proxy: { type: "string", default: "dist/proxy" },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
    services: { type: "string", default: "10000" },
    idle: { type: "string", default: "10000" },
    /** Parts to measure: throughput, connections, memory. Default: all. */
    only: { type: "string" },
  },
});
const rounds = Number(values.rounds);
const SERVERS: Readonly<Record<Load, number>> = { bulk: 9000, short: 9001, idle: 9002 };
const HAPROXY: Readonly<Record<Load, number>> = { bulk: 7000, short: 7001, idle: 7002 };
/** The services of the proxy have other addresses than the direct translation, whose rules come first. */
const SERVICES: Readonly<Record<Load, string>> = {
  bulk: "10.96.0.20",
  short: "10.96.0.21",
  idle: "10.96.0.22",
};
const LOADS = ["bulk", "short", "idle"] as const;
/** Source addresses of the client; one address would run out of ports. */
const sources = Array.from({ length: 100 }, (_, index) => `10.91.1.${100 + index}`);

await using network = await BenchNetwork.make(sources);
const { directory } = network;
const bulk = await network.compile("bulk");
const connections = await network.compile("connections");
network.start("server", bulk, "serve", directory, `${SERVERS.bulk}`);
network.start("server", connections, "serve", `${SERVERS.short}`);
network.start("server", bulk, "echo", `${SERVERS.idle}`);

await network.translate(SERVERS.bulk);
await Deno.mkdir(`${directory}/manifests`);
await Deno.writeTextFile(
  `${directory}/manifests/services.json`,
  JSON.stringify({ apiVersion: "v1", kind: "List", items: LOADS.flatMap(service) }),
);
const proxy = network.start(
  "node",
  "env",
  `RUNTIME_DIRECTORY=${directory}`,
  values.proxy,
  "--proxy-mode=userspace",
  `--manifests=${directory}/manifests`,
  "--hostname-override=node",
);
await network.answers(connections, SERVICES.short, 80);

const haproxy: Subject = { name: "HAProxy", target: (load) => [NODE, `${HAPROXY[load]}`] };
const relay: Subject = { name: "proxy", target: (load) => [SERVICES[load], "80"] };
const direct: Subject = { name: "direct", target: () => [SERVICE, `${SERVICE_PORT}`] };

const parts = { throughput: measureThroughput, connections: measureConnections, memory: measureMemory };
const chosen = values.only?.split(",") ?? Object.keys(parts);
// Does not start in the emulated machines, whose processor lacks an instruction that it needs.
if (chosen.some((part) => part !== "memory")) await startHaproxy();
for (const [name, part] of Object.entries(parts)) {
  if (chosen.includes(name)) await part();
}

async function startHaproxy(): Promise<void> {
  const listeners = LOADS.map((load) => ({
    port: HAPROXY[load],
    server: `${SERVER}:${SERVERS[load]}`,
    splice: true,
  }));
  await Deno.writeTextFile(`${directory}/haproxy.cfg`, haproxyConfiguration(listeners, 9000));
  network.start("node", "haproxy", "-q", "-db", "-f", `${directory}/haproxy.cfg`);
  await network.answers(connections, NODE, HAPROXY.short);
}

async function measureThroughput(): Promise<void> {
  for (const count of [1, 64]) {
    const rates = await inTurns([direct, haproxy, relay], async ({ target }) => {
      const command = [bulk, "send", directory, ...target("bulk"), `${count}`, values.seconds];
      return Number(await network.run("client", ...command)) * 8 / 1e9;
    });
    const ratio = (other: Subject) => rates.median(relay) / rates.median(other);
    console.log(rows(`Throughput, connections: ${count}. ${load()}`, [
      ...rates.figures((rate) => `${rate.toFixed(1)} Gbit/s`),
      { name: "proxy / HAProxy", value: ratio(haproxy).toFixed(2), target: atLeast(ratio(haproxy), 1, "") },
      { name: "proxy / direct", value: ratio(direct).toFixed(2) },
    ]));
  }
}

async function measureConnections(): Promise<void> {
  const perSecond = await inTurns([haproxy, relay], async ({ target }) => {
    const command = [connections, "connect", ...target("short"), values.seconds, ...sources];
    return answered(await network.run("client", ...command)).count / Number(values.seconds);
  });
  const ratio = perSecond.median(relay) / perSecond.median(haproxy);
  console.log(rows(`New connections per second. ${load()}`, [
    ...perSecond.figures((rate) => rate.toFixed(0)),
    { name: "proxy / HAProxy", value: ratio.toFixed(2), target: atLeast(ratio, 0.5, "") },
  ]));
  const rate = Math.round(perSecond.median(relay) / 2);
  const times = await inTurns([haproxy, relay], async ({ target }) => {
    const command = [connections, "paced", ...target("short"), values.seconds, `${rate}`, ...sources];
    return answered(await network.run("client", ...command)).p99;
  });
  console.log(
    rows(
      `connect() to first answer, p99, at ${rate} connections per second. ${load()}`,
      times.figures((micros) => `${(micros / 1000).toFixed(1)} ms`),
    ),
  );
}

async function measureMemory(): Promise<void> {
  const resident = new URL("resident.ts", import.meta.url).pathname;
  const deno = [Deno.execPath(), "run", "--quiet", "--cached-only", "-A", resident];
  const measured = [values.proxy, "userspace", values.services];
  const environment = ["env", `RUNTIME_DIRECTORY=${directory}`];
  const services = Number(await network.run("alone", ...environment, ...deno, ...measured));
  const before = memory(proxy, "VmRSS");
  const [address, port] = relay.target("idle");
  const count = Number(await network.firstLine("client", connections, "hold", address, port, values.idle));
  const idle = memory(proxy, "VmRSS");
  console.log(rows("Resident memory", [
    {
      name: `${values.services} services with 10 endpoints each`,
      value: `${services} MB`,
      target: atMost(services, 150, "150 MB"),
    },
    { name: "3 services, after the measurements above", value: `${before} MB` },
    {
      name: `${count} idle connections in addition, each after a first exchange`,
      value: `${idle} MB`,
      target: atMost(idle, 300, "300 MB"),
    },
  ]));
}

/** Measures the subjects alternately, so that load on the machine hits all of them. */
async function inTurns(
  subjects: readonly Subject[],
  measure: (subject: Subject) => Promise<number>,
): Promise<Measured> {
  const results = new Map<Subject, number[]>(subjects.map((subject) => [subject, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [subject, samples] of results) samples.push(await measure(subject));
  }
  return new Measured(results);
}

function load(): string {
  return `Load ${Deno.loadavg()[0]?.toFixed(1)}`;
}

/** Parses what the program `connections` prints. @throws if more than a few connections failed. */
function answered(printed: string): { readonly count: number; readonly p99: number } {
  const [count = 0, failed = NaN, , p99 = NaN] = printed.split(" ").map(Number);
  // Connections may be in progress at the end.
  if (!(failed <= count / 100)) throw new Error(`of ${count + failed} connections, ${failed} failed`);
  return { count, p99 };
}

function service(load: Load): readonly object[] {
  const metadata = { name: load, namespace: "default" };
  return [{
    apiVersion: "v1",
    kind: "Service",
    metadata,
    spec: {
      clusterIP: SERVICES[load],
      clusterIPs: [SERVICES[load]],
      ipFamilies: ["IPv4"],
      ports: [{ port: 80, protocol: "TCP", targetPort: SERVERS[load] }],
    },
  }, {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { ...metadata, labels: { "kubernetes.io/service-name": load } },
    addressType: "IPv4",
    endpoints: [{ addresses: [SERVER], conditions: { ready: true } }],
    ports: [{ name: "", port: SERVERS[load], protocol: "TCP" }],
  }];
}
