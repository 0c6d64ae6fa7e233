import assert from "node:assert/strict";
import { DROP } from "../../../../backends/ebpf/maps/layout.ts";
import type { Cases } from "../support/packets/packet_node.ts";
import { planOf } from "../../../backends/plans.ts";
import { dns, dns6 } from "../support/packets/plans.ts";

const nodePort = planOf({ protocol: "UDP", nodePort: 30053, endpoints: ["10.1.0.1:5353"] });
const onNode = planOf({ protocol: "UDP", clusterIP: "10.96.0.10:53", endpoints: ["192.168.8.1:5353@here"] });

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

  "later fragments of a flow that is gone are like those whose first fragment was not seen": async (node) => {
    const part = (to: string, text: string) => `IP(src="192.168.8.9", dst="${to}", id=7, ${text})`;
    for (const [plan, to, port] of [[dns, "10.96.0.10", 53], [nodePort, "192.168.8.1", 30053]] as const) {
      await node.program([plan], { map: { udpSeconds: 5 } });
      await node.ingress(`${part(to, `flags="MF"`)}/UDP(sport=5000, dport=${port})/(b"x" * 16)`);
      await node.age(6);
      const later = `${part(to, "frag=3, proto=17")}/(b"x" * 16)`;
      if (plan === dns) await node.drops(later);
      else await node.ignores(later);
      assert.equal((await node.state()).flows, 0);
    }
  },

  "later fragments follow their first one for 30 seconds": async (node) => {
    await node.program([dns], { map: { udpSeconds: 60 } });
    const [request, translated] = partsBetween([
      [`src="192.168.8.9", dst="10.96.0.10", id=7`, "sport=5000, dport=53"],
      [`src="192.168.8.1", dst="10.1.0.1", id=7, ttl=63`, "sport=61000, dport=5353"],
    ]);
    await node.translates(request.first, translated.first);
    await node.age(29);
    await node.translates(request.later, translated.later);
    await node.age(2);
    await node.drops(request.later);
    assert.equal((await node.state()).flows, 2);
  },

  "a datagram that uses the identification of an earlier one again": async (node) => {
    await node.program([nodePort]);
    const own = `src="192.168.8.9", dst="192.168.8.1", id=7`;
    const [request, translated] = partsBetween([
      [own, "sport=5000, dport=30053"],
      [`src="192.168.8.1", dst="10.1.0.1", id=7, ttl=63`, "sport=61000, dport=5353"],
    ]);
    const others = [
      `IP(${own}, flags="MF")/UDP(sport=5000, dport=9000, len=40)/(b"x" * 16)`,
      // Without a readable transport header.
      `IP(${own}, flags="MF", proto=17)/b"sho"`,
    ];
    for (const other of others) {
      await node.translates(request.first, translated.first);
      await node.translates(request.later, translated.later);
      await node.ignores(other);
      await node.ignores(request.later);
    }
    assert.equal((await node.state()).fragments, 0);
  },

  "a datagram of the node that uses the identification of an earlier one again": async (node) => {
    await node.program([onNode]);
    const request = `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;
    await node.ingress(request);
    const addresses = `src="192.168.8.1", dst="192.168.8.9", id=7`;
    const [reply, translated, other] = partsBetween([
      [addresses, "sport=5353, dport=5000"],
      [`src="10.96.0.10", dst="192.168.8.9", id=7`, "sport=53, dport=5000"],
      [addresses, "sport=9000, dport=5000"],
    ]);
    await node.translatesEgress(reply.first, translated.first);
    await node.translatesEgress(reply.later, translated.later);
    await node.translatesEgress(other.first, other.first);
    await node.translatesEgress(other.later, other.later);
    // A flow that is gone.
    await node.translatesEgress(reply.first, translated.first);
    await node.evict("replies");
    await node.translatesEgress(reply.later, reply.later);
  },

  "fragments of replies that have other ports in the stack between the same addresses": async (node) => {
    const other = planOf({
      name: "other",
      protocol: "UDP",
      clusterIP: "10.96.0.11:53",
      endpoints: ["10.1.0.1:5353"],
    });
    await node.program([dns, other], { map: { throughStack: true } });
    // The second flow gets another source port than 5000.
    for (const service of ["10.96.0.10", "10.96.0.11"]) {
      await node.ingress(`IP(src="10.1.0.2", dst="${service}")/UDP(sport=5000, dport=53)`, {
        device: "pod0",
      });
    }
    const [arriving, inner, leaving] = partsBetween([
      [`src="10.1.0.1", dst="10.1.0.2", id=7`, "sport=5353, dport=61000"],
      [`src="10.1.0.1", dst="10.1.0.2", id=7`, "sport=5353, dport=5000"],
      [`src="10.96.0.11", dst="10.1.0.2", id=7`, "sport=53, dport=5000"],
    ]);
    const fromPod = { device: "pod0", action: "pass" };
    // The stack may have forwarded the first fragment before the second one arrives.
    await node.translates(arriving.first, inner.first, fromPod);
    await node.translatesForwarded(inner.first, leaving.first);
    await node.translates(arriving.later, inner.later, fromPod);
    await node.translatesForwarded(inner.later, leaving.later);
    assert.equal((await node.state()).fragments, 2);
  },

  "IPv6: extension headers behind the fragment header": async (node) => {
    await node.program([dns6]);
    const request = `IPv6(src="fd00:8::9", dst="fd00:96::10"`;
    const translated = `IPv6(src="fd00:8::1", dst="fd00:1::1", hlim=63`;
    const headers = ["IPv6ExtHdrDestOpt()", "IPv6ExtHdrRouting(segleft=0)"];
    for (const [index, header] of headers.entries()) {
      const first = (ports: string) =>
        `)/IPv6ExtHdrFragment(id=${index}, m=1)/${header}/UDP(${ports}, len=40, chksum=0)/(b"x" * 16)`;
      await node.translates(
        `${request}${first("sport=5000, dport=53")}`,
        `${translated}${first("sport=61000, dport=5353")}`,
      );
      // The header of a later fragment has the number of the option, or of the protocol.
      for (const next of [60, 43, 0, 17]) {
        const later = `)/IPv6ExtHdrFragment(id=${index}, offset=4, nh=${next})/(b"x" * 16)`;
        await node.translates(`${request}${later}`, `${translated}${later}`);
      }
    }
    const stray = (to: string) =>
      `IPv6(src="fd00:8::9", dst="${to}")/IPv6ExtHdrFragment(id=9, offset=2, nh=60)/b"12345678"`;
    await node.drops(stray("fd00:96::10"));
    await node.ignores(stray("fd00:8::1"));
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

/** The fragments of one datagram, in forms that differ in addresses and ports. */
function partsBetween<const Forms extends readonly (readonly [addresses: string, ports: string])[]>(
  forms: Forms,
): { readonly [Index in keyof Forms]: { readonly first: string; readonly later: string } } {
  const parts = forms.map(([addresses, ports]) => ({
    first: `IP(${addresses}, flags="MF")/UDP(${ports}, len=40, chksum=0)/(b"x" * 16)`,
    later: `IP(${addresses}, frag=3, proto=17)/(b"x" * 16)`,
  }));
  return parts as { [Index in keyof Forms]: typeof parts[number] };
}
