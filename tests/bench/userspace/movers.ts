import { parseArgs } from "node:util";
import { run } from "../../integration/support/network_namespace.ts";
import { type Figure, median, rows } from "../report.ts";
import { haproxyConfiguration } from "./haproxy.ts";
import { BenchNetwork, NODE, SERVER, SERVICE, SERVICE_PORT } from "./network.ts";

// Compares ways to move the bytes of a relay: throughput, bytes that a relay accepts for a server that does not read,
// and transfers that arrive completely. docs/userspace.md, "How bytes are moved", has the decision.

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, seconds: { type: "string", default: "2" } },
});
const movers = ["copy", "splice", "sockmap"] as const;
const servers = { serve: 9000, hold: 9001, check: 9002 } as const;
type Server = keyof typeof servers;
/** Transfers of each size that are checked, in bytes. */
const SIZES = [10_000, 5_000_000];
const TRANSFERS = 10;

await using network = await BenchNetwork.make();
const { directory } = network;
const [bulk, relay] = [await network.compile("bulk"), await network.compile("movers", "-lbpf")];
const verdict = `${directory}/movers.bpf.o`;
const headers = `/usr/include/${Deno.build.arch}-linux-gnu`;
const verdictSource = new URL("movers.bpf.c", import.meta.url).pathname;
await run("clang", "-target", "bpf", "-O2", "-g", "-I", headers, "-c", verdictSource, "-o", verdict);

await network.translate(servers.serve);
network.start("server", bulk, "serve", directory, `${servers.serve}`);
network.start("server", bulk, "hold", `${servers.hold}`);
network.start("server", bulk, "check", `${servers.check}`);
for (const mover of movers) {
  for (const port of Object.values(servers)) {
    network.start("node", relay, mover, `${relayPort(mover, port)}`, SERVER, `${port}`, verdict);
  }
}
const listeners = [false, true].map((splice) => ({
  port: splice ? 7001 : 7000,
  server: `${SERVER}:${servers.serve}`,
  splice,
}));
await Deno.writeTextFile(`${directory}/haproxy.cfg`, haproxyConfiguration(listeners, 1000));
network.start("node", "haproxy", "-q", "-db", "-f", `${directory}/haproxy.cfg`);
await new Promise((resolve) => setTimeout(resolve, 1000));

const subjects = [
  { name: "direct", address: SERVICE, port: SERVICE_PORT },
  { name: "HAProxy", address: NODE, port: 7000 },
  { name: "HAProxy, splice-auto", address: NODE, port: 7001 },
  ...movers.map((mover) => ({ name: mover, address: NODE, port: relayPort(mover, servers.serve) })),
];
for (const connections of [1, 64]) console.log(rows(title(connections), await throughput(connections)));
console.log(
  rows("Accepted within 3 s for a server that does not read", await all((mover) => accepted(mover))),
);
console.log(
  rows(
    `Of ${TRANSFERS} transfers each of ${
      SIZES.join(" and ")
    } bytes, half-closed, arrived completely and were answered`,
    await all((mover) => complete(mover)),
  ),
);

function title(connections: number): string {
  return `Throughput, ${connections} connection${connections === 1 ? "" : "s"}, load ${
    Deno.loadavg()[0]?.toFixed(1)
  }`;
}

function relayPort(mover: typeof movers[number], server: number): number {
  return server - 1000 + 100 * (movers.indexOf(mover) + 1);
}

/** Subjects take turns, so that load on the machine hits all of them. */
async function throughput(connections: number): Promise<readonly Figure[]> {
  const rates = new Map<string, number[]>(subjects.map(({ name }) => [name, []]));
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const { name, address, port } of subjects) {
      const command = [bulk, "send", directory, address, `${port}`, `${connections}`, values.seconds];
      rates.get(name)?.push(Number(await network.run("client", ...command)) * 8 / 1e9);
    }
  }
  const direct = median(rates.get("direct") ?? []);
  return [...rates].map(([name, values]) => ({
    name,
    value: `${median(values).toFixed(1)} Gbit/s, ${(median(values) / direct).toFixed(2)} of direct (${
      values.map((value) => value.toFixed(1)).join(", ")
    })`,
  }));
}

async function accepted(mover: typeof movers[number]): Promise<string> {
  const port = relayPort(mover, servers["hold" satisfies Server]);
  const bytes = Number(await network.run("client", bulk, "fill", NODE, `${port}`, "3"));
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

async function complete(mover: typeof movers[number]): Promise<string> {
  const counts: string[] = [];
  for (const size of SIZES) {
    let count = 0;
    for (let transfer = 0; transfer < TRANSFERS; transfer++) {
      const port = relayPort(mover, servers.check);
      const answer = await network.run("client", bulk, "transfer", NODE, `${port}`, `${size}`)
        .catch(() => "0");
      if (Number(answer) === size) count++;
    }
    counts.push(`${count}`);
  }
  return counts.join(" and ");
}

async function all(measure: (mover: typeof movers[number]) => Promise<string>): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const name of movers) figures.push({ name, value: await measure(name) });
  return figures;
}
