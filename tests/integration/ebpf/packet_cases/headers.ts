import assert from "node:assert/strict";
import { planOf } from "../../../backends/plans.ts";
import type { Cases } from "../support/packets/packet_node.ts";
import { dns, dns6, nodePort, nodePort6, web, web6 } from "../support/packets/plans.ts";

const from = `IP(src="192.168.8.9", dst="10.96.0.10"`;
const from6 = `IPv6(src="fd00:8::9", dst="fd00:96::10"`;
const to = `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63`;
const to6 = `IPv6(src="fd00:8::1", dst="fd00:1::1", hlim=63`;
const syn = `TCP(sport=40000, dport=80)`;
const translatedSyn = `TCP(sport=61000, dport=8080)`;
const request = `UDP(sport=5000, dport=53)`;

/** Bytes of a header without options. The kernel rejects test runs with fewer bytes. */
const IPV4 = 20;
const IPV6 = 40;

/** Parsing of headers: complete, truncated, and of protocols that are not balanced. */
export const headerCases: Cases = {
  "a packet truncated within its headers is ignored, wherever it ends": async (node) => {
    await node.program([web, web6, dns, dns6]);
    await node.ingress(`${from})/${request}`);
    await node.ingress(`${from6})/${request}`);
    const before = await node.state();
    const quoted = `IP(src="192.168.8.1", dst="10.1.0.1")/UDP(sport=61000, dport=5353)`;
    const quoted6 = `IPv6(src="fd00:8::1", dst="fd00:1::1")/UDP(sport=61000, dport=5353)`;
    for (
      const [packet, network] of [
        [`${from}, options=[IPOption_RR()])/${syn}`, IPV4],
        [`${from})/TCP(sport=40000, dport=80, options=[("MSS", 1460), ("Timestamp", (1, 2))])`, IPV4],
        [`${from})/${request}`, IPV4],
        [`IP(src="10.1.0.1", dst="192.168.8.1")/ICMP(type=3, code=3)/${quoted}`, IPV4],
        [`${from6})/IPv6ExtHdrHopByHop()/IPv6ExtHdrFragment(m=1)/IPv6ExtHdrDestOpt()/${syn}`, IPV6],
        [`${from6})/${request}`, IPV6],
        [`IPv6(src="fd00:1::1", dst="fd00:8::1")/ICMPv6DestUnreach(code=4)/${quoted6}`, IPV6],
      ] as const
    ) {
      // With and without a matching length in the header.
      const lengths = `for length in range(${network}, len(packet)) for end in [cut, shortened]`;
      await node.ignoresAll(`[end(packet, length) for packet in [${packet}] ${lengths}]`);
    }
    assert.equal((await node.state()).flows, before.flows);
  },

  "a TCP data offset below the minimum or beyond the packet is ignored": async (node) => {
    await node.program([web, web6]);
    for (const offset of [0, 4, 6, 15]) {
      await node.ignores(`${from})/TCP(sport=40000, dport=80, dataofs=${offset})`);
      await node.ignores(`${from6})/TCP(sport=40000, dport=80, dataofs=${offset})`);
    }
    assert.equal((await node.state()).flows, 0);
  },

  "an IP length of 0 means that the length exceeds its field": async (node) => {
    await node.program([web, web6]);
    await node.translates(`${from}, len=0)/${syn}/b"long"`, `${to}, len=0)/${translatedSyn}/b"long"`);
    await node.translates(`${from6}, plen=0)/${syn}/b"long"`, `${to6}, plen=0)/${translatedSyn}/b"long"`);
  },

  "every extension header that may precede the transport header": async (node) => {
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
    ) await node.translates(`${from6})/${headers}/${syn}`, `${to6})/${headers}/${translatedSyn}`);
    assert.equal((await node.state()).fragments, 0);
  },

  "the maximum number of extension headers, and one more": async (node) => {
    await node.program([web6]);
    const headers = (count: number) => Array(count).fill("IPv6ExtHdrDestOpt()/").join("");
    await node.translates(`${from6})/${headers(6)}${syn}`, `${to6})/${headers(6)}${translatedSyn}`);
    await node.ignores(`${from6})/${headers(7)}${syn}`);
  },

  "extension headers without a readable transport header": async (node) => {
    await node.program([web6, dns6]);
    for (
      const packet of [
        // A header that is longer than the packet.
        `${from6}, nh=0)/bytes([6, 200])/b"123456"/${syn}`,
        // AH, ESP, no next header, and an unknown protocol.
        `${from6}, nh=51)/bytes([6, 4])/(b"\\0" * 22)/${syn}`,
        `${from6}, nh=50)/${syn}`,
        `${from6}, nh=59)/${syn}`,
        `${from6}, nh=200)/${syn}`,
        // Later fragments of protocols without ports.
        `${from6})/IPv6ExtHdrFragment(id=9, offset=2, nh=58)/b"12345678"`,
        `${from6})/IPv6ExtHdrFragment(id=9, offset=2, nh=50)/b"12345678"`,
        // A fragment whose first fragment was not seen.
        `IPv6(src="fd00:8::9", dst="fd00:8::1")/IPv6ExtHdrFragment(id=9, offset=2, nh=17)/b"12345678"`,
        `${from6}, version=5)/${syn}`,
      ]
    ) await node.ignores(packet);
    assert.equal((await node.state()).flows, 0);
  },

  "IPv4-mapped addresses in IPv6 packets are ignored, similar ones are not": async (node) => {
    await node.program([web, web6]);
    for (
      const addresses of [
        `src="::ffff:192.168.8.9", dst="fd00:96::10"`,
        `src="fd00:8::9", dst="::ffff:10.96.0.10"`,
      ]
    ) await node.ignores(`IPv6(${addresses})/${syn}`);
    for (const source of ["0:0:1::9", "::1:0:192.168.8.9", "::192.168.8.9", "::1:0:0:1", "::1:0:1"]) {
      await node.translates(`IPv6(src="${source}", dst="fd00:96::10")/${syn}`, `${to6})/${translatedSyn}`);
      await node.program([web6]);
    }
  },

  "source addresses that no packet from another host can have": async (node) => {
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
      await node.ignores(`IP(src="${source}", dst="10.96.0.10")/${syn}`);
    }
    for (const source of ["::", "::1", "ff02::1", "fd00:8::1"]) {
      await node.ignores(`IPv6(src="${source}", dst="fd00:96::10")/${syn}`);
    }
    assert.equal((await node.state()).flows, 0);
  },

  "protocols without ports, and their fragments": async (node) => {
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
    ) await node.ignores(packet);
  },

  "frames with a VLAN tag in the packet data": async (node) => {
    await node.program([web]);
    const frame = `Ether(src="02:00:00:00:00:09", dst="02:00:00:00:00:01")/Dot1Q(vlan=5)/${from})/${syn}`;
    assert.deepEqual(await node.ingressFrame(frame), { action: "pass", packet: await node.build(frame) });
  },

  "for aggregated segments, the route's MTU applies to a single one": async (node) => {
    await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.7.1:8080"] })]);
    const [packet, expected] = [
      `${from}, flags="DF")/TCP(sport=40000, dport=80, flags="PA")/(b"x" * 3000)`,
      `IP(src="192.168.8.1", dst="10.1.7.1", ttl=63, flags="DF")/TCP(sport=61000, dport=8080, flags="PA")/(b"x" * 3000)`,
    ];
    // The route's MTU is 1400 bytes.
    await node.ingress(packet);
    assert.equal((await node.state()).flows, 0);
    await node.translates(packet, expected, { aggregation: { segments: 3, size: 1360 } });
  },

  "options and extension headers are preserved": async (node) => {
    await node.program([nodePort, nodePort6]);
    const options = `options=[IPOption_Timestamp(), IPOption_RR()]`;
    await node.translates(
      `IP(src="192.168.8.9", dst="192.168.8.1", ${options})/TCP(sport=40001, dport=30080)/b"x"`,
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63, ${options})/TCP(sport=61000, dport=8080)/b"x"`,
    );
    const headers =
      `IPv6ExtHdrHopByHop(options=[PadN(optdata=b"1234")])/IPv6ExtHdrDestOpt(options=[PadN(optdata=b"12345678")])`;
    await node.translates(
      `IPv6(src="fd00:8::9", dst="fd00:8::1")/${headers}/TCP(sport=40001, dport=30080)`,
      `IPv6(src="fd00:8::1", dst="fd00:1::1", hlim=63)/${headers}/TCP(sport=61000, dport=8080)`,
    );
    const many = Array(7).fill("IPv6ExtHdrDestOpt()").join("/");
    await node.ignores(`IPv6(src="fd00:8::9", dst="fd00:8::1")/${many}/TCP(sport=40001, dport=30080)`);
  },
};
