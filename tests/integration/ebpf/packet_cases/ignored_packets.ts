import assert from "node:assert/strict";
import type { Cases } from "../support/packets/packet_node.ts";
import { dns, nodePort, nodePort6 } from "../support/packets/plans.ts";

/** Packets that are passed to the network stack unchanged. */
export const ignoredPacketCases: Cases = {
  "frames for other hosts, which a bridge forwards, are ignored": async (node) => {
    await node.program([nodePort]);
    const { action } = await node.ingressFrame(
      `Ether(src="02:00:00:00:00:09", dst="02:00:00:00:00:77")/` +
        `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080)`,
    );
    assert.equal(action, "pass");
  },

  "a packet that does not start a connection creates no flow": async (node) => {
    await node.program([nodePort, dns]);
    await node.ignores(
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080, flags="RA")`,
    );
    await node.ignores(`IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`, {
      device: "pod0",
    });
    assert.equal((await node.state()).flows, 0);
  },

  "packets for no service, and malformed packets, are ignored": async (node) => {
    await node.program([nodePort, nodePort6, dns]);
    const syn = `TCP(sport=40000, dport=30080)`;
    for (
      const packet of [
        `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=22)`,
        `IP(src="192.168.8.9", dst="10.1.0.1")/TCP(sport=40000, dport=8080)`,
        `IP(src="192.168.8.9", dst="192.168.8.1", version=5)/${syn}`,
        `IP(src="192.168.8.9", dst="192.168.8.1", ihl=4)/${syn}`,
        `IP(src="192.168.8.9", dst="192.168.8.1", ihl=15, len=40)/${syn}`,
        `IP(src="192.168.8.9", dst="192.168.8.1", len=400)/${syn}`,
        `IP(src="192.168.8.9", dst="192.168.8.1", proto=6)/b"too short for TCP"`,
        `IP(src="192.168.8.9", dst="10.96.0.10", proto=17)/b"short"`,
        `IP(src="192.168.8.9", dst="192.168.8.1", proto=47)/b"GRE is no transport"`,
        `IP(src="127.0.0.1", dst="192.168.8.1")/${syn}`,
        `IP(src="192.168.8.1", dst="192.168.8.1")/${syn}`,
        `IP(src="224.0.0.1", dst="192.168.8.1")/${syn}`,
        `IP(src="192.168.8.9", dst="127.0.0.1")/${syn}`,
        `IP(src="192.168.8.9", dst="0.0.0.0")/${syn}`,
        `IPv6(src="fd00:8::9", dst="::")/${syn}`,
        `IPv6(src="::ffff:192.168.8.9", dst="::ffff:192.168.8.1")/${syn}`,
        `IPv6(src="fd00:8::9", dst="fd00:8::1", plen=4000)/${syn}`,
        `IPv6(src="::1", dst="fd00:8::1")/${syn}`,
        `ARP()`,
      ]
    ) await node.ignores(packet);
    assert.equal((await node.state()).flows, 0);
  },
};
