import assert from "node:assert/strict";
import { planOf } from "../../../backends/plans.ts";
import { slowness } from "../../../lab/pace.ts";
import type { Cases, PacketNode } from "../support/packets/packet_node.ts";
import { dns } from "../support/packets/plans.ts";

/** Timeout of UDP flows, in which a slow machine also handles several packets. */
const idleSeconds = Math.ceil(slowness);

/** Services with the same endpoint: a client's port can be in use with it through only one of them. */
const webs = [10, 11, 12].map((host) =>
  planOf({ name: `web-${host}`, clusterIP: `10.96.0.${host}:80`, endpoints: ["10.1.0.1:8080"] })
);

const segment = (flags: string, host = 10, port = 40000) =>
  `IP(src="10.1.0.2", dst="10.96.0.${host}")/TCP(sport=${port}, dport=80, flags="${flags}")`;
const translated = (flags: string, port = 40000) =>
  `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63)/TCP(sport=${port}, dport=8080, flags="${flags}")`;
const tcpReply = (flags: string) =>
  `IP(src="10.1.0.1", dst="10.1.0.2")/TCP(sport=8080, dport=40000, flags="${flags}")`;
const translatedTcpReply = (flags: string) =>
  `IP(src="10.96.0.10", dst="10.1.0.2", ttl=63)/TCP(sport=80, dport=40000, flags="${flags}")`;
/** A request from outside; only one source port is available for masquerading. */
const request = (port = 5000) => `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=${port}, dport=53)`;
const translatedRequest = `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/UDP(sport=61000, dport=5353)`;
const reply = `IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`;
const translatedReply = (port = 5000) =>
  `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/UDP(sport=53, dport=${port})`;

const fromPod = { device: "pod0" };

