import assert from "node:assert/strict";
import { planOf } from "../../../backends/plans.ts";
import type { Cases } from "../support/packets/packet_node.ts";
import { dns, dns6, nodePort, web, web6 } from "../support/packets/plans.ts";

const fromPod = { device: "pod0" };
const request = `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;
/** Quotes without checksums; a case of its own covers those. */
const quoted = `IP(src="192.168.8.1", dst="10.1.0.1", ttl=62)/UDP(sport=61000, dport=5353, chksum=0)`;
const restored = `IP(src="192.168.8.9", dst="10.96.0.10", ttl=62)/UDP(sport=5000, dport=53, chksum=0)`;

/**
 * ICMP errors about translated packets: the addresses, ports and checksum in the quoted packet are restored.
 */
export const icmpErrorCases: Cases = {
  "errors about translated packets are translated, to the client and to the endpoint": async (node) => {
    await node.program([dns]);
    await node.ingress(`IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)/b"question"`);
    await node.translates(
      `IP(src="10.1.0.1", dst="192.168.8.1")/ICMP(type=3, code=3)/IP(src="192.168.8.1", dst="10.1.0.1", ttl=62)/UDP(sport=61000, dport=5353)/b"question"`,
      `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/ICMP(type=3, code=3)/IP(src="192.168.8.9", dst="10.96.0.10", ttl=62)/UDP(sport=5000, dport=53)/b"question"`,
      fromPod,
    );
    await node.translates(
      `IP(src="192.168.8.2", dst="10.96.0.10")/ICMP(type=3, code=4, nexthopmtu=1300)/IP(src="10.96.0.10", dst="192.168.8.9", ttl=62)/UDP(sport=53, dport=5000, len=1400)`,
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/ICMP(type=3, code=4, nexthopmtu=1300)/IP(src="10.1.0.1", dst="192.168.8.1", ttl=62)/UDP(sport=5353, dport=61000, len=1400)`,
    );
    await node.ignores(
      `IP(src="192.168.8.2", dst="192.168.8.1")/ICMP(type=3, code=4)/IP(src="192.168.8.1", dst="192.168.8.9")/UDP(sport=53, dport=5000)`,
    );
    await node.ignores(`IP(src="192.168.8.2", dst="192.168.8.1")/ICMP()`);
  },

  "errors about translated packets are translated (IPv6)": async (node) => {
    await node.program([dns6]);
    await node.ingress(`IPv6(src="fd00:8::9", dst="fd00:96::10")/UDP(sport=5000, dport=53)/b"question"`);
    await node.translates(
      `IPv6(src="fd00:1::1", dst="fd00:8::1")/ICMPv6DestUnreach(code=4)/IPv6(src="fd00:8::1", dst="fd00:1::1", hlim=62)/UDP(sport=61000, dport=5353)/b"question"`,
      `IPv6(src="fd00:96::10", dst="fd00:8::9", hlim=63)/ICMPv6DestUnreach(code=4)/IPv6(src="fd00:8::9", dst="fd00:96::10", hlim=62)/UDP(sport=5000, dport=53)/b"question"`,
      fromPod,
    );
    await node.translates(
      `IPv6(src="fd00:8::2", dst="fd00:96::10")/ICMPv6PacketTooBig(mtu=1300)/IPv6(src="fd00:96::10", dst="fd00:8::9", plen=1400)/UDP(sport=53, dport=5000, len=1400)`,
      `IPv6(src="fd00:8::1", dst="fd00:1::1", hlim=63)/ICMPv6PacketTooBig(mtu=1300)/IPv6(src="fd00:1::1", dst="fd00:8::1", plen=1400)/UDP(sport=5353, dport=61000, len=1400)`,
    );
  },

  "the quoted checksum is restored as far as it is quoted": async (node) => {
    await node.program([dns, nodePort]);
    const error = `ICMP(type=3, code=3)`;
    /** @param quote makes the expression for the quoted bytes of a packet. */
    const isRestored = (
      translated: string,
      original: string,
      service: string,
      quote = (packet: string) => packet,
    ) =>
      node.translates(
        `IP(src="10.1.0.1", dst="192.168.8.1")/${error}/${quote(translated)}`,
        `IP(src="${service}", dst="192.168.8.9", ttl=63)/${error}/${quote(original)}`,
        fromPod,
      );
    const bytes = (count: number) => (packet: string) => `Raw(bytes(${packet})[:${count}])`;

    await node.ingress(`IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`);
    const udp = (payload: string, more = "") =>
      [
        `IP(src="192.168.8.1", dst="10.1.0.1", ttl=62)/UDP(sport=61000, dport=5353${more})/${payload}`,
        `IP(src="192.168.8.9", dst="10.96.0.10", ttl=62)/UDP(sport=5000, dport=53${more})/${payload}`,
        "10.96.0.10",
      ] as const;
    await isRestored(...udp(`b"question"`));
    await isRestored(...udp(`b"question"`), bytes(28));
    await isRestored(...udp(`b"without a checksum"`, ", chksum=0"));
    // A UDP checksum of 0 is written as 0xffff.
    const filler = `bytes.fromhex("${(await node.build(udp(`b"\\0\\0"`)[1])).slice(52, 56)}")`;
    assert.equal((await node.build(udp(filler)[1])).slice(52, 56), "ffff");
    await isRestored(...udp(filler));

    await node.program([nodePort]);
    await node.ingress(`IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080)`);
    const tcp = [
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=62)/TCP(sport=61000, dport=8080)/b"question"`,
      `IP(src="192.168.8.9", dst="192.168.8.1", ttl=62)/TCP(sport=40000, dport=30080)/b"question"`,
      "192.168.8.1",
    ] as const;
    await isRestored(...tcp);
    // The required minimum, all bytes before the checksum, and the checksum too.
    for (const count of [20 + 8, 20 + 16, 20 + 18]) await isRestored(...tcp, bytes(count));
  },

  "every type of ICMP error is translated": async (node) => {
    await node.program([dns, web]);
    await node.ingress(request);
    for (const error of ["type=3, code=1", "type=3, code=13", "type=11, code=0", "type=12, code=0, ptr=20"]) {
      await node.translates(
        `IP(src="10.1.0.1", dst="192.168.8.1")/ICMP(${error})/${quoted}`,
        `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/ICMP(${error})/${restored}`,
        fromPod,
      );
    }
    // A quote of TCP may have only eight bytes.
    await node.program([web]);
    await node.ingress(`IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=40000, dport=80)`);
    const eight = (ports: string) => `bytes(TCP(${ports}))[:8]`;
    await node.translates(
      `IP(src="10.1.0.1", dst="192.168.8.1")/ICMP(type=11)/IP(src="192.168.8.1", dst="10.1.0.1", proto=6, len=40)/${
        eight("sport=61000, dport=8080")
      }`,
      `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/ICMP(type=11)/IP(src="192.168.8.9", dst="10.96.0.10", proto=6, len=40)/${
        eight("sport=40000, dport=80")
      }`,
      fromPod,
    );
  },

  "every type of ICMP error is translated (IPv6)": async (node) => {
    await node.program([web6]);
    await node.ingress(`IPv6(src="fd00:8::9", dst="fd00:96::10")/TCP(sport=40000, dport=80)`);
    for (
      const error of [
        "ICMPv6DestUnreach()",
        "ICMPv6PacketTooBig()",
        "ICMPv6TimeExceeded()",
        "ICMPv6ParamProblem()",
      ]
    ) {
      const tcp = (ports: string) => `bytes(TCP(${ports}))[:8]`;
      await node.translates(
        `IPv6(src="fd00:1::1", dst="fd00:8::1")/${error}/IPv6(src="fd00:8::1", dst="fd00:1::1", nh=6, plen=20)/${
          tcp("sport=61000, dport=8080")
        }`,
        `IPv6(src="fd00:96::10", dst="fd00:8::9", hlim=63)/${error}/IPv6(src="fd00:8::9", dst="fd00:96::10", nh=6, plen=20)/${
          tcp("sport=40000, dport=80")
        }`,
        fromPod,
      );
    }
  },

  "an error about SCTP that quotes eight bytes": async (node) => {
    await node.program([
      planOf({ protocol: "SCTP", clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80"] }),
    ]);
    await node.ingress(`IP(src="192.168.8.9", dst="10.96.0.10")/SCTP(sport=40000, dport=80)/SCTPChunkInit()`);
    const init = `bytes(SCTP(sport=40000, dport=80, chksum=7))[:8]`;
    await node.translates(
      `IP(src="10.1.0.1", dst="192.168.8.1")/ICMP(type=11)/IP(src="192.168.8.1", dst="10.1.0.1", proto=132, len=60)/${init}`,
      `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/ICMP(type=11)/IP(src="192.168.8.9", dst="10.96.0.10", proto=132, len=60)/${init}`,
      fromPod,
    );
  },

  "errors that are not about a translated packet are ignored": async (node) => {
    await node.program([dns]);
    await node.ingress(request);
    for (
      const about of [
        `IP(src="192.168.8.1", dst="10.1.0.1")/UDP(sport=61001, dport=5353)`,
        `IP(src="192.168.8.1", dst="10.1.0.1")/ICMP()`,
        `IP(src="192.168.8.1", dst="10.1.0.1")/ICMP(type=3)/IP()/UDP()`,
        `IP(src="192.168.8.1", dst="10.1.0.1", frag=2, proto=17)/b"12345678"`,
        `IP(src="192.168.8.1", dst="10.1.0.1", proto=17)/b"1234567"`,
        `IP(src="192.168.8.1", dst="10.1.0.1", ihl=3)/UDP(sport=61000, dport=5353)`,
        `IPv6(src="fd00:8::1", dst="fd00:1::1")/UDP(sport=61000, dport=5353)`,
        `b""`,
      ]
    ) await node.ignores(`IP(src="10.1.0.1", dst="192.168.8.1")/ICMP(type=3, code=3)/${about}`, fromPod);
  },

  "an error about a reply to an unmasqueraded client keeps its source address": async (node) => {
    await node.program([dns]);
    await node.ingress(`IP(src="10.1.0.2", dst="10.96.0.10")/UDP(sport=5000, dport=53)`, fromPod);
    await node.translates(
      `IP(src="10.1.0.7", dst="10.96.0.10")/ICMP(type=3, code=1)/IP(src="10.96.0.10", dst="10.1.0.2")/UDP(sport=53, dport=5000, chksum=0)`,
      `IP(src="10.1.0.7", dst="10.1.0.1", ttl=63)/ICMP(type=3, code=1)/IP(src="10.1.0.1", dst="10.1.0.2")/UDP(sport=5353, dport=5000, chksum=0)`,
      fromPod,
    );
  },

  "errors that cannot be forwarded are dropped without an answer": async (node) => {
    const about = (client: string, from = `IP(src="10.1.0.1", dst="192.168.8.1"`, more = "") =>
      `${from})/ICMP(type=3, code=3)/${quoted}${more}`.replace("192.168.8.9", client);
    for (
      const [client, error] of [
        ["10.1.7.9", about("10.1.7.9", `IP(src="10.1.0.1", dst="192.168.8.1", flags="DF"`, `/(b"x" * 1400)`)],
        ["192.168.8.9", about("192.168.8.9", `IP(src="10.1.0.1", dst="192.168.8.1", ttl=1`)],
      ] as const
    ) {
      await node.program([dns]);
      assert.equal((await node.ingress(request.replace("192.168.8.9", client))).action, "redirect");
      await node.drops(error, fromPod);
    }
    await node.namespace.run("sysctl", "-qw", "net.ipv4.conf.pod0.forwarding=0");
    await node.drops(about("192.168.8.9"), fromPod);
    await node.namespace.run("sysctl", "-qw", "net.ipv4.conf.pod0.forwarding=1");
  },
};
