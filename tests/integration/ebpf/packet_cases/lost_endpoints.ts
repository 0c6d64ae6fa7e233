import assert from "node:assert/strict";
import { planOf } from "../../../backends/plans.ts";
import type { Cases } from "../support/packets/packet_node.ts";

export const lostEndpointCases: Cases = {
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

  "an attempt to connect leaves an endpoint that is gone, unless it has answered": async (node) => {
    const withEndpoint = (endpoint: string) => planOf({ nodePort: 30080, endpoints: [endpoint] });
    const packet = (flags: string) =>
      `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080, flags="${flags}")`;
    const translated = (flags: string, endpoint: string) =>
      `IP(src="192.168.8.1", dst="${endpoint}", ttl=63)/TCP(sport=61000, dport=8080, flags="${flags}")`;
    await node.program([withEndpoint("10.1.0.1:8080")]);
    await node.translates(packet("S"), translated("S", "10.1.0.1"));
    await node.reprogram([withEndpoint("10.1.0.2:8080")]);
    await node.translates(packet("S"), translated("S", "10.1.0.2"));
    await node.translates(packet("S"), translated("S", "10.1.0.2"));
    await node.translates(
      `IP(src="10.1.0.2", dst="192.168.8.1")/TCP(sport=8080, dport=61000, flags="SA", seq=100, ack=1)`,
      `IP(src="192.168.8.1", dst="192.168.8.9", ttl=63)/TCP(sport=30080, dport=40000, flags="SA", seq=100, ack=1)`,
      { device: "pod0" },
    );
    await node.reprogram([withEndpoint("10.1.0.3:8080")]);
    await node.translates(packet("S"), translated("S", "10.1.0.2"));
    await node.translates(packet("A"), translated("A", "10.1.0.2"));
    assert.equal((await node.state()).flows, 2);
  },

  "an attempt to connect stays with an endpoint that is listed for local connections only": async (node) => {
    const plan = planOf({ nodePort: 30080, external: "local", endpoints: ["10.1.0.1:8080@here"] });
    const packet = `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080)`;
    const translated = `IP(src="192.168.8.9", dst="10.1.0.1", ttl=63)/TCP(sport=40000, dport=8080)`;
    await node.program([plan]);
    await node.translates(packet, translated);
    const { clusterEndpoints } = planOf({ endpoints: ["10.1.0.2:8080"] });
    await node.reprogram([{ ...plan, clusterEndpoints }]);
    await node.translates(packet, translated);
  },

  "an SCTP association that was not answered leaves an endpoint that is gone": async (node) => {
    const withEndpoint = (endpoint: string) =>
      planOf({ protocol: "SCTP", clusterIP: "10.96.0.10:80", endpoints: [endpoint] });
    const init = `IP(src="192.168.8.9", dst="10.96.0.10")/SCTP(sport=40000, dport=80)/SCTPChunkInit()`;
    const translated = (endpoint: string) =>
      `IP(src="192.168.8.1", dst="${endpoint}", ttl=63)/SCTP(sport=40000, dport=80)/SCTPChunkInit()`;
    await node.program([withEndpoint("10.1.0.1:80")]);
    await node.translates(init, translated("10.1.0.1"));
    await node.reprogram([withEndpoint("10.1.0.2:80")]);
    await node.translates(init, translated("10.1.0.2"));
    assert.equal((await node.state()).flows, 2);
  },
};
