import assert from "node:assert/strict";
import { DROP } from "../../../../backends/ebpf/maps/layout.ts";
import { addressOf, planOf } from "../../../backends/plans.ts";
import type { Cases } from "../support/packets/packet_node.ts";

const fromPod = { device: "pod0" };
const both = ["10.1.0.1:8080@here", "10.1.0.2:8080"];

/** Access to services: allowed sources, frontend addresses, and selected endpoints. */
export const serviceCases: Cases = {
  "only sources in the source ranges may use a load-balancer IP": async (node) => {
    await node.program([
      planOf({
        loadBalancerIPs: ["192.0.2.10:80"],
        sourceRanges: ["192.168.8.0/28"],
        endpoints: ["10.1.0.1:8080"],
      }),
    ]);
    await node.drops(`IP(src="192.168.8.66", dst="192.0.2.10")/TCP(sport=40000, dport=80)`);
    assert.equal(
      (await node.ingress(`IP(src="192.168.8.9", dst="192.0.2.10")/TCP(sport=40000, dport=80)`)).action,
      "redirect",
    );
  },

  "internal policy Local selects endpoints of this node only, for every client": async (node) => {
    await node.program([planOf({ clusterIP: "10.96.0.10:80", internal: "local", endpoints: both })]);
    for (let port = 40000; port < 40010; port++) {
      await node.translates(
        `IP(src="10.1.0.2", dst="10.96.0.10")/TCP(sport=${port}, dport=80)`,
        `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63)/TCP(sport=${port}, dport=8080)`,
        fromPod,
      );
    }
  },

  "a service with verdict drop drops packets, and counts them": async (node) => {
    await node.program([planOf({ nodePort: 30080, external: "drop", endpoints: both })]);
    const before = (await node.state()).drops[DROP.NO_LOCAL_ENDPOINTS]!;
    await node.drops(`IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080)`);
    assert.equal((await node.state()).drops[DROP.NO_LOCAL_ENDPOINTS], before + 1);
  },

  "node ports answer on the configured addresses, also if the node does not have them": async (node) => {
    await node.program([planOf({ nodePort: 30080, endpoints: ["10.1.0.1:8080"] })], {
      node: { nodePorts: [addressOf("192.168.8.77")], interfaceAddresses: [addressOf("192.168.8.1")] },
    });
    await node.ignores(`IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080)`);
    // Packets may come from that address, because another host has it.
    for (const source of ["192.168.8.9", "192.168.8.77"]) {
      await node.program([planOf({ nodePort: 30080, endpoints: ["10.1.0.1:8080"] })], {
        node: { nodePorts: [addressOf("192.168.8.77")], interfaceAddresses: [addressOf("192.168.8.1")] },
      });
      await node.translates(
        `IP(src="${source}", dst="192.168.8.77")/TCP(sport=40000, dport=30080)`,
        `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/TCP(sport=61000, dport=8080)`,
      );
    }
  },
};
