import assert from "node:assert/strict";
import { DROP } from "../../../../backends/ebpf/maps/layout.ts";
import { planOf } from "../../../backends/plans.ts";
import type { Cases } from "../support/packets/packet_node.ts";
import { nodePort, web6 } from "../support/packets/plans.ts";

/** Packets that cannot be forwarded: too large for the route, at their last hop, or without a route. */
export const unroutableCases: Cases = {
  "a packet larger than the route's MTU gets an ICMP error, and no flow is created": async (node) => {
    await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.7.1:8080"] })]);
    const packet =
      `IP(src="192.168.8.9", dst="10.96.0.10", flags="DF", len=1440)/TCP(sport=40000, dport=80, flags="PA", chksum=9)`;
    await node.repliesWith(
      `${packet}/(b"x" * 1400)`,
      `IP(src="10.96.0.10", dst="192.168.8.9", id=0)/ICMP(type=3, code=4, nexthopmtu=1400)/${packet}`,
    );
    assert.equal((await node.state()).flows, 0);
    await node.translates(
      `IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=40000, dport=80, flags="PA")/(b"x" * 1360)`,
      `IP(src="192.168.8.1", dst="10.1.7.1", ttl=63)/TCP(sport=61000, dport=8080, flags="PA")/(b"x" * 1360)`,
    );
  },

  "a packet larger than the route's MTU gets an ICMP error (IPv6)": async (node) => {
    await node.program([planOf({ clusterIP: "[fd00:96::10]:80", endpoints: ["[fd00:1:7::1]:8080"] })]);
    const packet =
      `IPv6(src="fd00:8::9", dst="fd00:96::10", plen=1420)/TCP(sport=40000, dport=80, flags="PA", chksum=9)`;
    await node.repliesWith(
      `${packet}/(b"x" * 1400)`,
      `IPv6(src="fd00:96::10", dst="fd00:8::9", hlim=64)/ICMPv6PacketTooBig(mtu=1400)/${packet}`,
    );
  },

  "a packet at its last hop gets an ICMP error": async (node) => {
    await node.program([nodePort]);
    const packet = `IP(src="192.168.8.9", dst="192.168.8.1", ttl=1)/TCP(sport=40000, dport=30080, chksum=9)`;
    await node.repliesWith(
      packet,
      `IP(src="192.168.8.1", dst="192.168.8.9", id=0)/ICMP(type=11, code=0)/${packet}`,
    );
  },

  "a packet at its last hop gets an ICMP error (IPv6)": async (node) => {
    await node.program([web6]);
    const packet = `IPv6(src="fd00:8::9", dst="fd00:96::10", hlim=1)/TCP(sport=40000, dport=80, chksum=9)`;
    await node.repliesWith(
      packet,
      `IPv6(src="fd00:96::10", dst="fd00:8::9", hlim=64)/ICMPv6TimeExceeded()/${packet}`,
    );
  },

  "an endpoint with a broadcast address, and a device that does not forward": async (node) => {
    const dropped = async (endpoint: string) => {
      await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints: [endpoint] })]);
      const before = (await node.state()).drops[DROP.NO_ROUTE]!;
      await node.drops(`IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=40000, dport=80)`);
      const { drops, flows } = await node.state();
      assert.deepEqual({ drops: drops[DROP.NO_ROUTE], flows }, { drops: before + 1, flows: 0 });
    };
    await dropped("192.168.8.255:8080");
    await node.namespace.run("sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=0");
    await dropped("10.1.0.1:8080");
    await node.namespace.run("sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=1");
  },
};
