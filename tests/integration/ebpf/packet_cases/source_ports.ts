import assert from "node:assert/strict";
import { DROP, FLOW_EVENT } from "../../../../backends/ebpf/maps/layout.ts";
import { planOf } from "../../../backends/plans.ts";
import { slowness } from "../../../lab/pace.ts";
import type { Cases, PacketNode } from "../support/packets/packet_node.ts";
import { dns, nodePort, web } from "../support/packets/plans.ts";

const fromPod = { device: "pod0" };

const SPARED = 60;

/** Makes the latest packets of all flows so recent that none gives way, however slow the machine is. */
async function isSpared(node: PacketNode): Promise<void> {
  await node.age(-SPARED);
}

/** A segment of a client outside, which is masqueraded. */
const outside = (flags: string, port: number, numbers = "seq=0") =>
  `IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=${port}, dport=80, flags="${flags}", ${numbers})`;

/** Source ports of translated connections. */
export const sourcePortCases: Cases = {
  "no source port is used twice, and without a free one the connection is dropped": async (node) => {
    await node.program([nodePort], { map: { lastPort: 61003 } });
    const ports = new Set<string>();
    for (let port = 40000; port < 40004; port++) {
      const { packet } = await node.ingress(
        `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=${port}, dport=30080)`,
      );
      ports.add(packet.slice(68, 72));
    }
    assert.equal(ports.size, 4);
    await isSpared(node);
    const before = (await node.state()).drops[DROP.NO_PORT]!;
    await node.drops(`IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40004, dport=30080)`);
    const { drops, flows } = await node.state();
    assert.equal(drops[DROP.NO_PORT], before + 1);
    assert.equal(flows, 8);
  },

  "two services with one endpoint: the client's port changes if the tuple is taken": async (node) => {
    const both = ["10.96.0.10:80", "10.96.0.11:80"];
    await node.program(
      both.map((clusterIP, index) =>
        planOf({ name: `web-${index}`, clusterIP, endpoints: ["10.1.0.1:8080"] })
      ),
    );
    await node.translates(
      `IP(src="10.1.0.2", dst="10.96.0.10")/TCP(sport=40000, dport=80)`,
      `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63)/TCP(sport=40000, dport=8080)`,
      { device: "pod0" },
    );
    await node.translates(
      `IP(src="10.1.0.2", dst="10.96.0.11")/TCP(sport=40000, dport=80)`,
      `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63)/TCP(sport=61000, dport=8080)`,
      { device: "pod0" },
    );
  },

  "SCTP keeps its ports, and is rejected where it cannot": async (node) => {
    await node.program([
      planOf({ protocol: "SCTP", clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80"] }),
      planOf({ name: "other", protocol: "SCTP", clusterIP: "10.96.0.11:80", endpoints: ["10.1.0.1:8080"] }),
    ]);
    await node.translates(
      `IP(src="192.168.8.9", dst="10.96.0.10")/SCTP(sport=40000, dport=80)/SCTPChunkInit()`,
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/SCTP(sport=40000, dport=80)/SCTPChunkInit()`,
    );
    const init = `IP(src="192.168.8.9", dst="10.96.0.11", id=4)/SCTP(sport=40000, dport=80)/SCTPChunkInit()`;
    await node.repliesWith(
      init,
      `IP(src="10.96.0.11", dst="192.168.8.9", id=0)/ICMP(type=3, code=3)/IP(bytes(${init})[:28])`,
    );
  },

  "when no port is free, a closed connection loses its port early": async (node) => {
    await node.program([web]);
    await node.ingress(outside("S", 40000));
    await isSpared(node);
    await node.drops(outside("S", 40001));
    await node.ingress(outside("R", 40000));
    await node.translates(
      outside("S", 40001),
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/TCP(sport=61000, dport=8080)`,
    );
    const { flows, events } = await node.state();
    assert.deepEqual({ flows, taken: events[FLOW_EVENT.PORT_TAKEN] }, { flows: 2, taken: 1 });
  },

  "a half-open connection gives way after a quarter of a second, an established one never": async (node) => {
    const answer = (flags: string) =>
      `IP(src="10.1.0.1", dst="192.168.8.1")/TCP(sport=8080, dport=61000, flags="${flags}", seq=100, ack=1)`;
    await node.program([web]);
    for (let port = 40000; port < 40003; port++) {
      await node.ingress(outside("S", port));
      await node.ingress(answer("SA"), fromPod);
      await isSpared(node);
      await node.drops(outside("S", port + 1));
      await node.age(SPARED + 0.3);
    }
    await node.ingress(outside("S", 40003));
    await node.ingress(answer("SA"), fromPod);
    await node.ingress(outside("A", 40003, "seq=1, ack=101"));
    assert.deepEqual((await node.state()).states, ["ANSWERED ASSURED"]);
    await node.age(86_000);
    await node.drops(outside("S", 40004));
    assert.deepEqual((await node.state()).states, ["ANSWERED ASSURED"]);
  },

  "the longest idle half-open connection gives way": async (node) => {
    const portOf = async (sport: number) =>
      parseInt((await node.ingress(outside("S", sport))).packet.slice(68, 72), 16);
    const rounds = 12;
    let oldest = 0;
    for (let round = 0; round < rounds; round++) {
      await node.program([web], { map: { lastPort: 61001 } });
      const first = await portOf(40000);
      await node.age(1);
      await portOf(40001);
      await node.age(1);
      if (await portOf(40002) === first) oldest++;
    }
    // Eight attempts find both ports, except in 1 of 128 rounds.
    assert.ok(oldest >= rounds / 2, `${oldest} of ${rounds}`);
  },

  "a UDP flow without an answer gives way after a second, one with an answer after two": async (node) => {
    const question = (port: number) => `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=${port}, dport=53)`;
    const answer = `IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`;
    const isAnsweredFor = async (port: number) =>
      await node.translates(
        answer,
        `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/UDP(sport=53, dport=${port})`,
        fromPod,
      );
    const isSparedFor = async (seconds: number, next: number) => {
      // A slow machine takes half a second for some packets.
      await node.age(seconds - 0.5 * slowness);
      await node.drops(question(next));
      await node.age(slowness);
      assert.equal((await node.ingress(question(next))).action, "redirect");
    };
    await node.program([dns]);
    await node.ingress(question(5000));
    await isSparedFor(1, 5001);
    await isAnsweredFor(5001);
    await isSparedFor(2, 5002);
    await isAnsweredFor(5002);
    // A stream.
    await node.age(2.5);
    await node.ingress(question(5002));
    assert.deepEqual((await node.state()).states.includes("ANSWERED ASSURED"), true);
    await isSparedFor(2, 5003);
    assert.equal((await node.state()).events[FLOW_EVENT.PORT_TAKEN], 3);
  },

  "packets of either direction spare a UDP flow": async (node) => {
    const question = (port: number) => `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=${port}, dport=53)`;
    const answer = `IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`;
    await node.program([dns]);
    await node.ingress(question(5000));
    await node.ingress(answer, fromPod);
    for (const packet of [question(5000), answer]) {
      await node.age(1.5);
      await node.ingress(packet, packet === answer ? fromPod : {});
      await isSpared(node);
      await node.age(SPARED);
      await node.drops(question(5001));
    }
  },

  "source ports are from all ranges, and flows to different endpoints share them": async (node) => {
    await node.program(
      [planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:8080", "10.1.0.2:8080"] })],
      { map: { firstPort: 1024, lastPort: 1025, otherPorts: { first: 61000, last: 61001 } } },
    );
    const used = new Set<string>();
    for (let port = 0; port < 60; port++) {
      const { action, packet } = await node.ingress(outside("S", port));
      // The endpoint's address and the source port.
      if (action === "redirect") used.add(`${packet.slice(60, 68)} ${parseInt(packet.slice(68, 72), 16)}`);
    }
    assert.deepEqual(
      [...used].toSorted(),
      ["0a010001", "0a010002"].flatMap((pod) => [1024, 1025, 61000, 61001].map((port) => `${pod} ${port}`)),
    );
  },

  "another client, or another port of the service, cannot share a port": async (node) => {
    const [http, other] = ["10.96.0.10:80", "10.96.0.10:81"].map((clusterIP) =>
      planOf({ name: clusterIP, clusterIP, endpoints: ["10.1.0.1:8080"] })
    );
    await node.program([http!, other!]);
    const from = (address: string, port: number) =>
      `IP(src="${address}", dst="10.96.0.10")/TCP(sport=40000, dport=${port})`;
    await node.ingress(from("192.168.8.9", 80));
    await isSpared(node);
    await node.drops(from("192.168.8.9", 81));
    await node.drops(from("192.168.8.10", 80));
    assert.equal((await node.state()).flows, 2);
  },

  "when all ports are taken, closed connections lose theirs, those in TIME_WAIT last": async (node) => {
    const connect = async (sport: number) => {
      const { action, packet: translated } = await node.ingress(outside("S", sport));
      return action === "redirect" ? parseInt(translated.slice(68, 72), 16) : 0;
    };
    const answer = (flags: string, dport: number, numbers: string) =>
      node.ingress(
        `IP(src="10.1.0.1", dst="192.168.8.1")/TCP(sport=8080, dport=${dport}, flags="${flags}", ${numbers})`,
        fromPod,
      );
    const rounds = 12;
    let closed = 0;
    for (let round = 0; round < rounds; round++) {
      await node.program([web], { map: { lastPort: 61001 } });
      const [first, second] = [await connect(40000), await connect(40001)];
      for (const [sport, dport] of [[40000, first], [40001, second]] as const) {
        await answer("SA", dport, "seq=100, ack=1");
        await node.ingress(outside("A", sport, "seq=1, ack=101"));
      }
      await answer("FA", first, "seq=101, ack=1");
      await node.ingress(outside("FA", 40000, "seq=1, ack=102"));
      await node.ingress(outside("FA", 40001, "seq=1, ack=101"));
      await answer("FA", second, "seq=101, ack=2");
      if (await connect(40002) === second) closed++;
      await isSpared(node);
      // The new connection is protected, so only the other port is left.
      assert.equal([first, second].includes(await connect(40003)), true);
      assert.equal((await node.state()).flows, 4);
    }
    // The first eight attempts find both ports, except in 1 of 128 rounds.
    assert.ok(closed >= rounds / 2, `${closed} of ${rounds}`);
  },

  "masqueraded SCTP keeps the client's port or is dropped": async (node) => {
    await node.program([
      planOf({ protocol: "SCTP", clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80"] }),
    ]);
    const init = (address: string) =>
      `IP(src="${address}", dst="10.96.0.10")/SCTP(sport=40000, dport=80)/SCTPChunkInit()`;
    await node.ingress(init("192.168.8.9"));
    await isSpared(node);
    const before = (await node.state()).drops[DROP.NO_PORT]!;
    await node.drops(init("192.168.8.10"));
    assert.equal((await node.state()).drops[DROP.NO_PORT], before + 1);
  },
};
