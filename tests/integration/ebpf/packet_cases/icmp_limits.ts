import assert from "node:assert/strict";
import { DROP } from "../../../../backends/ebpf/maps/layout.ts";
import { planOf } from "../../../backends/plans.ts";
import type { Cases, PacketNode } from "../support/packets/packet_node.ts";

const noDns = planOf({
  name: "dns",
  protocol: "UDP",
  clusterIP: "10.96.0.10:53",
  internal: "reject",
  endpoints: [],
});
const noDns6 = planOf({
  name: "dns",
  protocol: "UDP",
  clusterIP: "[fd00:96::10]:53",
  internal: "reject",
  endpoints: [],
});
const web = planOf({ clusterIP: "10.96.0.11:80", endpoints: ["10.1.7.1:8080"] });
const rejected = planOf({ name: "none", clusterIP: "10.96.0.12:80", internal: "reject", endpoints: [] });

/** A minute per source, so that the speed of the machine does not matter. */
const slow = { icmpIntervalMs: 60_000 };

const datagram = (source: string) =>
  source.includes(":")
    ? `IPv6(src="${source}", dst="fd00:96::10")/UDP(sport=5000, dport=53)`
    : `IP(src="${source}", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;

async function answers(node: PacketNode, packets: readonly string[]): Promise<number> {
  let count = 0;
  for (const packet of packets) if ((await node.ingress(packet)).action === "redirect") count++;
  return count;
}

/** Limits of ICMP errors: the node must not reflect a flood. */
export const icmpLimitCases: Cases = {
  "a source gets six errors at once, the others theirs": async (node) => {
    await node.program([noDns, noDns6], { map: slow });
    const before = (await node.state()).drops[DROP.ICMP_LIMIT]!;
    assert.equal(await answers(node, Array(20).fill(datagram("192.168.8.9"))), 6);
    assert.equal((await node.state()).drops[DROP.ICMP_LIMIT], before + 14);
    assert.equal(await answers(node, Array(3).fill(datagram("192.168.8.10"))), 3);
  },

  "of a flood of 10,000 datagrams six are answered": async (node) => {
    await node.program([noDns], { map: slow });
    const before = (await node.state()).drops[DROP.ICMP_LIMIT]!;
    await node.flood(
      `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53, chksum=0)`,
      10_000,
      10_000,
    );
    assert.equal((await node.state()).drops[DROP.ICMP_LIMIT], before + 10_000 - 6);
  },

  "an IPv6 source has the limit of its /64": async (node) => {
    await node.program([noDns, noDns6], { map: slow });
    const sources = Array.from({ length: 20 }, (_, index) => datagram(`fd00:8::${index + 1}`));
    assert.equal(await answers(node, sources), 6);
    assert.equal(await answers(node, [datagram("fd00:9::9")]), 1);
  },

  "a source gets errors again after the interval": async (node) => {
    await node.program([noDns], { map: { icmpIntervalMs: 200 } });
    assert(await answers(node, Array(20).fill(datagram("192.168.8.9"))) < 20);
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert((await answers(node, Array(2).fill(datagram("192.168.8.9")))) >= 1);
  },

  "all sources together have a limit": async (node) => {
    await node.program([noDns], { map: { icmpPerSecond: 1, icmpBurst: 4 } });
    const sources = Array.from({ length: 30 }, (_, index) => datagram(`192.168.8.${index + 10}`));
    const count = await answers(node, sources);
    assert(count >= 1 && count <= 6, `${count}`);
    for (const none of [{ icmpPerSecond: 0 }, { icmpBurst: 0 }]) {
      await node.program([noDns], { map: none });
      assert.equal(await answers(node, [datagram("192.168.8.9")]), 0);
    }
  },

  "errors for the discovery of the path's MTU and resets have no limit": async (node) => {
    await node.program([web, rejected], { map: { icmpIntervalMs: 60_000, icmpPerSecond: 0 } });
    const large =
      `IP(src="192.168.8.9", dst="10.96.0.11", flags="DF")/TCP(sport=40000, dport=80, flags="PA")/(b"x" * 1400)`;
    const syn = `IP(src="192.168.8.9", dst="10.96.0.12")/TCP(sport=40000, dport=80)`;
    assert.equal(await answers(node, [...Array(10).fill(large), ...Array(10).fill(syn)]), 20);
  },
};
