import assert from "node:assert/strict";
import { planOf } from "../../../backends/plans.ts";
import type { PacketNode } from "../support/packets/packet_node.ts";
import type { Wire } from "../support/packets/wire.ts";

const web = planOf({ nodePort: 30080, endpoints: ["10.1.0.2:8080"] });
const none = planOf({ name: "none", nodePort: 30081, external: "reject", endpoints: [] });
const noDns = planOf({ name: "none", protocol: "UDP", nodePort: 30053, external: "reject", endpoints: [] });
const noDns6 = planOf({
  name: "none",
  protocol: "UDP",
  nodePort: 30053,
  family: "IPv6",
  external: "reject",
  endpoints: [],
});

const toPods = `Ether(src="02:00:00:00:01:00", dst="02:00:00:00:01:02")`;
const fromPods = `Ether(src="02:00:00:00:01:02", dst="02:00:00:00:01:00")`;
const toRouter = `Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")`;
const fromLan = `Ether(src="02:00:00:00:00:09", dst="02:00:00:00:00:01")`;

const client = `IP(src="192.168.9.9", dst="192.168.8.1"`;
const client6 = `IPv6(src="fd00:9::9", dst="fd00:8::1"`;
const syn = `TCP(sport=40000, dport=30080)`;
const forwarded = `IP(src="192.168.8.1", dst="10.1.0.2", ttl=63)`;

