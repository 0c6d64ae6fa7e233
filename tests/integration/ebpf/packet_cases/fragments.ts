import assert from "node:assert/strict";
import { DROP } from "../../../../backends/ebpf/maps/layout.ts";
import type { Cases } from "../support/packets/packet_node.ts";
import { dns, dns6 } from "../support/packets/plans.ts";

/** Fragments take the ports of their first fragment. */
export const fragmentCases: Cases = {
  "later fragments are translated like their first one, in both directions": async (node) => {
    await node.program([dns]);
    const request =
      `IP(src="192.168.8.9", dst="10.96.0.10", id=77)/UDP(sport=5000, dport=53)/(b"eight..." * 9)`;
    const translated =
      `IP(src="192.168.8.1", dst="10.1.0.1", id=77, ttl=63)/UDP(sport=61000, dport=5353)/(b"eight..." * 9)`;
    for (const part of [0, 1, 2]) await node.translates(fragment(request, part), fragment(translated, part));
    // A fragment whose first fragment was not seen.
    const stray = (to: string) => `IP(src="192.168.8.9", dst="${to}", id=78, frag=3, proto=17)/b"of another"`;
    const before = (await node.state()).drops[DROP.FRAGMENT]!;
    await node.drops(stray("10.96.0.10"));
    await node.ignores(stray("192.168.8.1"));
    assert.equal((await node.state()).drops[DROP.FRAGMENT], before + 1);
    const reply =
      `IP(src="10.1.0.1", dst="192.168.8.1", id=5)/UDP(sport=5353, dport=61000)/(b"eight..." * 5)`;
    const translatedReply =
      `IP(src="10.96.0.10", dst="192.168.8.9", id=5, ttl=63)/UDP(sport=53, dport=5000)/(b"eight..." * 5)`;
    for (const part of [0, 1]) {
      await node.translates(fragment(reply, part), fragment(translatedReply, part), { device: "pod0" });
    }
    assert.equal((await node.state()).fragments, 2);
  },

  "later fragments are translated like their first one (IPv6)": async (node) => {
    await node.program([dns6]);
    const payload = `(b"eight..." * 200)`;
    const request =
      `IPv6(src="fd00:8::9", dst="fd00:96::10")/IPv6ExtHdrFragment(id=9)/UDP(sport=5000, dport=53)/${payload}`;
    const translated =
      `IPv6(src="fd00:8::1", dst="fd00:1::1", hlim=63)/IPv6ExtHdrFragment(id=9)/UDP(sport=61000, dport=5353)/${payload}`;
    for (const part of [0, 1]) await node.translates(fragment6(request, part), fragment6(translated, part));
  },

  "later fragments of an expired flow are ignored": async (node) => {
    await node.program([dns]);
    const part = (text: string) => `IP(src="192.168.8.9", dst="10.96.0.10", id=7, ${text})`;
    await node.ingress(`${part(`flags="MF"`)}/UDP(sport=5000, dport=53)/(b"x" * 16)`);
    await node.age(31);
    await node.ignores(`${part("frag=3, proto=17")}/(b"x" * 16)`);
    assert.equal((await node.state()).flows, 0);
  },

  "no ICMP error is sent about a later fragment": async (node) => {
    await node.program([dns]);
    await node.ingress(
      `IP(src="192.168.8.9", dst="10.96.0.10", id=7, flags="MF")/UDP(sport=5000, dport=53, chksum=0)/(b"x" * 16)`,
    );
    await node.drops(
      `IP(src="192.168.8.9", dst="10.96.0.10", id=7, ttl=1, frag=3, proto=17)/(b"x" * 16)`,
    );
  },
};

/** A fragment with 24 bytes of payload of an IPv4 packet; the checksum covers the whole packet. */
function fragment(packet: string, part: number): string {
  return `fragment(${packet}, fragsize=24)[${part}]`;
}

function fragment6(packet: string, part: number): string {
  return `fragment6(${packet}, 1280)[${part}]`;
}
