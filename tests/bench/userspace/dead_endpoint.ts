import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { run } from "../../integration/support/network_namespace.ts";
import { Lab } from "../../lab/lab.ts";
import { ProxyProcess } from "../../lab/proxy.ts";
import { machines } from "../../lab/topology.ts";
import { type Figure, rows } from "../report.ts";

// Measures what an endpoint that dies without notice costs clients in each mode, until the API server removes it: one of
// ten endpoints drops all packets, and eight clients outside connect again and again. A connection fails if it is
// not answered within a second. Needs scripts/build.sh.

const { values } = parseArgs({ options: { seconds: { type: "string", default: "20" } } });
const MODES = ["nftables", "iptables", "ebpf", "userspace"] as const;
const SERVICE = "10.96.0.10";
const ENDPOINTS = 10;
const FIRST_PORT = 9001;
/** More than the clients reach. */
const PER_SECOND = "1000";
/** Time limit for the start of the proxy. */
const START_MS = 30_000;

await using lab = await Lab.create(true);
const connections = `${lab.directory}/connections`;
await run("clang", "-O2", "-o", connections, new URL("connections.c", import.meta.url).pathname);
const ports = Array.from({ length: ENDPOINTS }, (_, index) => FIRST_PORT + index);
const servers = ports.map((port) => lab.spawn("pod-b", [connections, "serve", `${port}`]));
const manifests = `${lab.directory}/manifests`;
await Deno.mkdir(manifests);
await Deno.writeTextFile(
  `${manifests}/web.json`,
  JSON.stringify({ apiVersion: "v1", kind: "List", items: [service(), ...ports.map(slice)] }),
);

const figures: Figure[] = [];
for (const mode of MODES) figures.push({ name: mode, value: await measure(mode) });
console.log(
  rows(
    `Connections to a service, one of whose ${ENDPOINTS} endpoints has died, ${values.seconds} s. ` +
      `Load ${Deno.loadavg()[0]?.toFixed(1)}`,
    figures,
  ),
);
for (const server of servers) server.kill("SIGKILL");

async function measure(mode: typeof MODES[number]): Promise<string> {
  await using proxy = new ProxyProcess(lab, manifests, mode);
  const deadline = performance.now() + START_MS;
  while (!proxy.log.includes("Reconciled the kernel")) {
    proxy.assertRunning();
    if (performance.now() > deadline) throw new Error(`mode ${mode} did not start:\n${proxy.log}`);
    await sleep(100);
  }
  await lab.run("pod-b", [
    "nft",
    `add table ip dead; add chain ip dead input { type filter hook input priority 0; }; ` +
    `add rule ip dead input tcp dport ${FIRST_PORT} drop`,
  ]);
  // The client's ports come back, and their flows would stay with the endpoints of the mode before.
  await lab.run("node", ["conntrack", "-F"]);
  const source = machines.outside.addresses.IPv4;
  const { stdout } = await lab.run("outside", [
    connections,
    "paced",
    SERVICE,
    "80",
    values.seconds,
    PER_SECOND,
    source,
  ]);
  await lab.run("pod-b", ["nft", "delete table ip dead"]);
  const [answered = NaN, failed = NaN] = stdout.split(" ").map(Number);
  return `${failed} of ${answered + failed} failed`;
}

function service(): object {
  const ports = [{ port: 80, protocol: "TCP" }];
  const spec = { clusterIP: SERVICE, clusterIPs: [SERVICE], ipFamilies: ["IPv4"], ports };
  return { apiVersion: "v1", kind: "Service", metadata: { name: "web", namespace: "default" }, spec };
}

function slice(port: number): object {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `web-${port}`,
      namespace: "default",
      labels: { "kubernetes.io/service-name": "web" },
    },
    addressType: "IPv4",
    endpoints: [{ addresses: [machines["pod-b"].addresses.IPv4], conditions: { ready: true } }],
    ports: [{ name: "", port, protocol: "TCP" }],
  };
}
