import { PacketNode } from "../../integration/ebpf/support/packets/packet_node.ts";
import { planOf } from "../../backends/plans.ts";
import { type Figure, rows } from "../report.ts";

// Measures how long the ingress program takes for packets that begin a flow, and for later ones (BPF_PROG_TEST_RUN), with
// connection tracking by netfilter in use. To compare two versions on a busy machine, run them alternately.

const PACKETS = 8000;
const FIRST_PORT = 1024;

await using node = await PacketNode.make(
  new URL("../../../dist/bpf/tc_netfilter.bpf.o", import.meta.url).pathname,
);
const chain = "add chain ip cni out { type nat hook postrouting priority srcnat; }";
await node.namespace.run("nft", `add table ip cni; ${chain}`);
const endpoints = ["10.1.0.1:8080", "10.1.0.2:8080", "10.1.9.1:8080"];
await node.program(
  [
    planOf({ nodePort: 30080, endpoints }),
    planOf({ name: "datagrams", protocol: "UDP", nodePort: 30053, endpoints }),
  ],
  { map: { firstPort: 1024, lastPort: 29_999 } },
);

const to = `IP(src="192.168.8.9", dst="192.168.8.1")`;
const figures: Figure[] = [];
for (
  const [name, packet] of [
    ["a SYN that begins a flow", `${to}/TCP(dport=30080)`],
    ["a later segment", `${to}/TCP(dport=30080, flags="A")`],
    ["a datagram that begins a flow", `${to}/UDP(dport=30053, chksum=0)`],
    ["a later datagram", `${to}/UDP(dport=30053, chksum=0)`],
  ] as const
) {
  const nanoseconds = await node.flood(packet, FIRST_PORT, PACKETS);
  figures.push({ name, value: `${(nanoseconds / 1000).toFixed(2)} µs` });
}
console.log(rows(`Time of the ingress program, median of ${PACKETS} packets`, figures));
