import assert from "node:assert/strict";
import { smallOptions } from "../../backends/ebpf/options.ts";
import { planOf } from "../../backends/plans.ts";
import { slowness } from "../../lab/pace.ts";
import { PacketNode } from "./support/packets/packet_node.ts";

/** FUZZ_PACKETS sets the length of a run, FUZZ_SEED repeats one. */
const PACKETS = Number(Deno.env.get("FUZZ_PACKETS") ?? (slowness > 1 ? 20_000 : 1_000_000));
const SEED = Number(Deno.env.get("FUZZ_SEED") ?? Math.floor(Math.random() * 2 ** 32));

/** Packets between two simulated days. The maps have capacity for the flows of all of them. */
const PACKETS_PER_DAY = 50_000;
const DAY_SECONDS = 86_400 + 60;

const plans = [
  planOf({ nodePort: 30080, clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:8080@here", "10.1.9.1:8080"] }),
  planOf({ nodePort: 30080, family: "IPv6", endpoints: ["[fd00:1::1]:8080@here", "[fd00:1:7::1]:8080"] }),
  planOf({
    name: "dns",
    protocol: "UDP",
    clusterIP: "10.96.0.10:53",
    endpoints: ["10.1.0.1:5353", "10.1.7.1:5353"],
  }),
  planOf({ name: "dns", protocol: "UDP", clusterIP: "[fd00:96::10]:53", endpoints: ["[fd00:1::1]:5353"] }),
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
];

Deno.test(`mutated packets do no harm and leave nothing behind (FUZZ_SEED=${SEED})`, async () => {
  await using node = await PacketNode.make();
  const settings = { map: { firstPort: 1024, lastPort: 29999 } };
  await node.program(plans, settings);
  const counts: Record<number, number> = {};
  let maxFlows = 0;
  for (let left = PACKETS, day = 0; left > 0; left -= PACKETS_PER_DAY, day++) {
    const today = await node.fuzz(SEED_PACKETS, SEED + day, Math.min(left, PACKETS_PER_DAY));
    for (const [action, count] of Object.entries(today)) {
      counts[Number(action)] = (counts[Number(action)] ?? 0) + count;
    }
    const { flows, unpaired } = await node.state();
    assert.equal(unpaired, 0);
    maxFlows = Math.max(maxFlows, flows / 2);
    await node.age(DAY_SECONDS);
    // They have expired, but stay until the map is full, because hardly any was assured.
    await node.forgetNew();
  }
  // Enough packets are valid enough to reach every result.
  for (
    const [action, name] of [
      [7, "redirected"],
      [2, "dropped"],
      [0xffffffff, "passed to the stack"],
    ] as const
  ) {
    assert((counts[action] ?? 0) > PACKETS / 200, `${name}: ${counts[action]} of ${PACKETS}`);
  }
  assert(maxFlows > Math.min(PACKETS, PACKETS_PER_DAY) / 10, `${maxFlows} flows`);
  assert.equal(Object.keys(counts).length, 3, "no program returns anything else");

  // Assured flows are removed as new flows are created.
  const created = 100;
  await node.flood(`IP(src="10.1.0.9", dst="10.96.0.10")/UDP(dport=53, chksum=0)`, 1, created);
  const { flows, unpaired, fragments, affinity, counters } = await node.state();
  assert.deepEqual({ flows, unpaired }, { flows: 2 * created, unpaired: 0 });
  assert(fragments <= MAX_FRAGMENTS, `${fragments} fragments`);
  assert(affinity <= smallOptions.capacity.clients, `${affinity} clients`);
  // At most one entry per service port and kind of frontend.
  const frontends = plans.reduce((sum, plan) => sum + plan.frontends.length, 0);
  assert(
    counters >= plans.length - 1 && counters <= frontends,
    `${counters} counters of ${frontends} frontends`,
  );
  // The maps that the proxy writes are unchanged.
  assert.deepEqual(await node.reprogram(plans, settings), []);
  console.log(`${PACKETS} packets, at most ${maxFlows} flows per ${PACKETS_PER_DAY} packets`);
});

/** Capacity of map fragments, bpf/maps/flows.h */
const MAX_FRAGMENTS = 1 << 12;

const ipv4 = `IP(src="192.168.8.9", dst="192.168.8.1")`;
const ipv6 = `IPv6(src="fd00:8::9", dst="fd00:8::1")`;
const SEED_PACKETS = [
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
