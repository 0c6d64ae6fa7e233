import assert from "node:assert/strict";
import { FLOW_EVENT } from "../../../../backends/ebpf/maps/layout.ts";
import { planOf } from "../../../backends/plans.ts";
import { Conversation, webs } from "../support/packets/conversation.ts";
import { slowness } from "../../../lab/pace.ts";
import type { Cases, PacketNode } from "../support/packets/packet_node.ts";
import { dns } from "../support/packets/plans.ts";

/** Timeout of UDP flows, in which a slow machine also handles several packets. */
const idleSeconds = Math.ceil(slowness);

const segment = (flags: string, host = 10, port = 40000) =>
  `IP(src="10.1.0.2", dst="10.96.0.${host}")/TCP(sport=${port}, dport=80, flags="${flags}")`;
const translated = (flags: string, port = 40000) =>
  `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63)/TCP(sport=${port}, dport=8080, flags="${flags}")`;
/** A request from outside; only one source port is available for masquerading. */
const request = (port = 5000) => `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=${port}, dport=53)`;
const translatedRequest = `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/UDP(sport=61000, dport=5353)`;
const reply = `IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`;
const translatedReply = (port = 5000) =>
  `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/UDP(sport=53, dport=${port})`;

const fromPod = { device: "pod0" };

/** Begins UDP flows of a pod, and makes them streams. */
async function streams(node: PacketNode, firstPort: number, count: number): Promise<void> {
  const question = `IP(src="10.1.0.2", dst="10.96.0.10")/UDP(sport=1, dport=53)`;
  const answer = `IP(src="10.1.0.1", dst="10.1.0.2")/UDP(sport=5353, dport=1)`;
  await node.flood(question, firstPort, count);
  await node.flood(answer, firstPort, count, "replies");
  await node.age(3);
  await node.flood(question, firstPort, count);
}

/** Checks that the client's port stays taken for `seconds` without packets, and is free afterwards. */
async function isKeptFor(node: PacketNode, seconds: number): Promise<void> {
  await node.age(seconds - 2);
  await node.translates(segment("S", 11), translated("S", 61000), fromPod);
  await node.age(4);
  await node.translates(segment("S", 12), translated("S"), fromPod);
  const { flows, unpaired } = await node.state();
  assert.deepEqual({ flows, unpaired }, { flows: 4, unpaired: 0 });
}

