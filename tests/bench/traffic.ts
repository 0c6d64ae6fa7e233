import { TableText } from "../../backends/nf_tables/text/table_text.ts";
import { tableFamilyOf } from "../../backends/nf_tables/families.ts";
import { TABLE, writeTable } from "../../backends/iptables/volumes/table.ts";
import { planOf } from "../backends/plans.ts";
import { load } from "../integration/nftables/support/listing.ts";
import { NetworkNamespace } from "../integration/support/network_namespace.ts";
import { type Figure, median, rows } from "./report.ts";

// Measures what counting costs a packet: the rules that count, evaluated by packets that pass many copies of them, less
// the time of packets that pass none. The rate of connections does not show it, because it differs more from one run to
// the next. conntrack_accounting.ts measures the alternative.

const ROUNDS = 5;
const PACKETS = 20_000;
/** Copies of a rule that all packets pass. */
const COPIES = 200;
/** Copies of the table that counts packets and bytes. Each has chains of its own at four hooks. */
const TABLES = 20;

const KEY = "ip daddr . meta l4proto . th dport";
const CONNECTION = `update @connections { ${KEY} counter }`;
const FIRST_OF_FULL = `update @packets { ${KEY} counter }; update @frontends { ${KEY} }`;
const SERVICE = "10.96.0.10";
const ENDPOINT = "192.0.2.2";

/** Sends datagrams to an address and port, and prints the seconds of CPU that this took. */
const SENDER = `
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 9000))
s.send(b"x")
start = time.process_time()
for _ in range(${PACKETS}): s.send(b"x")
print(time.process_time() - start)
`;

await using namespace = await NetworkNamespace.make();
await prepare();
const perConnection: Figure[] = [];
for (const elements of [1, 1000, 30_000]) {
  perConnection.push(
    await figure(
      `connections, ${elements} frontends`,
      COPIES,
      (copies) => ruleTables(CONNECTION, copies, elements),
    ),
    await figure(
      `full in addition, ${elements} frontends`,
      COPIES,
      (copies) => ruleTables(FIRST_OF_FULL, copies, elements),
    ),
  );
}
console.log(rows("Cost of a connection, mode nftables", perConnection));
console.log(rows("Cost of each packet with full", [
  await figure("of a service", TABLES, (copies) => volumeTables(copies), SERVICE),
  await figure("of anything else", TABLES, (copies) => volumeTables(copies), ENDPOINT),
]));

/** Packets leave through an interface whose other end drops them. */
async function prepare(): Promise<void> {
  await namespace.run("ip", "link", "set", "lo", "up");
  await namespace.run("ip", "link", "add", "out", "type", "veth", "peer", "name", "sink");
  await namespace.run("ip", "link", "set", "sink", "up");
  await namespace.run("ip", "link", "set", "out", "up");
  await namespace.run("ip", "addr", "add", "192.0.2.1/24", "dev", "out");
  await namespace.run("ip", "route", "add", "10.96.0.0/16", "dev", "out");
  await namespace.run("ip", "neigh", "add", ENDPOINT, "lladdr", "02:00:00:00:00:02", "dev", "out");
}

/** The cost of one copy for one packet: the median of the rounds, and their range. */
async function figure(
  name: string,
  copies: number,
  tables: (copies: number) => string,
  to = ENDPOINT,
): Promise<Figure> {
  const costs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const without = await secondsWith(tables(0), to);
    costs.push((await secondsWith(tables(copies), to) - without) / PACKETS / copies * 1e9);
  }
  const spread = `${Math.min(...costs).toFixed(0)}-${Math.max(...costs).toFixed(0)}`;
  return { name, value: `${median(costs).toFixed(0)} ns (${spread})` };
}

/** CPU time for all packets with these tables. */
async function secondsWith(tables: string, to: string): Promise<number> {
  await load(
    namespace,
    `flush ruleset
    table ip nat {
      chain output {
        type nat hook output priority -100
        ip daddr ${SERVICE} dnat to ${ENDPOINT}
      }
    }
    ${tables}`,
  );
  return Number(await namespace.run("python3", "-c", SENDER, to));
}

/** A chain with so many copies of the rules, whose sets have so many elements. */
function ruleTables(rules: string, copies: number, elements: number): string {
  const others = (counter: string) =>
    Array.from(
      { length: elements },
      (_, n) => `10.${96 + (n >> 16)}.${n >> 8 & 255}.${n & 255} . tcp . 80${counter}`,
    ).join(", ");
  const set = (name: string, counter: string) =>
    `set ${name} {
      type ipv4_addr . inet_proto . inet_service
      flags dynamic
      elements = { ${others(counter)} }
    }`;
  return `table ip bench {
    ${set("connections", " counter")}
    ${set("packets", " counter")}
    ${set("frontends", "")}
    chain output { type filter hook output priority 0; ${`${rules}; `.repeat(copies)} }
  }`;
}

/** So many copies of the table of mode iptables. The chains of mode nftables have the same rules. */
function volumeTables(copies: number): string {
  const family = tableFamilyOf("IPv4");
  const plans = Array.from(
    { length: 1000 },
    (_, n) => planOf({ name: `svc-${n}`, protocol: "UDP", clusterIP: `10.96.${n >> 8}.${n & 255}:9000` }),
  );
  return Array.from({ length: copies }, (_, n) => {
    const text = new TableText({ ...TABLE, name: `${TABLE.name}-${n}` }, family);
    writeTable(text, family, plans);
    return text.text().replace(/^delete .*$/m, "");
  }).join("\n");
}
