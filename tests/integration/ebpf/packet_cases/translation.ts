import assert from "node:assert/strict";
import { planOf } from "../../../backends/plans.ts";
import type { Cases } from "../support/packets/packet_node.ts";
import { dns, nodePort, nodePort6 } from "../support/packets/plans.ts";

/** Translation of addresses, ports and checksums. */
export const translationCases: Cases = {
  "a NodePort is translated and masqueraded, and replies are translated back": async (node) => {
    await node.program([nodePort]);
    for (const flags of ["S", "A", "PA"]) {
      await node.translates(
        `IP(src="192.168.8.9", dst="192.168.8.1", id=7)/TCP(sport=40000, dport=30080, flags="${flags}")/b"hello"`,
        `IP(src="192.168.8.1", dst="10.1.0.1", id=7, ttl=63)/TCP(sport=61000, dport=8080, flags="${flags}")/b"hello"`,
      );
    }
    await node.translates(
      `IP(src="10.1.0.1", dst="192.168.8.1")/TCP(sport=8080, dport=61000, flags="SA")`,
      `IP(src="192.168.8.1", dst="192.168.8.9", ttl=63)/TCP(sport=30080, dport=40000, flags="SA")`,
      { device: "pod0" },
    );
    assert.equal((await node.state()).flows, 2);
  },

  "a NodePort is translated in both directions (IPv6)": async (node) => {
    await node.program([nodePort6]);
    await node.translates(
      `IPv6(src="fd00:8::9", dst="fd00:8::1", hlim=64)/TCP(sport=40000, dport=30080)/b"hello"`,
      `IPv6(src="fd00:8::1", dst="fd00:1::1", hlim=63)/TCP(sport=61000, dport=8080)/b"hello"`,
    );
    await node.translates(
      `IPv6(src="fd00:1::1", dst="fd00:8::1", hlim=64)/TCP(sport=8080, dport=61000, flags="SA")/b"odd"`,
      `IPv6(src="fd00:8::1", dst="fd00:8::9", hlim=63)/TCP(sport=30080, dport=40000, flags="SA")/b"odd"`,
      { device: "pod0" },
    );
  },

  "a packet for the other side of a veth pair gets its Ethernet header at once; a reply does not": async (
    node,
  ) => {
    const endpoints = ["10.1.0.2:8080"];
    const devices = [{ name: "pod0", hasPeer: true }, { name: "eth0", hasPeer: true }];
    await node.program([
      planOf({ nodePort: 30080, endpoints }),
      planOf({ name: "far", nodePort: 30081, endpoints: ["10.1.0.1:8080"] }),
    ], { devices });
    await node.translates(
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080)`,
      `IP(src="192.168.8.1", dst="10.1.0.2", ttl=63)/TCP(sport=61000, dport=8080)`,
      { header: `Ether(src="02:00:00:00:01:00", dst="02:00:00:00:01:02")` },
    );
    await node.translates(
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080, flags="A")`,
      `IP(src="192.168.8.1", dst="10.1.0.2", ttl=63)/TCP(sport=61000, dport=8080, flags="A")`,
      { header: `Ether(src="02:00:00:00:01:00", dst="02:00:00:00:01:02")` },
    );
    await node.translates(
      `IP(src="10.1.0.2", dst="192.168.8.1")/TCP(sport=8080, dport=61000, flags="SA")`,
      `IP(src="192.168.8.1", dst="192.168.8.9", ttl=63)/TCP(sport=30080, dport=40000, flags="SA")`,
      { device: "pod0" },
    );
    // The address of this neighbour is not known yet.
    await node.translates(
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30081)`,
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/TCP(sport=61000, dport=8080)`,
    );
  },

  "UDP is translated with and without a checksum": async (node) => {
    await node.program([dns]);
    for (const checksum of ["", ", chksum=0"]) {
      await node.translates(
        `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53${checksum})/b"question"`,
        `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/UDP(sport=61000, dport=5353${checksum})/b"question"`,
      );
      await node.translates(
        `IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000${checksum})/b"answer"`,
        `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/UDP(sport=53, dport=5000${checksum})/b"answer"`,
        { device: "pod0" },
      );
    }
  },

  "a UDP checksum of 0 is sent as 0xffff, because 0 means no checksum": async (node) => {
    await node.program([dns]);
    // The filler makes the one's complement sum over the translated packet 0xffff.
    const [from, to] = [
      `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`,
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/UDP(sport=61000, dport=5353)`,
    ];
    const before = (await node.build(`${to}/b"\\0\\0"`)).slice(52, 56);
    const filler = `bytes.fromhex("${before}")`;
    assert.equal((await node.build(`${to}/${filler}`)).slice(52, 56), "ffff");
    await node.translates(`${from}/${filler}`, `${to}/${filler}`);
  },

  "a known neighbour, and equal service and target ports": async (node) => {
    await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.2:80"] })]);
    await node.translates(
      `IP(src="10.1.0.1", dst="10.96.0.10")/TCP(sport=40000, dport=80)/b"x"`,
      `IP(src="10.1.0.1", dst="10.1.0.2", ttl=63)/TCP(sport=40000, dport=80)/b"x"`,
      { device: "pod0" },
    );
  },
};