/** Lifetime of flows, and removal of expired ones. */
export const flowCases: Cases = {
  "an unanswered connection keeps its port for two minutes": async (node) => {
    await Conversation.of(node, "client S");
    await isKeptFor(node, 120);
  },

  "a half-open connection keeps its port for a minute": async (node) => {
    await Conversation.of(node, "client S", "endpoint SA");
    await isKeptFor(node, 60);
  },

  "an established connection keeps its port for the configured timeout": async (node) => {
    await Conversation.established(node);
    await isKeptFor(node, 86_400);
  },

  "a half-closed connection keeps its port for the configured timeout": async (node) => {
    for (const side of ["client", "endpoint"]) {
      const connection = await Conversation.established(node);
      await connection.send(`${side} FA`);
      await isKeptFor(node, 3600);
    }
  },

  "a connection reset by either side keeps its port for ten seconds": async (node) => {
    for (const segments of [["client S", "endpoint RA"], ["client S", "endpoint SA", "client R"]]) {
      await Conversation.of(node, ...segments);
      await isKeptFor(node, 10);
    }
    for (const last of ["client R", "client RA", "endpoint R", "endpoint RA"]) {
      const connection = await Conversation.established(node);
      await connection.send(last);
      await isKeptFor(node, 10);
    }
  },

  "a connection that the client closed first keeps its port for ten seconds": async (node) => {
    const connection = await Conversation.established(node);
    for (const segment of ["client FA", "endpoint FA", "client A"]) await connection.send(segment);
    await isKeptFor(node, 10);
  },

  "a connection that the endpoint closed first keeps its port for a minute (TIME_WAIT)": async (node) => {
    const connection = await Conversation.established(node);
    for (const segment of ["endpoint FA", "client FA", "endpoint A"]) await connection.send(segment);
    await isKeptFor(node, 60);
  },

  "a UDP flow is kept for 30 seconds, a stream for two minutes": async (node) => {
    const stream = async () => {
      await node.translates(request(), translatedRequest);
      await node.translates(reply, translatedReply(), fromPod);
      await node.age(3);
      await node.translates(request(), translatedRequest);
    };
    const answered = async () => {
      await node.translates(request(), translatedRequest);
      await node.translates(reply, translatedReply(), fromPod);
      // Another question within two seconds is not a stream yet.
      await node.translates(request(), translatedRequest);
    };
    const question = () => node.translates(request(), translatedRequest);
    for (
      const [begin, seconds, states] of [
        [question, 30, [""]],
        [answered, 30, ["ANSWERED"]],
        [stream, 120, ["ANSWERED ASSURED"]],
      ] as const
    ) {
      for (const isKept of [true, false]) {
        await node.program([dns]);
        await begin();
        assert.deepEqual((await node.state()).states, states);
        await node.age(isKept ? seconds - 2 : seconds + 2);
        if (isKept) await node.translates(reply, translatedReply(), fromPod);
        else await node.ignores(reply, fromPod);
      }
    }
  },

  "the number of flows of each class is estimated": async (node) => {
    const numbers = async () => {
      const { metrics: [flows, room] } = await node.state();
      assert.deepEqual(room?.samples.map(({ value }) => value), [65536, 65536, 65536]);
      return Object.fromEntries(flows?.samples.map(({ labels, value }) => [labels[0], value]) ?? []);
    };
    const connection = await Conversation.established(node);
    assert.deepEqual(await numbers(), { tcp: 1, udp: 0, new: 0 });
    await connection.send("client A");
    await node.program([dns], { keepFlows: true });
    await streams(node, 1024, 100);
    await node.flood(`IP(src="10.1.0.3", dst="10.96.0.10")/UDP(dport=53)`, 1024, 8000);
    const { tcp, udp, new: unassured = 0 } = await numbers();
    assert.deepEqual({ tcp, udp }, { tcp: 1, udp: 100 });
    assert(Math.abs(unassured - 8000) < 1600, `8000 flows are estimated as ${unassured}`);
  },

  "a stream is assured with both directions, even if one of them was evicted": async (node) => {
    await node.program([dns]);
    await node.translates(request(), translatedRequest);
    await node.translates(reply, translatedReply(), fromPod);
    await node.evict("replies");
    await node.age(3);
    await node.translates(request(), translatedRequest);
    assert.deepEqual((await node.state()).states, ["ANSWERED ASSURED"]);
    await node.translates(reply, translatedReply(), fromPod);
  },

  "an answer makes a UDP flow a stream, too, if it comes late enough": async (node) => {
    await node.program([dns]);
    await node.translates(request(), translatedRequest);
    await node.age(3);
    await node.translates(reply, translatedReply(), fromPod);
    const { states, assured, unpaired } = await node.state();
    assert.deepEqual({ states, assured, unpaired }, {
      states: ["ANSWERED ASSURED"],
      assured: 2,
      unpaired: 0,
    });
    await node.translates(request(), translatedRequest);
    await node.translates(reply, translatedReply(), fromPod);
  },

  "packets of one direction keep a flow": async (node) => {
    await node.program([dns]);
    await node.translates(request(), translatedRequest);
    await node.translates(reply, translatedReply(), fromPod);
    for (const seconds of [3, 100, 100, 100]) {
      await node.age(seconds);
      await node.translates(reply, translatedReply(), fromPod);
    }
    // The next visit does not create the flow again.
    await node.translates(request(), translatedRequest);
    const { flows, unpaired } = await node.state();
    assert.deepEqual({ flows, unpaired }, { flows: 2, unpaired: 0 });
  },

  "a client's packet after its flow has expired starts another": async (node) => {
    await node.program([dns]);
    await node.translates(request(), translatedRequest);
    await node.age(100);
    await node.translates(request(), translatedRequest);
    await node.age(29);
    await node.translates(reply, translatedReply(), fromPod);
    const { events, flows } = await node.state();
    assert.deepEqual({ created: events[FLOW_EVENT.CREATED], flows }, { created: 2, flows: 2 });
  },

  "new flows remove expired streams, others stay": async (node) => {
    await node.program([...webs, dns], { map: { firstPort: 1024, lastPort: 29_999 } });
    const connection = new Conversation(node);
    for (const segment of ["client S", "endpoint SA", "client A"]) await connection.send(segment);
    await streams(node, 10_000, 400);
    assert.equal((await node.state()).assured, 2 * (400 + 1));
    for (const [firstPort, expected] of [[20_000, 400], [21_000, 400], [22_000, 0]] as const) {
      await node.age(50);
      await node.flood(request(), firstPort, 150);
      const { assured, unpaired } = await node.state();
      assert.deepEqual({ assured, unpaired }, { assured: 2 * (expected + 1), unpaired: 0 });
    }
    await connection.send("client A", { bytes: 10 });
  },

  "a restarted flow is not mistaken for the one that it replaces when that is visited": async (node) => {
    const connection = await Conversation.established(node);
    await connection.send("client R");
    await node.age(1);
    const again = new Conversation(node);
    for (const segment of ["client S", "endpoint SA", "client A"]) await again.send(segment);
    await node.age(31);
    await node.program([...webs, dns], { keepFlows: true, map: { firstPort: 1024, lastPort: 29_999 } });
    await node.flood(request(), 10_000, 4);
    assert.deepEqual((await node.state()).assured, 2);
    await again.send("endpoint A");
  },

  "an evicted direction is restored by the next packet of the other one": async (node) => {
    for (const which of ["replies", "requests"] as const) {
      const connection = await Conversation.established(node);
      await node.evict(which);
      await node.age(2);
      await connection.send(which === "replies" ? "client A" : "endpoint A", { bytes: 5 });
      await connection.send("endpoint A", { bytes: 5 });
      await connection.send("client A", { bytes: 5 });
      const { flows, unpaired, events } = await node.state();
      assert.deepEqual({ flows, unpaired }, { flows: 2, unpaired: 0 });
      assert.equal(events[FLOW_EVENT.RESTORED], 1);
      // With the right numbers.
      await connection.send("client R");
      assert.deepEqual((await node.state()).states, ["ANSWERED CLIENT_RESET ASSURED"]);
    }
  },

  "a client whose direction was evicted keeps its port": async (node) => {
    const connection = await Conversation.established(node);
    await node.evict("requests");
    for (const segment of ["client A", "endpoint A"]) await connection.send(segment);
    const { states, unpaired } = await node.state();
    assert.deepEqual({ states, unpaired }, { states: ["ANSWERED ASSURED"], unpaired: 0 });
  },

  "a flow whose port another flow has by now does not get it back": async (node) => {
    await node.program([dns]);
    await node.translates(request(), translatedRequest);
    await node.evict("replies");
    await node.translates(request(5001), translatedRequest);
    await node.age(2);
    await node.translates(request(), translatedRequest);
    await node.translates(reply, translatedReply(5001), fromPod);
    const { flows, unpaired } = await node.state();
    assert.deepEqual({ flows, unpaired }, { flows: 3, unpaired: 1 });
  },

  "a direction of a stream is not restored if another flow has its tuple": async (node) => {
    const other = planOf({
      name: "other",
      protocol: "UDP",
      clusterIP: "10.96.0.11:53",
      endpoints: ["10.1.0.1:5353"],
    });
    const question = (host: number) => `IP(src="10.1.0.2", dst="10.96.0.${host}")/UDP(sport=7, dport=53)`;
    await node.program([dns, other]);
    await streams(node, 7, 1);
    await node.evict("replies");
    await node.ingress(question(11), fromPod);
    await node.age(2);
    await node.ingress(question(10), fromPod);
    await node.translates(
      `IP(src="10.1.0.1", dst="10.1.0.2")/UDP(sport=5353, dport=7)`,
      `IP(src="10.96.0.11", dst="10.1.0.2", ttl=63)/UDP(sport=53, dport=7)`,
      fromPod,
    );
  },

  "half a flow expires, and gives way, as a whole one": async (node) => {
    await node.program([dns]);
    for (const seconds of [1.5, 31]) {
      await node.translates(request(), translatedRequest);
      await node.evict("requests");
      await node.age(seconds);
      await node.translates(request(5001), translatedRequest);
      await node.evict("requests");
      await node.evict("replies");
    }
    await node.translates(request(), translatedRequest);
    await node.evict("replies");
    await node.age(31);
    await node.translates(request(), translatedRequest);
  },

  "a connection continues when its service is gone, and is not counted": async (node) => {
    const connection = await Conversation.established(node);
    await node.reprogram([]);
    for (const segment of ["client A", "endpoint A"]) await connection.send(segment);
    assert.equal((await node.state()).counters, 0);
  },

  "a SYN with the tuple of a closed connection starts a new one, with a new endpoint": async (node) => {
    const [before, after] = ["10.1.0.1:8080", "10.1.0.2:8080"].map((endpoint) =>
      planOf({ nodePort: 30080, endpoints: [endpoint] })
    );
    await node.program([before!]);
    const packet = (flags: string) =>
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080, flags="${flags}")`;
    const translated = (to: string, flags: string) =>
      `IP(src="192.168.8.1", dst="${to}", ttl=63)/TCP(sport=61000, dport=8080, flags="${flags}")`;
    await node.translates(packet("S"), translated("10.1.0.1", "S"));
    await node.translates(
      `IP(src="10.1.0.1", dst="192.168.8.1")/TCP(sport=8080, dport=61000, flags="SA", seq=100, ack=1)`,
      `IP(src="192.168.8.1", dst="192.168.8.9", ttl=63)/TCP(sport=30080, dport=40000, flags="SA", seq=100, ack=1)`,
      { device: "pod0" },
    );
    await node.reprogram([after!]);
    // The connection keeps its endpoint although it is not listed any more; only new ones go elsewhere.
    await node.translates(packet("A"), translated("10.1.0.1", "A"));
    await node.translates(packet("S"), translated("10.1.0.1", "S"));
    await node.translates(packet("RA"), translated("10.1.0.1", "RA"));
    await node.translates(packet("S"), translated("10.1.0.2", "S"));
    assert.equal((await node.state()).flows, 2);
  },

  "a direct connection may reuse the port of a closed connection through a service": async (node) => {
    await node.program([planOf({ nodePort: 30080, external: "local", endpoints: ["10.1.0.1:8080@here"] })]);
    const throughService = (flags: string) =>
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080, flags="${flags}")`;
    const direct = (flags: string, ttl = 64) =>
      `IP(src="192.168.8.9", dst="10.1.0.1", ttl=${ttl})/TCP(sport=40000, dport=8080, flags="${flags}")`;
    const reply = `IP(src="10.1.0.1", dst="192.168.8.9")/TCP(sport=8080, dport=40000, flags="SA")`;
    const translated =
      `IP(src="192.168.8.1", dst="192.168.8.9", ttl=63)/TCP(sport=30080, dport=40000, flags="SA")`;
    await node.translates(throughService("S"), direct("S", 63));
    // While the connection through the service lasts, replies are translated for it.
    await node.ignores(direct("S"));
    await node.translates(reply, translated, { device: "pod0" });
    await node.translates(throughService("RA"), direct("RA", 63));
    await node.ignores(direct("A"));
    assert.equal((await node.state()).flows, 2);
    await node.ignores(direct("S"));
    await node.ignores(reply, { device: "pod0" });
    assert.equal((await node.state()).flows, 0);
  },

  "an idle UDP flow is forgotten, and so is an unanswered TCP connection": async (node) => {
    const endpoints = ["10.1.0.1:5353"];
    const services = [dns, planOf({ clusterIP: "10.96.0.11:80", endpoints })];
    await node.program(services, { map: { udpSeconds: idleSeconds, lastPort: 61001 } });
    const packet = `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;
    await node.ingress(packet);
    await node.ingress(packet.replace("5000", "5001"));
    await new Promise((resolve) => setTimeout(resolve, idleSeconds * 1200));
    assert.equal((await node.ingress(packet.replace("5000", "5002"))).action, "redirect");
    const { unpaired, events } = await node.state();
    assert.deepEqual({ unpaired, taken: events[FLOW_EVENT.PORT_TAKEN] }, { unpaired: 0, taken: 0 });
  },
};
