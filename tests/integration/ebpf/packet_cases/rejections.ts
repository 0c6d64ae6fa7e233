import { planOf } from "../../../backends/plans.ts";
import type { Cases } from "../support/packets/packet_node.ts";
import { nodePort } from "../support/packets/plans.ts";

/** Rejected connections: a reset for TCP, an ICMP error for other protocols. */
export const rejectionCases: Cases = {
  "a rejected connection gets a reset for TCP, port unreachable for UDP": async (node) => {
    await node.program([
      planOf({ nodePort: 30080, external: "reject", endpoints: [] }),
      planOf({ nodePort: 30080, external: "reject", endpoints: [], family: "IPv6" }),
      planOf({ name: "dns", protocol: "UDP", clusterIP: "10.96.0.10:53", internal: "reject", endpoints: [] }),
      planOf({
        name: "dns",
        protocol: "UDP",
        clusterIP: "[fd00:96::10]:53",
        internal: "reject",
        endpoints: [],
      }),
    ]);
    await node.repliesWith(
      `IP(src="192.168.8.9", dst="192.168.8.1", id=3)/TCP(sport=40000, dport=30080, seq=1000)/b"early"`,
      `IP(src="192.168.8.1", dst="192.168.8.9", id=3)/TCP(sport=30080, dport=40000, flags="RA", seq=0, ack=1006, window=0)`,
    );
    await node.repliesWith(
      `IPv6(src="fd00:8::9", dst="fd00:8::1")/TCP(sport=40000, dport=30080, flags="A", seq=1000, ack=77)`,
      `IPv6(src="fd00:8::1", dst="fd00:8::9")/TCP(sport=30080, dport=40000, flags="R", seq=77, window=0)`,
    );
    const request =
      `IP(src="192.168.8.9", dst="10.96.0.10", id=4)/UDP(sport=5000, dport=53, len=16, chksum=7)`;
    await node.repliesWith(
      `${request}/b"question"`,
      `IP(src="10.96.0.10", dst="192.168.8.9", id=0)/ICMP(type=3, code=3)/IP(src="192.168.8.9", dst="10.96.0.10", id=4, len=36)/UDP(sport=5000, dport=53, len=16, chksum=7)`,
    );
    await node.repliesWith(
      `IPv6(src="fd00:8::9", dst="fd00:96::10", plen=16)/UDP(sport=5000, dport=53, len=16, chksum=7)/b"question"`,
      `IPv6(src="fd00:96::10", dst="fd00:8::9", hlim=64)/ICMPv6DestUnreach(code=4)/IPv6(src="fd00:8::9", dst="fd00:96::10", plen=16)/UDP(sport=5000, dport=53, len=16, chksum=7)`,
    );
    await node.ignores(
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080, flags="R")`,
    );
  },

  "an unused port of a ClusterIP is rejected, an unused service address is dropped": async (node) => {
    await node.program([nodePort]);
    await node.repliesWith(
      `IP(src="192.168.8.9", dst="10.96.0.10", id=3)/TCP(sport=40000, dport=81, seq=1)`,
      `IP(src="10.96.0.10", dst="192.168.8.9", id=3)/TCP(sport=81, dport=40000, flags="RA", seq=0, ack=2, window=0)`,
    );
    await node.drops(`IP(src="192.168.8.9", dst="10.96.0.77")/TCP(sport=40000, dport=80)`);
  },

  "an endpoint with an address in a service range is reached": async (node) => {
    await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.96.7.1:8080"] })]);
    // The packet of a socket that was balanced when it connected.
    await node.ignores(`IP(src="10.1.0.2", dst="10.96.7.1")/TCP(sport=40000, dport=8080)`);
    await node.drops(`IP(src="10.1.0.2", dst="10.96.7.2")/TCP(sport=40000, dport=8080)`);
  },

  "padding of the Ethernet frame is ignored": async (node) => {
    await node.program([planOf({ nodePort: 30080, external: "reject", endpoints: [] })]);
    await node.repliesWith(
      `IP(src="192.168.8.9", dst="192.168.8.1", id=3)/TCP(sport=40000, dport=30080, seq=1000)/Padding(b"\\0" * 6)`,
      `IP(src="192.168.8.1", dst="192.168.8.9", id=3)/TCP(sport=30080, dport=40000, flags="RA", seq=0, ack=1001, window=0)`,
    );
  },

  "ICMP errors quote IPv4 options, and as many extension headers as fit": async (node) => {
    await node.program([
      planOf({ name: "dns", protocol: "UDP", clusterIP: "10.96.0.10:53", internal: "reject", endpoints: [] }),
      planOf({
        name: "dns",
        protocol: "UDP",
        clusterIP: "[fd00:96::10]:53",
        internal: "reject",
        endpoints: [],
      }),
      planOf({
        name: "sctp",
        protocol: "SCTP",
        clusterIP: "10.96.0.11:53",
        internal: "reject",
        endpoints: [],
      }),
    ]);
    const options = `options=[IPOption(b"\\x44\\x28" + b"\\0" * 38)]`;
    const packet = `IP(src="192.168.8.9", dst="10.96.0.10", ${options})/UDP(sport=5000, dport=53, chksum=7)`;
    await node.repliesWith(
      packet,
      `IP(src="10.96.0.10", dst="192.168.8.9", id=0)/ICMP(type=3, code=3)/${packet}`,
    );
    const headers = (count: number) => "IPv6ExtHdrDestOpt()/".repeat(count);
    const packet6 = (count: number) =>
      `IPv6(src="fd00:8::9", dst="fd00:96::10")/${headers(count)}UDP(sport=5000, dport=53, chksum=7)`;
    await node.repliesWith(
      packet6(6),
      `IPv6(src="fd00:96::10", dst="fd00:8::9", hlim=64)/ICMPv6DestUnreach(code=4)/${packet6(6)}`,
    );
    await node.drops(
      packet6(5).replace("IPv6ExtHdrDestOpt()", `IPv6ExtHdrDestOpt(options=[PadN(optdata=b"x" * 20)])`),
    );
    const init = `IP(src="192.168.8.9", dst="10.96.0.11", len=32)/SCTP(sport=5000, dport=53)`;
    await node.repliesWith(
      init,
      `IP(src="10.96.0.11", dst="192.168.8.9", id=0)/ICMP(type=3, code=3)/IP(bytes(${init})[:28])`,
    );
  },

  "resets for every kind of TCP segment": async (node) => {
    await node.program([planOf({ clusterIP: "10.96.0.10:80", internal: "reject", endpoints: [] })]);
    const from = `IP(src="192.168.8.9", dst="10.96.0.10", id=3)/TCP(sport=40000, dport=80, seq=1000, ack=77`;
    const reset = `IP(src="10.96.0.10", dst="192.168.8.9", id=3)/TCP(sport=80, dport=40000, window=0`;
    for (
      const [segment, answer] of [
        [`flags="S")`, `flags="RA", seq=0, ack=1001)`],
        [`flags="S", options=[("MSS", 1460)])/b"fast"`, `flags="RA", seq=0, ack=1005)`],
        [`flags="F")/b"last"`, `flags="RA", seq=0, ack=1005)`],
        [`flags="")/b"odd"`, `flags="RA", seq=0, ack=1003)`],
        [`flags="SF")`, `flags="RA", seq=0, ack=1002)`],
        [`flags="A")`, `flags="R", seq=77)`],
        [`flags="FPUA")/b"x"`, `flags="R", seq=77)`],
      ]
    ) await node.repliesWith(`${from}, ${segment}`, `${reset}, ${answer}`);
    await node.ignores(`${from}, flags="R")`);
    await node.ignores(`${from}, flags="RA")`);
  },
};
