import assert from "node:assert/strict";
import { planOf } from "../../backends/plans.ts";
import { PacketNode } from "./packet_node.ts";

/** FUZZ_PACKETS=1000000 is the long form; FUZZ_SEED repeats a run. */
const packets = Number(Deno.env.get("FUZZ_PACKETS") ?? 30_000);
const seed = Number(Deno.env.get("FUZZ_SEED") ?? Math.floor(Math.random() * 2 ** 32));

/** Entries of conntrack that the driver makes room for. */
const MOST_ENTRIES = 1 << 17;

Deno.test(`packets with arbitrary changes do no harm (FUZZ_SEED=${seed})`, async () => {
  await using node = await PacketNode.make();
  await node.program(
    [
      planOf({
        nodePort: 30080,
        clusterIP: "10.96.0.10:80",
        endpoints: ["10.1.0.1:8080@here", "10.1.9.1:8080"],
      }),
      planOf({ nodePort: 30080, family: "IPv6", endpoints: ["[fd00:1::1]:8080@here", "[fd00:1:7::1]:8080"] }),
      planOf({
        name: "dns",
        protocol: "UDP",
        clusterIP: "10.96.0.10:53",
        endpoints: ["10.1.0.1:5353", "10.1.7.1:5353"],
      }),
      planOf({
        name: "dns",
        protocol: "UDP",
        clusterIP: "[fd00:96::10]:53",
        endpoints: ["[fd00:1::1]:5353"],
      }),
      planOf({ name: "none", protocol: "UDP", nodePort: 30053, external: "reject", endpoints: [] }),
      planOf({
        name: "none",
        protocol: "UDP",
        nodePort: 30053,
        family: "IPv6",
        external: "reject",
        endpoints: [],
      }),
      planOf({ name: "here", nodePort: 30443, endpoints: ["192.168.8.1:6443@here"], affinitySeconds: 60 }),
    ],
    { map: { firstPort: 1024, lastPort: 29999 } },
  );
  const counts = await node.fuzz(seeds, seed, packets);
  // They mean something often enough to get everywhere.
  for (
    const [action, name] of [[7, "sent on or back"], [2, "dropped"], [
      0xffffffff,
      "left to the stack",
    ]] as const
  ) {
    assert((counts[action] ?? 0) > packets / 200, `${name}: ${counts[action]} of ${packets}`);
  }
  assert.equal(Object.keys(counts).length, 3, "no program says anything else");
  const { flows, halves } = await node.state();
  assert(flows <= MOST_ENTRIES);
  // Where none was evicted.
  if (2 * packets < MOST_ENTRIES) assert.equal(halves, 0);
});

Deno.test({ name: "flows that are over make room for others", ignore: packets < 1_000_000 }, async () => {
  await using node = await PacketNode.make();
  const dns = planOf({
    name: "dns",
    protocol: "UDP",
    clusterIP: "10.96.0.10:53",
    endpoints: ["10.1.0.1:5353"],
  });
  await node.program([dns], { map: { firstPort: 1024, lastPort: 29999, udpSeconds: 1 } });
  const packet = `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(dport=53, chksum=0)`;
  await node.flood(packet, 10_000, 2000);
  assert.equal((await node.state()).flows, 4000);
  // REVISIT_AFTER of bpf/conntrack.h
  await new Promise((resolve) => setTimeout(resolve, 31_000));
  await node.flood(packet, 20_000, 1000);
  assert.equal((await node.state()).flows, 2000);
});

const ipv4 = `IP(src="192.168.8.9", dst="192.168.8.1")`;
const ipv6 = `IPv6(src="fd00:8::9", dst="fd00:8::1")`;
const seeds = [
  `${ipv4}/TCP(sport=40000, dport=30080)/b"hello"`,
  `${ipv4}/TCP(sport=40000, dport=30080, flags="FA")/b"hello"`,
  `${ipv4}/TCP(sport=40000, dport=30443, options=[("MSS", 1460), ("Timestamp", (1, 2))])`,
  `IP(src="192.168.8.9", dst="192.168.8.1", options=[IPOption_RR(), IPOption_Timestamp()])/TCP(sport=40000, dport=30080)`,
  `${ipv4}/UDP(sport=5000, dport=30053)/b"question"`,
  `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)/(b"question" * 170)`,
  `IP(src="192.168.8.9", dst="10.96.0.10", id=7, flags="MF")/UDP(sport=5000, dport=53)/b"first..."`,
  `IP(src="192.168.8.9", dst="10.96.0.10", id=7, frag=2, proto=17)/b"second.."`,
  `IP(src="192.168.8.9", dst="10.96.0.10", ttl=1)/UDP(sport=5000, dport=53)/b"question"`,
  `IP(src="192.168.8.2", dst="10.96.0.10")/ICMP(type=3, code=4)/IP(src="10.96.0.10", dst="192.168.8.9")/UDP(sport=53, dport=5000)`,
  `${ipv6}/TCP(sport=40000, dport=30080)/b"hello"`,
  `${ipv6}/UDP(sport=5000, dport=30053)/b"question"`,
  `${ipv6}/IPv6ExtHdrHopByHop(options=[PadN(optdata=b"1234")])/IPv6ExtHdrDestOpt()/TCP(sport=40000, dport=30080)`,
  `IPv6(src="fd00:8::9", dst="fd00:96::10")/IPv6ExtHdrFragment(id=9, m=1)/UDP(sport=5000, dport=53)/b"first..."`,
  `IPv6(src="fd00:8::9", dst="fd00:96::10")/IPv6ExtHdrFragment(id=9, offset=2, nh=17)/b"second.."`,
  `IPv6(src="fd00:8::2", dst="fd00:96::10")/ICMPv6PacketTooBig(mtu=1300)/IPv6(src="fd00:96::10", dst="fd00:8::9")/UDP(sport=53, dport=5000)`,
  `IPv6(src="fd00:8::9", dst="fd00:8::1")/TCP(sport=40000, dport=30080, flags="PA")/(b"x" * 1420)`,
];