/** Sends the segments of a pod's connection, each written as `SIDE FLAGS`. */
async function connection(node: PacketNode, ...segments: readonly string[]): Promise<void> {
  await node.program(webs);
  for (const text of segments) {
    const [side, flags = ""] = text.split(" ");
    if (side === "client") await node.translates(segment(flags), translated(flags), fromPod);
    else await node.translates(tcpReply(flags), translatedTcpReply(flags), fromPod);
  }
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
    await connection(node, "client S");
    await isKeptFor(node, 120);
  },

  "an answered connection keeps its port for the configured timeout": async (node) => {
    await connection(node, "client S", "endpoint SA", "client A");
    await isKeptFor(node, 86_400);
  },

  "a half-closed connection keeps its port for the configured timeout": async (node) => {
    await connection(node, "client S", "endpoint SA", "client FA", "endpoint A");
    await isKeptFor(node, 3600);
  },

  "a connection reset by either side keeps its port for ten seconds": async (node) => {
    for (const last of ["client R", "endpoint RA"]) {
      await connection(node, "client S", "endpoint SA", last);
      await isKeptFor(node, 10);
    }
  },

  "a connection that the client closed first keeps its port for ten seconds": async (node) => {
    await connection(node, "client S", "endpoint SA", "client FA", "endpoint FA", "client A");
    await isKeptFor(node, 10);
  },

  "a connection that the endpoint closed first keeps its port for a minute (TIME_WAIT)": async (node) => {
    await connection(node, "client S", "endpoint SA", "endpoint FA", "client FA", "endpoint A");
    await isKeptFor(node, 60);
  },

  "a UDP flow is kept for 30 seconds, an answered one for two minutes": async (node) => {
    for (const [answered, seconds] of [[false, 30], [true, 120]] as const) {
      await node.program([dns]);
      await node.translates(request(), translatedRequest);
      if (answered) await node.translates(reply, translatedReply(), fromPod);
      await node.age(seconds - 2);
      await node.drops(request(5001));
      await node.age(4);
      await node.translates(request(5001), translatedRequest);
    }
  },

  "packets of one direction keep a flow": async (node) => {
    await node.program([dns]);
    await node.translates(request(), translatedRequest);
    await node.translates(reply, translatedReply(), fromPod);
    for (let times = 0; times < 3; times++) {
      await node.age(100);
      await node.translates(reply, translatedReply(), fromPod);
    }
    // The next visit does not create the flow again.
    await node.drops(request(5001));
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
    await node.drops(request(5001));
  },

  "new flows remove expired ones, others stay": async (node) => {
    await node.program([...webs, dns], { map: { firstPort: 1024, lastPort: 29_999 } });
    await node.flood(request(), 10_000, 400);
    for (let port = 1; port <= 10; port++) await node.ingress(segment("S", 10, port), fromPod);
    assert.equal((await node.state()).flows, 2 * (400 + 10));
    // Unanswered UDP flows expire after 30 seconds, unanswered connections after 120.
    for (const [firstPort, connections] of [[20_000, 10], [21_000, 10], [22_000, 0]] as const) {
      await node.age(50);
      await node.flood(request(), firstPort, 150);
      const { flows, unpaired } = await node.state();
      assert.deepEqual({ flows, unpaired }, { flows: 2 * (150 + connections), unpaired: 0 });
    }
  },

  "a restarted flow is not mistaken for the one that it replaces when that is visited": async (node) => {
    await connection(node, "client S", "client R");
    await node.age(1);
    await node.translates(segment("S"), translated("S"), fromPod);
    await node.age(31);
    await node.program([...webs, dns], { keepFlows: true, map: { firstPort: 1024, lastPort: 29_999 } });
    await node.flood(request(), 10_000, 4);
    assert.equal((await node.state()).flows, 10);
  },

  "an evicted direction is restored by the next packet of the other one": async (node) => {
    for (const which of ["replies", "requests"] as const) {
      await connection(node, "client S", "endpoint SA", "client A");
      await node.evict(which);
      await node.age(2);
      if (which === "replies") await node.translates(segment("A"), translated("A"), fromPod);
      else await node.translates(tcpReply("A"), translatedTcpReply("A"), fromPod);
      await node.translates(tcpReply("A"), translatedTcpReply("A"), fromPod);
      await node.translates(segment("A"), translated("A"), fromPod);
      const { flows, unpaired } = await node.state();
      assert.deepEqual({ flows, unpaired }, { flows: 2, unpaired: 0 });
    }
  },

  "a client whose direction was evicted keeps its port": async (node) => {
    await connection(node, "client S", "endpoint SA", "client A");
    await node.evict("requests");
    await node.translates(segment("A"), translated("A"), fromPod);
    await node.translates(tcpReply("A"), translatedTcpReply("A"), fromPod);
    assert.equal((await node.state()).unpaired, 0);
  },

  "a flow whose port another flow has by now does not get it back": async (node) => {
    await node.program([dns]);
    await node.translates(request(), translatedRequest);
    await node.evict("replies");
    await node.age(20);
    await node.translates(request(5001), translatedRequest);
    await node.age(20);
    await node.translates(request(5001), translatedRequest);
    // The first flow has expired, and has been visited since.
    await node.drops(request());
    await node.translates(reply, translatedReply(5001), fromPod);
    const { flows, unpaired } = await node.state();
    assert.deepEqual({ flows, unpaired }, { flows: 2, unpaired: 0 });
  },

  "a UDP flow keeps an endpoint that serves, and leaves one of another service": async (node) => {
    const at = (name: string, endpoints: readonly string[], serving = endpoints, nodePort = 30053) => ({
      ...planOf({ name, protocol: "UDP", nodePort, endpoints }),
      servingEndpoints: planOf({ endpoints: serving }).clusterEndpoints,
    });
    const packet = `IP(src="192.168.8.9", dst="192.168.8.1")/UDP(sport=5000, dport=30053)`;
    const goesTo = (endpoint: string) =>
      node.translates(
        packet,
        `IP(src="192.168.8.1", dst="${endpoint}", ttl=63)/UDP(sport=61000, dport=5353)`,
      );
    await node.program([at("dns", ["10.1.0.1:5353"])]);
    await goesTo("10.1.0.1");
    await node.reprogram([at("dns", ["10.1.0.2:5353"], ["10.1.0.2:5353", "10.1.0.1:5353"])]);
    await goesTo("10.1.0.1");
    await goesTo("10.1.0.1");
    // Neither the same address with another port nor the same port at another address is the same endpoint.
    await node.reprogram([at("dns", ["10.1.0.2:5353"], ["10.1.0.1:53", "10.1.0.2:5353"])]);
    await goesTo("10.1.0.2");
    const other = planOf({
      name: "other",
      protocol: "UDP",
      clusterIP: "10.96.0.99:53",
      nodePort: 30053,
      endpoints: ["10.1.0.2:5353"],
    });
    await node.reprogram([at("dns", ["10.1.0.2:5353"], ["10.1.0.2:5353"], 30054), other]);
    await goesTo("10.1.0.2");
    assert.equal((await node.state()).flows, 2);
  },

  "a connection continues when its service is gone, and is not counted": async (node) => {
    await connection(node, "client S", "endpoint SA", "client A");
    await node.reprogram([]);
    await node.translates(segment("A"), translated("A"), fromPod);
    await node.translates(tcpReply("A"), translatedTcpReply("A"), fromPod);
    assert.equal((await node.state()).counters, 0);
  },

  "a SYN within an established connection belongs to the connection": async (node) => {
    await connection(node, "client S", "client S", "endpoint SA", "client S", "client A");
    assert.equal((await node.state()).flows, 2);
  },

  "a SYN of the endpoint with the tuple of its closed connection starts no flow": async (node) => {
    await connection(node, "client S", "client R", "endpoint S");
    assert.equal((await node.state()).flows, 2);
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

  "a UDP flow leaves an endpoint that is gone": async (node) => {
    const withEndpoint = (endpoint: string) =>
      planOf({ protocol: "UDP", clusterIP: "10.96.0.10:53", endpoints: [endpoint] });
    await node.program([withEndpoint("10.1.0.1:53")]);
    const packet = `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;
    await node.translates(packet, `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/UDP(sport=61000, dport=53)`);
    await node.reprogram([withEndpoint("10.1.0.2:53")]);
    await node.translates(packet, `IP(src="192.168.8.1", dst="10.1.0.2", ttl=63)/UDP(sport=61000, dport=53)`);
    await node.reprogram([]);
    await node.drops(packet);
    assert.equal((await node.state()).flows, 0);
  },

  "an idle UDP flow is forgotten, and so is an unanswered TCP connection": async (node) => {
    const endpoints = ["10.1.0.1:5353"];
    const services = [dns, planOf({ clusterIP: "10.96.0.11:80", endpoints })];
    await node.program(services, { map: { udpSeconds: idleSeconds, lastPort: 61001 } });
    const packet = `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;
    await node.ingress(packet);
    await node.ingress(packet.replace("5000", "5001"));
    // Both ports are taken while the flows last.
    await node.drops(packet.replace("5000", "5002"));
    await new Promise((resolve) => setTimeout(resolve, idleSeconds * 1200));
    assert.equal((await node.ingress(packet.replace("5000", "5002"))).action, "redirect");
    assert.equal((await node.state()).unpaired, 0);
  },

  "replies keep an answered UDP flow": async (node) => {
    await node.program([dns], { map: { udpSeconds: idleSeconds } });
    await node.ingress(`IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`);
    await node.ingress(`IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`, {
      device: "pod0",
    });
    await new Promise((resolve) => setTimeout(resolve, idleSeconds * 1200));
    await node.translates(
      `IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`,
      `IP(src="10.96.0.10", dst="192.168.8.9", ttl=63)/UDP(sport=53, dport=5000)`,
      { device: "pod0" },
    );
  },
};
