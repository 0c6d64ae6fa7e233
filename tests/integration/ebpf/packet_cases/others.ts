import assert from "node:assert/strict";
import { DROP } from "../../../../backends/ebpf/maps/layout.ts";
import { planOf } from "../../../backends/plans.ts";
import { HeldSocket } from "../support/packets/held_socket.ts";
import type { Cases, PacketNode } from "../support/packets/packet_node.ts";
import { dns, nodePort, nodePort6, web } from "../support/packets/plans.ts";

const segment = (flags: string, sport = 443) =>
  `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=${sport}, dport=30080, flags="${flags}")`;
const segment6 = (flags: string, sport = 443) =>
  `IPv6(src="fd00:8::9", dst="fd00:8::1")/TCP(sport=${sport}, dport=30080, flags="${flags}")`;

/** A service whose address is also one of the node's, and one with a node port. */
const time = planOf({
  name: "time",
  protocol: "UDP",
  externalIPs: ["192.168.8.1:123"],
  endpoints: ["10.1.0.1:5353"],
});
const queries = planOf({ name: "queries", protocol: "UDP", nodePort: 30053, endpoints: ["10.1.0.1:5353"] });
const queries6 = planOf({
  name: "queries",
  protocol: "UDP",
  family: "IPv6",
  nodePort: 30053,
  endpoints: ["[fd00:1::1]:5353"],
});
const datagram = (port: number, source = "192.168.8.9", sport = 123) =>
  `IP(src="${source}", dst="192.168.8.1")/UDP(sport=${sport}, dport=${port})`;
const own = (port: number, from = "192.168.8.1") =>
  `IP(src="${from}", dst="192.168.8.9")/UDP(sport=${port}, dport=123)`;

/** Sends a packet of the node, which egress leaves unchanged. */
const sends = (node: PacketNode, packet: string) => node.translatesEgress(packet, packet);

async function beginsFlow(node: PacketNode, packet: string): Promise<void> {
  assert.equal((await node.ingress(packet)).action, "redirect", packet);
}

