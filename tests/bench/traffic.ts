import { NetworkNamespace } from "../integration/support/network_namespace.ts";
import { load } from "../integration/nftables/support/listing.ts";
import { type Figure, median, rows } from "./report.ts";

// Measures what counting costs the first packet of a connection in mode nftables: the rule that mode nftables adds,
// evaluated by packets that pass it many times, less the time of packets that pass no rule. The rate of connections
// does not show it, because it differs more from one run to the next.

const COPIES = 200;
const ROUNDS = 9;
const PACKETS = 20_000;
const RULE = "update @connections { ip daddr . meta l4proto . th dport counter }";

/** Sends datagrams to a port of the loopback address, and prints the seconds that this took. */
const SENDER = `
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); r.bind(("127.0.0.1", 9000))
s.connect(("127.0.0.1", 9000))
start = time.process_time()
for _ in range(${PACKETS}): s.send(b"x")
print(time.process_time() - start)
`;

await using namespace = await NetworkNamespace.make();
await namespace.run("ip", "link", "set", "lo", "up");
const figures: Figure[] = [];
for (const elements of [1, 1000, 30_000]) {
  const costs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const without = await secondsWith(0, elements);
    const withRules = await secondsWith(COPIES, elements);
    costs.push((withRules - without) / PACKETS / COPIES * 1e9);
  }
  const spread = `${Math.min(...costs).toFixed(0)}-${Math.max(...costs).toFixed(0)}`;
  figures.push({
    name: `the set has ${elements} elements`,
    value: `${median(costs).toFixed(0)} ns (${spread})`,
  });
}
console.log(rows("Cost of the counter per connection, mode nftables", figures));

/** CPU time for all packets if each passes so many copies of the rule. */
async function secondsWith(copies: number, elements: number): Promise<number> {
  const others = Array.from(
    { length: elements },
    (_, n) => `10.${96 + (n >> 16)}.${n >> 8 & 255}.${n & 255} . tcp . 80 counter`,
  );
  await load(
    namespace,
    `table ip bench
    delete table ip bench
    table ip bench {
      set connections { type ipv4_addr . inet_proto . inet_service; flags dynamic; elements = { ${
      others.join(", ")
    } }
      }
      chain output { type filter hook output priority 0; ${`${RULE}; `.repeat(copies)} }
    }`,
  );
  return Number(await namespace.run("python3", "-c", SENDER));
}
