import assert from "node:assert/strict";
import { planOf } from "../../backends/plans.ts";
import type { Cases } from "./packet_node.ts";

const web = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:8080"] });
const web6 = planOf({ clusterIP: "[fd00:96::10]:80", endpoints: ["[fd00:1::1]:8080"] });
const dns = planOf({
  name: "dns",
  protocol: "UDP",
  clusterIP: "10.96.0.10:53",
  endpoints: ["10.1.0.1:5353"],
});
const dns6 = planOf({
  name: "dns",
  protocol: "UDP",
  clusterIP: "[fd00:96::10]:53",
  endpoints: ["[fd00:1::1]:5353"],
});

const from = `IP(src="192.168.8.9", dst="10.96.0.10"`;
const from6 = `IPv6(src="fd00:8::9", dst="fd00:96::10"`;
const to = `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63`;
const to6 = `IPv6(src="fd00:8::1", dst="fd00:1::1", hlim=63`;
const syn = `TCP(sport=40000, dport=80)`;
const translatedSyn = `TCP(sport=61000, dport=8080)`;
const question = `UDP(sport=5000, dport=53)`;

/** Bytes of a header without options. No test run is made with less. */
const IPV4 = 20;
const IPV6 = 40;

/** How headers are read: whole, cut short, and those that are there for something else. */
export const headerCases: Cases = {
  "a packet that ends before its headers do is left alone, wherever it ends": async (node) => {
    await node.program([web, web6, dns, dns6]);
    await node.arrive(`${from})/${question}`);
    await node.arrive(`${from6})/${question}`);
    const before = await node.state();
    const quoted = `IP(src="192.168.8.1", dst="10.1.0.1")/UDP(sport=61000, dport=5353)`;
    const quoted6 = `IPv6(src="fd00:8::1", dst="fd00:1::1")/UDP(sport=61000, dport=5353)`;
    for (
      const [packet, network] of [
        [`${from}, options=[IPOption_RR()])/${syn}`, IPV4],
        [`${from})/TCP(sport=40000, dport=80, options=[("MSS", 1460), ("Timestamp", (1, 2))])`, IPV4],
        [`${from})/${question}`, IPV4],
        [`IP(src="10.1.0.1", dst="192.168.8.1")/ICMP(type=3, code=3)/${quoted}`, IPV4],
        [`${from6})/IPv6ExtHdrHopByHop()/IPv6ExtHdrFragment(m=1)/IPv6ExtHdrDestOpt()/${syn}`, IPV6],
        [`${from6})/${question}`, IPV6],
        [`IPv6(src="fd00:1::1", dst="fd00:8::1")/ICMPv6DestUnreach(code=4)/${quoted6}`, IPV6],
      ] as const
    ) {
      // Its length says so, or not.
      const lengths = `for length in range(${network}, len(packet)) for end in [cut, shortened]`;
      await node.areLeftAlone(`[end(packet, length) for packet in [${packet}] ${lengths}]`);
    }
    assert.equal((await node.state()).flows, before.flows);
  },

  "TCP headers that say to be shorter than they can be, or longer than the packet": async (node) => {
    await node.program([web, web6]);
    for (const offset of [0, 4, 6, 15]) {
      await node.isLeftAlone(`${from})/TCP(sport=40000, dport=80, dataofs=${offset})`);
      await node.isLeftAlone(`${from6})/TCP(sport=40000, dport=80, dataofs=${offset})`);
    }
    assert.equal((await node.state()).flows, 0);
  },

  "a length of 0 says that it does not fit its field": async (node) => {
    await node.program([web, web6]);
    await node.becomes(`${from}, len=0)/${syn}/b"long"`, `${to}, len=0)/${translatedSyn}/b"long"`);
    await node.becomes(`${from6}, plen=0)/${syn}/b"long"`, `${to6}, plen=0)/${translatedSyn}/b"long"`);
  },

  "every extension header that may come before the transport": async (node) => {
    await node.program([web6]);
    for (
      const headers of [
        `IPv6ExtHdrHopByHop()`,
        `IPv6ExtHdrRouting(segleft=0)`,
        `IPv6ExtHdrDestOpt()`,
        `IPv6ExtHdrFragment(id=7)`,
        `IPv6ExtHdrHopByHop()/IPv6ExtHdrDestOpt()/IPv6ExtHdrRouting(segleft=0)/IPv6ExtHdrFragment(id=7)/IPv6ExtHdrDestOpt()`,
        `IPv6ExtHdrDestOpt(options=[PadN(optdata=b"x" * 250)])`,
      ]
    ) await node.becomes(`${from6})/${headers}/${syn}`, `${to6})/${headers}/${translatedSyn}`);
    assert.equal((await node.state()).fragments, 0);
  },

  "as many extension headers as are read, and one more": async (node) => {
    await node.program([web6]);
    const headers = (count: number) => Array(count).fill("IPv6ExtHdrDestOpt()/").join("");
    await node.becomes(`${from6})/${headers(6)}${syn}`, `${to6})/${headers(6)}${translatedSyn}`);
    await node.isLeftAlone(`${from6})/${headers(7)}${syn}`);
  },

  "extension headers that lead nowhere": async (node) => {
    await node.program([web6, dns6]);
    for (
      const packet of [
        // Longer than the packet.
        `${from6}, nh=0)/bytes([6, 200])/b"123456"/${syn}`,
        // Authenticated, encrypted, none at all, and one that nobody knows.
        `${from6}, nh=51)/bytes([6, 4])/(b"\\0" * 22)/${syn}`,
        `${from6}, nh=50)/${syn}`,
        `${from6}, nh=59)/${syn}`,
        `${from6}, nh=200)/${syn}`,
        // Later fragments of what has no ports.
        `${from6})/IPv6ExtHdrFragment(id=9, offset=2, nh=58)/b"12345678"`,
        `${from6})/IPv6ExtHdrFragment(id=9, offset=2, nh=60)/b"12345678"`,
        // Of a first one that was not seen.
        `IPv6(src="fd00:8::9", dst="fd00:8::1")/IPv6ExtHdrFragment(id=9, offset=2, nh=17)/b"12345678"`,
        `${from6}, version=5)/${syn}`,
      ]
    ) await node.isLeftAlone(packet);
    assert.equal((await node.state()).flows, 0);
  },

  "addresses that pass for IPv4 in IPv6 packets, and those that nearly do": async (node) => {
    await node.program([web, web6]);
    for (
      const addresses of [
        `src="::ffff:192.168.8.9", dst="fd00:96::10"`,
        `src="fd00:8::9", dst="::ffff:10.96.0.10"`,
      ]
    ) await node.isLeftAlone(`IPv6(${addresses})/${syn}`);
    for (const source of ["0:0:1::9", "::1:0:192.168.8.9", "::192.168.8.9", "::1:0:0:1", "::1:0:1"]) {
      await node.becomes(`IPv6(src="${source}", dst="fd00:96::10")/${syn}`, `${to6})/${translatedSyn}`);
      await node.program([web6]);
    }
  },

  "what no packet from elsewhere has as its source": async (node) => {
    await node.program([web, web6]);
    for (
      const source of [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.9.9.9",
        "224.0.0.1",
        "255.255.255.255",
        "192.168.8.1",
      ]
    ) {
      await node.isLeftAlone(`IP(src="${source}", dst="10.96.0.10")/${syn}`);
    }
    for (const source of ["::", "::1", "ff02::1", "fd00:8::1"]) {
      await node.isLeftAlone(`IPv6(src="${source}", dst="fd00:96::10")/${syn}`);
    }
    assert.equal((await node.state()).flows, 0);
  },

  "protocols without ports, and fragments of them": async (node) => {
    await node.program([web, web6]);
    for (
      const packet of [
        `${from})/ICMP(type=8)/b"ping"`,
        `${from})/ICMP(type=0)/b"pong"`,
        `${from6})/ICMPv6EchoRequest()`,
        `${from6})/ICMPv6ND_NS(tgt="fd00:8::1")`,
        `${from6}, nh=58)/bytes(40)`,
        // ICMP of the other family.
        `${from6}, nh=1)/bytes(ICMP(type=3)/IP()/UDP())`,
        `${from}, proto=58)/bytes(ICMPv6DestUnreach()/IPv6()/UDP())`,
        `${from}, proto=51)/(b"\\0" * 24)`,
        `${from}, frag=3, proto=1)/b"12345678"`,
        `${from}, flags="MF")/ICMP(type=3, code=3)/IP(src="10.96.0.10", dst="192.168.8.9")/UDP(sport=53, dport=5000)`,
        `${from6})/IPv6ExtHdrFragment(m=1)/ICMPv6DestUnreach()/IPv6()/UDP()`,
      ]
    ) await node.isLeftAlone(packet);
  },

  "frames with a tag that nobody took off": async (node) => {
    await node.program([web]);
    const frame = `Ether(src="02:00:00:00:00:09", dst="02:00:00:00:00:01")/Dot1Q(vlan=5)/${from})/${syn}`;
    assert.deepEqual(await node.arriveFrame(frame), { action: "pass", packet: await node.build(frame) });
  },

  "segments that were put together: the way is asked for one of them, all are counted": async (node) => {
    await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.7.1:8080"] })]);
    const [packet, expected] = [
      `${from})/TCP(sport=40000, dport=80, flags="PA")/(b"x" * 3000)`,
      `IP(src="192.168.8.1", dst="10.1.7.1", ttl=63)/TCP(sport=61000, dport=8080, flags="PA")/(b"x" * 3000)`,
    ];
    // 1400 bytes go that way.
    await node.arrive(packet);
    assert.equal((await node.state()).flows, 0);
    await node.becomes(packet, expected, { aggregated: { segments: 3, size: 1360 } });
  },
};