/** Behaviour of real devices: L3 devices without Ethernet headers, checksum offload, and VLAN tags. */
export const deviceCases: Readonly<Record<string, (wire: Wire, node: PacketNode) => Promise<void>>> = {
  "an L3 device: to a pod, and back": async (wire, node) => {
    // Without an Ethernet header, the packet takes both sides of the veth pair.
    await node.program([web], { devices: [{ name: "pod0", hasPeer: true }] });
    await wire.inject(`${client})/${syn}/b"x"`);
    await wire.expect("pods", `${toPods}/${forwarded}/TCP(sport=61000, dport=8080)/b"x"`);
    await wire.send(
      "pods",
      `${fromPods}/IP(src="10.1.0.2", dst="192.168.8.1")/TCP(sport=8080, dport=61000, flags="SA")`,
    );
    await wire.expect(
      "tun0",
      `IP(src="192.168.8.1", dst="192.168.9.9", ttl=63)/TCP(sport=30080, dport=40000, flags="SA")`,
    );
    assert.equal((await node.state()).flows, 2);
  },

  "an L3 device: the kernel attaches the route": async (wire, node) => {
    const devices = [{ name: "tun0", needsRoute: true }];
    const far = planOf({ name: "far", clusterIP: "10.96.0.20:80", endpoints: ["192.168.9.7:8080"] });
    const far6 = planOf({ name: "far", clusterIP: "[fd00:96::20]:80", endpoints: ["[fd00:9::7]:8080"] });
    await node.program([far, far6], { devices });
    await wire.send("pods", `${fromPods}/IP(src="10.1.0.2", dst="10.96.0.20")/TCP(sport=40000, dport=80)`);
    await wire.expect("tun0", `IP(src="10.1.0.2", dst="192.168.9.7", ttl=63)/TCP(sport=40000, dport=8080)`);
    await wire.send(
      "pods",
      `${fromPods}/IPv6(src="fd00:1::2", dst="fd00:96::20")/TCP(sport=40000, dport=80)`,
    );
    await wire.expect("tun0", `IPv6(src="fd00:1::2", dst="fd00:9::7", hlim=63)/TCP(sport=40000, dport=8080)`);
  },

  "a packet without DF that is larger than the MTU of its route leaves in fragments": async (wire, node) => {
    await node.program([planOf({ protocol: "UDP", nodePort: 30055, endpoints: ["10.1.7.1:5353"] })]);
    await wire.inject(`${client}, id=7)/UDP(sport=5000, dport=30055)/(b"x" * 1450)`);
    const whole =
      `IP(src="192.168.8.1", dst="10.1.7.1", ttl=63, id=7)/UDP(sport=61000, dport=5353)/(b"x" * 1450)`;
    for (const part of [0, 1]) {
      await wire.expect("lan", `${toRouter}/fragment(${whole}, fragsize=1376)[${part}]`);
    }
  },

  "an unreachable endpoint: the stack's ICMP error quotes what the client sent": async (wire, node) => {
    await node.program([
      planOf({ protocol: "UDP", clusterIP: "10.96.0.21:53", endpoints: ["10.1.6.1:5353"] }),
    ], { node: { localTraffic: { mode: "none" } } });
    const packet = `IP(src="192.168.9.9", dst="10.96.0.21")/UDP(sport=5000, dport=53)/b"question"`;
    await wire.inject(packet);
    await wire.expectFromStack(
      `IP(src="10.96.0.21", dst="192.168.9.9", tos=0xc0)/ICMP(type=3, code=1)/${packet}`,
    );
  },

  "an L3 device: rejections": async (wire, node) => {
    await node.program([none, noDns, noDns6]);
    await wire.inject(`${client}, id=3)/TCP(sport=40000, dport=30081, seq=7)`);
    await wire.expect(
      "tun0",
      `IP(src="192.168.8.1", dst="192.168.9.9", id=3)/TCP(sport=30081, dport=40000, flags="RA", seq=0, ack=8, window=0)`,
    );
    const request = `UDP(sport=5000, dport=30053)`;
    await wire.inject(`${client})/${request}`);
    await wire.expect(
      "tun0",
      `IP(src="192.168.8.1", dst="192.168.9.9", id=0)/ICMP(type=3, code=3)/${client})/${request}`,
    );
    await wire.inject(`${client6})/${request}`);
    await wire.expect(
      "tun0",
      `IPv6(src="fd00:8::1", dst="fd00:9::9", hlim=64)/ICMPv6DestUnreach(code=4)/${client6})/${request}`,
    );
  },

  "an L3 device: an endpoint on the node": async (wire, node) => {
    await wire.startEcho("fd00:8::1", 5353);
    const endpoints = ["[fd00:8::1]:5353@here"];
    await node.program([planOf({ protocol: "UDP", family: "IPv6", nodePort: 30054, endpoints })]);
    for (const word of ["one", "two"]) {
      await wire.inject(`${client6})/UDP(sport=5000, dport=30054)/b"${word}"`);
      await wire.expect(
        "tun0",
        `IPv6(src="fd00:8::1", dst="fd00:9::9")/UDP(sport=30054, dport=5000)/b"${word}"`,
      );
    }
  },

  "an offloaded checksum is completed by the egress device": async (wire, node) => {
    await node.program([web]);
    for (const payload of [`b"x"`, `(b"odd" * 301)`]) {
      await wire.inject(`incomplete(${client})/${syn}/${payload})`, [20, 16]);
      await wire.expect("pods", `${toPods}/${forwarded}/TCP(sport=61000, dport=8080)/${payload}`);
    }
  },

  "an offloaded checksum: rejections": async (wire, node) => {
    await node.program([none, noDns, noDns6]);
    await wire.inject(`incomplete(${client}, id=3)/TCP(sport=40000, dport=30081, seq=7)/b"fast")`, [20, 16]);
    await wire.expect(
      "tun0",
      `IP(src="192.168.8.1", dst="192.168.9.9", id=3)/TCP(sport=30081, dport=40000, flags="RA", seq=0, ack=12, window=0)`,
    );
    // The quote is truncated, so the device sums up only the quoted part.
    const request = `UDP(sport=5000, dport=30053, len=16)`;
    await wire.inject(`incomplete(${client}, len=36)/${request}/b"question")`, [20, 6]);
    await wire.expect(
      "tun0",
      `IP(src="192.168.8.1", dst="192.168.9.9", id=0)/ICMP(type=3, code=3)/completed(${client}, len=36)/${request})`,
    );
    await wire.inject(`incomplete(${client6}, plen=16)/${request}/b"question")`, [40, 6]);
    await wire.expect(
      "tun0",
      `IPv6(src="fd00:8::1", dst="fd00:9::9", hlim=64)/ICMPv6DestUnreach(code=4)/completed(${client6}, plen=16)/${request})`,
    );
  },

  "a packet with a VLAN tag is left to the VLAN device": async (wire, node) => {
    await node.program([web, none]);
    const packet = `IP(src="192.168.8.9", dst="192.168.8.1")`;
    for (const segment of [syn, `TCP(sport=40000, dport=30081)`]) {
      await wire.send("lan", `${fromLan}/Dot1Q(vlan=5)/${packet}/${segment}`);
    }
    await wire.expectSilence("pods");
    await wire.expectSilence("lan");
    assert.equal((await node.state()).flows, 0);
  },

  "a priority tag is removed from a forwarded packet": async (wire, node) => {
    await node.program([web]);
    await wire.send(
      "lan",
      `${fromLan}/Dot1Q(vlan=0, prio=3)/IP(src="192.168.8.9", dst="192.168.8.1")/${syn}`,
    );
    await wire.expect("pods", `${toPods}/${forwarded}/TCP(sport=61000, dport=8080)`);
  },

  "frames truncated within the IP header are ignored": async (wire, node) => {
    await node.program([web]);
    for (const [type, longest] of [["0x0800", 19], ["0x86dd", 39]] as const) {
      for (let length = 1; length <= longest; length++) {
        await wire.send(
          "lan",
          `Ether(bytes(${fromLan}/IP())[:12] + (${type}).to_bytes(2, "big") + b"\\x45" * ${length})`,
        );
      }
    }
    await wire.expectSilence("pods");
    assert.equal((await node.state()).flows, 0);
  },
};
