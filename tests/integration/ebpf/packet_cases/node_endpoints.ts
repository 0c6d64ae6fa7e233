import { planOf } from "../../../backends/plans.ts";
import type { Cases } from "../support/packets/packet_node.ts";
import { dns } from "../support/packets/plans.ts";

const onNode = planOf({ protocol: "UDP", nodePort: 30053, endpoints: ["192.168.8.1:5353@here"] });
const alsoOnNode = planOf({
  name: "also",
  protocol: "UDP",
  nodePort: 30054,
  endpoints: ["192.168.8.1:5353@here"],
});
/** A client that uses one port for both, so that one of its flows has another source port. */
const toNodePort = (port: number) =>
  `IP(src="192.168.8.9", dst="192.168.8.1")/UDP(sport=5000, dport=${port})`;

const FORWARDING = ["net.ipv4.conf.all.forwarding", "net.ipv6.conf.all.forwarding"];

/**
 * Endpoints with an address of the node: their replies pass the network stack and are translated at egress.
 */
export const nodeEndpointCases: Cases = {
  "an endpoint on the node sees the client, and its replies are translated at egress": async (node) => {
    await node.program([planOf({ nodePort: 30443, endpoints: ["192.168.8.1:6443@here"] })]);
    await node.translates(
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30443)`,
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=6443)`,
      { action: "pass" },
    );
    await node.translatesEgress(
      `IP(src="192.168.8.1", dst="192.168.8.9")/TCP(sport=6443, dport=40000, flags="SA")`,
      `IP(src="192.168.8.1", dst="192.168.8.9")/TCP(sport=30443, dport=40000, flags="SA")`,
    );
    await node.translatesEgress(
      `IP(src="192.168.8.1", dst="192.168.8.9")/TCP(sport=6443, dport=40001)`,
      `IP(src="192.168.8.1", dst="192.168.8.9")/TCP(sport=6443, dport=40001)`,
    );
  },

  "an endpoint on the node: ICMP errors to it and from it, and fragments of its replies": async (node) => {
    await node.program([onNode]);
    await node.ingress(`IP(src="192.168.8.9", dst="192.168.8.1")/UDP(sport=5000, dport=30053)`);
    await node.translates(
      `IP(src="192.168.8.2", dst="192.168.8.1")/ICMP(type=3, code=1)/IP(src="192.168.8.1", dst="192.168.8.9")/UDP(sport=30053, dport=5000, chksum=0)`,
      `IP(src="192.168.8.2", dst="192.168.8.1")/ICMP(type=3, code=1)/IP(src="192.168.8.1", dst="192.168.8.9")/UDP(sport=5353, dport=5000, chksum=0)`,
      { action: "pass" },
    );
    const error = (port: number, from = "192.168.8.9", sport = 5000) =>
      `IP(src="192.168.8.1", dst="${from}")/ICMP(type=3, code=3)/IP(src="${from}", dst="192.168.8.1")/UDP(sport=${sport}, dport=${port}, chksum=0)`;
    await node.translatesEgress(error(5353), error(30053));
    await node.translatesEgress(error(5353, "192.168.8.10"), error(5353, "192.168.8.10"));
    const part = (port: string, text: string) =>
      `IP(src="192.168.8.1", dst="192.168.8.9", id=7, ${text})/${port}(b"x" * 16)`;
    const first = (port: number) => part(`UDP(sport=${port}, dport=5000, len=40, chksum=0)/`, `flags="MF"`);
    await node.translatesEgress(first(5353), first(30053));
    const later = part("", "frag=3, proto=17");
    await node.translatesEgress(later, later);
    for (
      const other of [
        `IP(src="192.168.8.1", dst="192.168.8.9", id=8, frag=3, proto=17)/b"unknown."`,
        `IP(src="192.168.8.1", dst="192.168.8.9")/ICMP(type=8)`,
        `ARP()`,
        // The request direction, which may leave through a bridge.
        `IP(src="192.168.8.9", dst="192.168.8.1")/UDP(sport=5000, dport=30053)`,
      ]
    ) await node.translatesEgress(other, other);
  },

  "an endpoint on the node: every packet of a flow whose source port was changed has the new one": async (
    node,
  ) => {
    const toEndpoint = (port: number) =>
      `IP(src="192.168.8.9", dst="192.168.8.1")/UDP(sport=${port}, dport=5353)`;
    const devices = ["pod0", "eth0"].map((name) => ({ name, hasReversePathFilter: true }));
    for (const changes of [{ map: { throughStack: true } }, { devices }]) {
      await node.program([onNode, alsoOnNode], changes);
      for (const [nodePort, sourcePort] of [[30053, 5000], [30054, 61000]] as const) {
        // The first packet, a later one, and one from a device by which its source is not reached.
        for (const device of ["eth0", "eth0", "pod0"]) {
          await node.translates(toNodePort(nodePort), toEndpoint(sourcePort), { device, action: "pass" });
        }
        const reply = (from: number, to: number) =>
          `IP(src="192.168.8.1", dst="192.168.8.9")/UDP(sport=${from}, dport=${to})`;
        await node.translatesEgress(reply(5353, sourcePort), reply(nodePort, 5000));
        const error = (from: number, to: number) =>
          `IP(src="192.168.8.9", dst="192.168.8.1", ttl=1)/ICMP(type=3, code=3)/` +
          `IP(src="192.168.8.1", dst="192.168.8.9")/UDP(sport=${from}, dport=${to}, chksum=0)`;
        for (const device of ["eth0", "pod0"]) {
          await node.translates(error(nodePort, 5000), error(5353, sourcePort), { device, action: "pass" });
        }
      }
    }
  },

  "an endpoint on a node that does not forward": async (node) => {
    const forwarding = (value: 0 | 1) =>
      node.namespace.run("sysctl", "-qw", ...FORWARDING.map((name) => `${name}=${value}`));
    const service = { protocol: "UDP", nodePort: 30053 } as const;
    await node.program([
      planOf({ ...service, endpoints: ["192.168.8.1:5353@here"] }),
      planOf({ ...service, name: "six", family: "IPv6", endpoints: ["[fd00:8::1]:5353@here"] }),
    ]);
    await forwarding(0);
    try {
      for (
        const addresses of [
          `IP(src="192.168.8.9", dst="192.168.8.1")`,
          `IPv6(src="fd00:8::9", dst="fd00:8::1")`,
        ]
      ) {
        // The first packet and a later one.
        for (let count = 0; count < 2; count++) {
          await node.translates(
            `${addresses}/UDP(sport=5000, dport=30053)`,
            `${addresses}/UDP(sport=5000, dport=5353)`,
            { action: "pass" },
          );
        }
      }
      const error = (port: number) =>
        `IP(src="192.168.8.2", dst="192.168.8.1")/ICMP(type=3, code=1)/` +
        `IP(src="192.168.8.1", dst="192.168.8.9")/UDP(sport=${port}, dport=5000, chksum=0)`;
      await node.translates(error(30053), error(5353), { action: "pass" });
    } finally {
      await forwarding(1);
    }
  },

  "an endpoint with an address that the node has just got": async (node) => {
    await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints: ["192.168.8.77:6443"] })], {
      node: { localTraffic: { mode: "none" } },
    });
    await node.namespace.run("ip", "address", "add", "192.168.8.77/32", "dev", "eth0");
    try {
      await node.translates(
        `IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=40000, dport=80)`,
        `IP(src="192.168.8.9", dst="192.168.8.77")/TCP(sport=40000, dport=6443)`,
        { action: "pass" },
      );
    } finally {
      await node.namespace.run("ip", "address", "delete", "192.168.8.77/32", "dev", "eth0");
    }
    await node.translatesEgress(
      `IP(src="192.168.8.77", dst="192.168.8.9")/TCP(sport=6443, dport=40000, flags="SA")`,
      `IP(src="10.96.0.10", dst="192.168.8.9")/TCP(sport=80, dport=40000, flags="SA")`,
    );
  },

  "replies of a pod that pass the network stack are ignored at egress": async (node) => {
    await node.program([dns]);
    await node.ingress(`IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`);
    for (
      const packet of [
        `IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`,
        `IP(src="10.1.0.1", dst="192.168.8.1")/ICMP(type=3, code=3)/IP(src="192.168.8.1", dst="10.1.0.1", ttl=62)/UDP(sport=61000, dport=5353, chksum=0)`,
      ]
    ) await node.translatesEgress(packet, packet);
  },

  "SCTP to an endpoint on the node with another port is rejected": async (node) => {
    await node.program([planOf({ protocol: "SCTP", nodePort: 30080, endpoints: ["192.168.8.1:80@here"] })]);
    const init =
      `IP(src="192.168.8.9", dst="192.168.8.1", id=4)/SCTP(sport=40000, dport=30080)/SCTPChunkInit()`;
    await node.repliesWith(
      init,
      `IP(src="192.168.8.1", dst="192.168.8.9", id=0)/ICMP(type=3, code=3)/IP(bytes(${init})[:28])`,
    );
  },
};