/** Packets to a service that belong to a flow of somebody else: the node itself. */
export const ownPacketCases: Cases = {
  "a SYN with ACK begins no flow": async (node) => {
    const refused = planOf({ name: "none", nodePort: 30081, external: "reject", endpoints: [] });
    await node.program([nodePort, nodePort6, refused]);
    await node.ignores(segment("SA"));
    await node.ignores(segment6("SA"));
    await node.ignores(segment("SA").replace("30080", "30081"));
    await node.ignores(segment("SA").replace("192.168.8.1", "10.96.0.10").replace("30080", "80"));
    assert.equal((await node.state()).flows, 0);
  },

  "segments of the node's own connection are left to it": async (node) => {
    await node.program([nodePort, nodePort6]);
    {
      await using _socket = await HeldSocket.open(
        node,
        "connection",
        "192.168.8.1",
        30080,
        "192.168.8.9",
        443,
      );
      await using _other = await HeldSocket.open(node, "connection", "fd00:8::1", 30080, "fd00:8::9", 443);
      for (const flags of ["A", "PA", "FA"]) {
        await node.ignores(segment(flags));
        await node.ignores(segment6(flags));
      }
      assert.equal((await node.state()).flows, 0);
      await beginsFlow(node, segment("A", 444));
      await beginsFlow(node, segment6("S", 444));
    }
    await node.program([nodePort]);
    await using _listener = await HeldSocket.open(node, "listener", "192.168.8.1", 30080);
    await beginsFlow(node, segment("A"));
  },

  "answers to datagrams of the node are left to it": async (node) => {
    await node.program([time, queries, queries6]);
    await sends(node, own(123));
    await sends(node, own(30053));
    await sends(node, `IPv6(src="fd00:8::1", dst="fd00:8::9")/UDP(sport=30053, dport=123)`);
    await node.ignores(datagram(123));
    await node.ignores(datagram(30053));
    await node.ignores(`IPv6(src="fd00:8::9", dst="fd00:8::1")/UDP(sport=123, dport=30053)`);
    assert.equal((await node.state()).flows, 0);
    for (const other of [datagram(123, "192.168.8.10"), datagram(30053, "192.168.8.9", 124)]) {
      await node.program([time, queries]);
      await beginsFlow(node, other);
    }
  },

  "the node's datagrams are remembered for as long as netfilter would": async (node) => {
    await node.program([time]);
    await sends(node, own(123));
    await sends(node, own(123));
    await node.age(100);
    await node.ignores(datagram(123));
    await sends(node, own(123));
    await node.age(100);
    await node.ignores(datagram(123));
    await node.age(30);
    await beginsFlow(node, datagram(123));
  },

  "datagrams that the node sends from other ports and addresses are not remembered": async (node) => {
    await node.program([queries], { node: { nodePorts: [] } });
    await sends(node, own(30053));
    await sends(node, own(30053, "10.1.0.9"));
    await node.reprogram([time, queries]);
    await sends(node, own(124));
    assert.equal((await node.state()).ownDatagrams, 0);
    await beginsFlow(node, datagram(30053));
  },

  "a flow does not claim the tuple of a connection of the node": async (node) => {
    const request = `IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=40000, dport=80)`;
    const before = (await node.state()).drops[DROP.NO_PORT]!;
    await node.program([web]);
    {
      await using _socket = await HeldSocket.open(node, "connection", "192.168.8.1", 61000, "10.1.0.1", 8080);
      await node.drops(request);
    }
    {
      await using _other = await HeldSocket.open(node, "connection", "192.168.8.1", 61000, "10.1.0.1", 8081);
      await using _listener = await HeldSocket.open(node, "listener", "192.168.8.1", 61000);
      await beginsFlow(node, request);
    }
    assert.equal((await node.state()).drops[DROP.NO_PORT], before + 1);
  },

  "a flow does not claim the port of a UDP socket of the node": async (node) => {
    const request = `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;
    await node.program([dns]);
    {
      await using _socket = await HeldSocket.open(node, "datagrams", "0.0.0.0", 61000);
      await node.drops(request);
    }
    await beginsFlow(node, request);
  },

  "a connection of the node gets the tuple of a flow that is not in use": async (node) => {
    const direct = `IP(src="192.168.8.1", dst="10.1.0.1")/TCP(sport=61000, dport=8080, flags="S")`;
    const reply =
      `IP(src="10.1.0.1", dst="192.168.8.1")/TCP(sport=8080, dport=61000, flags="SA", seq=100, ack=1)`;
    const request = (flags: string) =>
      `IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=40000, dport=80, flags="${flags}", ` +
      `seq=${flags === "S" ? 0 : 1}, ack=${flags === "A" ? 101 : 0})`;
    for (
      const [flags, remaining] of [
        [["S"], 0],
        [["S", "SA"], 0],
        [["S", "SA", "A"], 2],
        [["S", "SA", "A", "R"], 0],
      ] as const
    ) {
      await node.program([web]);
      for (const flag of flags) {
        if (flag === "SA") await node.ingress(reply, { device: "pod0" });
        else await node.ingress(request(flag));
      }
      // Only a SYN begins a connection.
      await sends(node, direct.replace(`"S"`, `"A"`));
      assert.equal((await node.state()).flows, 2);
      await sends(node, direct);
      assert.equal((await node.state()).flows, remaining, flags.join());
      if (remaining === 0) await node.ignores(reply, { device: "pod0" });
    }
    await node.program([web]);
    await node.ingress(request("S"));
    await node.ingress(reply, { device: "pod0" });
    await node.ingress(request("A"));
    await node.age(90_000);
    await sends(node, direct);
    assert.equal((await node.state()).flows, 0);
  },

  "datagrams of the node get the tuple of a flow that is idle": async (node) => {
    await node.program([dns]);
    await node.ingress(`IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`);
    await node.ingress(`IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`, {
      device: "pod0",
    });
    const direct = `IP(src="192.168.8.1", dst="10.1.0.1")/UDP(sport=61000, dport=5353)`;
    await sends(node, direct);
    assert.equal((await node.state()).flows, 2);
    await node.age(11);
    // The request direction, which may leave through a bridge.
    await sends(node, `IP(src="10.96.0.10", dst="192.168.8.9")/UDP(sport=53, dport=5000)`);
    assert.equal((await node.state()).flows, 2);
    await sends(node, direct);
    assert.equal((await node.state()).flows, 0);
  },

  "a later fragment is no datagram that the node sends": async (node) => {
    await node.program([dns]);
    const part = (text: string) => `IP(src="192.168.8.9", dst="10.96.0.10", id=7, ${text}`;
    await node.ingress(part(`flags="MF")/UDP(sport=5000, dport=53, chksum=0)/(b"x" * 16)`));
    await sends(node, part(`frag=3, proto=17)/(b"x" * 16)`));
    assert.equal((await node.state()).flows, 2);
  },

  "a segment of an unknown connection begins a flow where its endpoint is certain": async (node) => {
    const endpoints = ["10.1.0.1:8080", "10.1.0.2:8080"];
    for (const more of [{ balancing: "maglev" }, { affinitySeconds: 60 }] as const) {
      await node.program([planOf({ nodePort: 30080, endpoints, ...more })]);
      await beginsFlow(node, segment("A"));
    }
    await node.program([
      planOf({ nodePort: 30080, endpoints: [`${endpoints[0]}@here`, endpoints[1]!], external: "local" }),
    ]);
    await beginsFlow(node, segment("A"));
  },
};

const twoEndpoints = planOf({ nodePort: 30080, endpoints: ["10.1.0.1:8080", "10.1.0.2:8080"] });

/** Programs that cannot ask netfilter. */
export const withoutNetfilterCases: Cases = {
  "a segment of an unknown connection is left to netfilter, which may know it": async (node) => {
    await node.program([twoEndpoints]);
    await node.ignores(segment("A"));
  },

  "while netfilter translates older flows, new ones do not keep the client's port": async (node) => {
    await node.program([web], { map: { hasFormerFlows: true } });
    await node.translates(...ofPod(61_000));
  },
};

/** A packet of a pod to a service, before and after its translation. */
function ofPod(sourcePort: number) {
  return [
    `IP(src="10.1.0.2", dst="10.96.0.10")/TCP(sport=40000, dport=80)`,
    `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63)/TCP(sport=${sourcePort}, dport=8080)`,
    { device: "pod0" },
  ] as const;
}

/** Adds an entry to netfilter's conntrack, written as `-s ADDRESS …`. */
async function addEntry(node: PacketNode, protocol: string, entry: string): Promise<void> {
  const state = protocol === "tcp" ? ["--state", "ESTABLISHED"] : [];
  await node.namespace.run("conntrack", "-I", "-p", protocol, "-t", "60", ...state, ...entry.split(" "));
}

/** Flows of netfilter, for programs that can ask it. */
export const netfilterCases: Cases = {
  "a segment of an unknown connection is answered with a reset": async (node) => {
    await node.program([twoEndpoints]);
    const before = (await node.state()).drops[DROP.LOST_FLOW]!;
    await node.repliesWith(
      `IP(src="192.168.8.9", dst="192.168.8.1", id=3)/TCP(sport=443, dport=30080, flags="A", seq=1000, ack=77)`,
      `IP(src="192.168.8.1", dst="192.168.8.9", id=3)/TCP(sport=30080, dport=443, flags="R", seq=77, window=0)`,
    );
    const { drops, flows } = await node.state();
    assert.deepEqual({ flows, drops: drops[DROP.LOST_FLOW] }, { flows: 0, drops: before + 1 });
  },

  "while netfilter translates older flows, packets that it has not translated are of others": async (
    node,
  ) => {
    await node.program([web], { map: { hasFormerFlows: true } });
    await node.translates(...ofPod(40_000));
    await node.translates(...ofPod(40_000));
  },

  "packets to a masqueraded pod are left to netfilter": async (node) => {
    await node.program([nodePort, nodePort6, time]);
    const pod = (port: number, address = "192.168.8.1") =>
      `-s 10.1.0.2 -d 192.168.8.9 --sport 5000 --dport ${port} --reply-src 192.168.8.9 --reply-dst ${address}`;
    await addEntry(node, "tcp", `${pod(443)} --reply-port-src 443 --reply-port-dst 30080`);
    await addEntry(node, "udp", `${pod(123)} --reply-port-src 123 --reply-port-dst 123`);
    await addEntry(node, "tcp", "-s fd00:8::1 -d fd00:8::9 --sport 30080 --dport 443");
    await node.ignores(segment("A"));
    await node.ignores(segment6("A"));
    await node.ignores(datagram(123));
    assert.equal((await node.state()).flows, 0);
    await node.namespace.run("conntrack", "-F");
    await beginsFlow(node, segment("A"));
    await beginsFlow(node, datagram(123, "192.168.8.9", 124));
  },

  "packets of a flow that began in another mode are left to netfilter": async (node) => {
    await node.program([nodePort, queries]);
    const through = (sport: number, port: number, endpoint: number) =>
      `-s 192.168.8.9 -d 192.168.8.1 --sport ${sport} --dport ${port} --dst-nat 10.1.0.1:${endpoint}`;
    await addEntry(node, "tcp", through(443, 30080, 8080));
    await addEntry(node, "udp", through(123, 30053, 5353));
    await node.ignores(segment("A"));
    await node.ignores(datagram(30053));
    // The client begins another connection.
    await beginsFlow(node, segment("S"));
    await node.namespace.run("conntrack", "-F");
  },

  "datagrams that netfilter saw before there was the service begin a flow": async (node) => {
    await node.program([queries]);
    await addEntry(node, "udp", "-s 192.168.8.9 -d 192.168.8.1 --sport 123 --dport 30053");
    await beginsFlow(node, datagram(30053));
    await node.namespace.run("conntrack", "-F");
  },

  "a flow does not claim a tuple of netfilter": async (node) => {
    await node.program([web]);
    const request = `IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=40000, dport=80)`;
    await addEntry(
      node,
      "tcp",
      "-s 10.1.0.2 -d 10.1.0.1 --sport 61000 --dport 8080 " +
        "--reply-src 10.1.0.1 --reply-dst 192.168.8.1 --reply-port-src 8080 --reply-port-dst 61000",
    );
    await node.drops(request);
    await node.namespace.run("conntrack", "-F");
    await beginsFlow(node, request);
  },
};
