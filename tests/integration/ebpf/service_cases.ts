import assert from "node:assert/strict";
import { addressOf, planOf } from "../../backends/plans.ts";
import type { Cases } from "./packet_node.ts";

const fromPod = { at: "pod0" };
const both = ["10.1.0.1:8080@here", "10.1.0.2:8080"];
const byDevice = { localTraffic: { mode: "interface", name: "pod0" } } as const;

/** Who a service is for, and which endpoint a client gets. */
export const serviceCases: Cases = {
  "pods of this node are who comes by their devices": async (node) => {
    const plan = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.9.1:8080"] });
    const devices = [{ name: "pod0", isOfPods: true }, { name: "eth0" }];
    await node.program([plan], { node: byDevice, devices });
    const packet = `IP(src="10.1.0.2", dst="10.96.0.10")/TCP(sport=40000, dport=80)`;
    const asItself = `IP(src="10.1.0.2", dst="10.1.9.1", ttl=63)/TCP(sport=40000, dport=8080)`;
    const asTheNode = `IP(src="192.168.8.1", dst="10.1.9.1", ttl=63)/TCP(sport=61000, dport=8080)`;
    await node.becomes(packet, asItself, fromPod);
    await node.program([plan], { node: byDevice, devices });
    await node.becomes(packet, asTheNode);
    // A device that the proxy has not seen yet.
    await node.program([plan], { node: byDevice });
    await node.becomes(packet, asTheNode, fromPod);
  },

  "without a way to tell pods from others nobody is masqueraded for being outside": async (node) => {
    await node.program([planOf({ clusterIP: "[fd00:96::10]:80", endpoints: ["[fd00:1::1]:8080"] })], {
      node: { localTraffic: { mode: "none" } },
    });
    await node.becomes(
      `IPv6(src="fd00:8::9", dst="fd00:96::10")/TCP(sport=40000, dport=80)`,
      `IPv6(src="fd00:8::9", dst="fd00:1::1", hlim=63)/TCP(sport=40000, dport=8080)`,
    );
  },

  "who is masqueraded gets the first address of the device that the packet leaves by, else the node's":
    async (node) => {
      const plans = [
        planOf({ nodePort: 30080, endpoints: ["10.1.0.1:8080"] }),
        planOf({ nodePort: 30080, family: "IPv6", endpoints: ["[fd00:1::1]:8080"] }),
      ];
      const leavesFrom = async (ipv4: string, ipv6: string) => {
        await node.becomes(
          `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080)`,
          `IP(src="${ipv4}", dst="10.1.0.1", ttl=63)/TCP(sport=61000, dport=8080)`,
        );
        await node.becomes(
          `IPv6(src="fd00:8::9", dst="fd00:8::1")/TCP(sport=40000, dport=30080)`,
          `IPv6(src="${ipv6}", dst="fd00:1::1", hlim=63)/TCP(sport=61000, dport=8080)`,
        );
      };
      const sources = ["10.1.0.254", "fd00:1::fe"].map(addressOf);
      await node.program(plans, { devices: [{ name: "pod0", sources }] });
      await leavesFrom("10.1.0.254", "fd00:1::fe");
      await node.program(plans, { devices: [{ name: "pod0" }] });
      await leavesFrom("192.168.8.1", "fd00:8::1");
    },

  "internal policy Local: endpoints of this node only, for everybody": async (node) => {
    await node.program([planOf({ clusterIP: "10.96.0.10:80", internal: "local", endpoints: both })]);
    for (let port = 40000; port < 40010; port++) {
      await node.becomes(
        `IP(src="10.1.0.2", dst="10.96.0.10")/TCP(sport=${port}, dport=80)`,
        `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63)/TCP(sport=${port}, dport=8080)`,
        fromPod,
      );
    }
  },

  "what is to be dropped is dropped": async (node) => {
    await node.program([planOf({ nodePort: 30080, external: "drop", endpoints: both })]);
    const before = (await node.state()).drops[1]!;
    await node.isDropped(`IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080)`);
    assert.equal((await node.state()).drops[1], before + 1);
  },

  "node ports answer on the addresses that are said to, whoever's they are": async (node) => {
    await node.program([planOf({ nodePort: 30080, endpoints: ["10.1.0.1:8080"] })], {
      node: { nodePorts: [addressOf("192.168.8.77")], interfaceAddresses: [addressOf("192.168.8.1")] },
    });
    await node.isLeftAlone(`IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080)`);
    // It is another machine's, so packets may come from it.
    for (const source of ["192.168.8.9", "192.168.8.77"]) {
      await node.program([planOf({ nodePort: 30080, endpoints: ["10.1.0.1:8080"] })], {
        node: { nodePorts: [addressOf("192.168.8.77")], interfaceAddresses: [addressOf("192.168.8.1")] },
      });
      await node.becomes(
        `IP(src="${source}", dst="192.168.8.77")/TCP(sport=40000, dport=30080)`,
        `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/TCP(sport=61000, dport=8080)`,
      );
    }
  },

  "affinity lasts for so long, and as long as the endpoint is there": async (node) => {
    const plan = (...hosts: readonly number[]) =>
      planOf({
        clusterIP: "10.96.0.10:80",
        endpoints: hosts.map((host) => `10.1.0.${host}:8080`),
        affinitySeconds: 60,
      });
    const map = { firstPort: 1024, lastPort: 29_999 };
    const many = Array.from({ length: 200 }, (_, index) => index + 1);
    await node.program([plan(...many)], { map });
    let port = 40000;
    const next = async () => {
      const packet = `IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=${port++}, dport=80)`;
      return destinationOf((await node.arrive(packet)).packet);
    };
    const first = await next();
    await node.age(50);
    assert.equal(await next(), first);
    await node.age(50);
    assert.equal(await next(), first);
    // Others come and go, it stays.
    const host = hostOf(first);
    await node.reprogram([plan(...many.filter((other) => other === host || other % 2 === 0))], { map });
    for (let times = 0; times < 3; times++) assert.equal(await next(), first);
    await node.reprogram([plan(...many.filter((other) => other !== host))], { map });
    const second = await next();
    assert.notEqual(second, first);
    assert.equal(await next(), second);
    const later = new Set<string>();
    for (let times = 0; times < 5; times++) {
      await node.age(61);
      later.add(await next());
    }
    assert(later.size > 1, "the client is forgotten after its time");
    assert.equal((await node.state()).affinity, 1);
  },

  "affinity does not take an endpoint for another that has come into its slot": async (node) => {
    // Lists of one length, so that one goes where another was, between its neighbours.
    const plan = (name: string, clusterIP: string, first: number) =>
      planOf({
        name,
        clusterIP,
        endpoints: Array.from({ length: 37 }, (_, index) => `10.1.0.${first + index}:8080`),
        affinitySeconds: 60,
      });
    const neighbours = ["10.96.0.9:80", "10.96.0.11:80"].map((clusterIP) => plan(clusterIP, clusterIP, 200));
    const plans = (first: number) => [neighbours[0]!, plan("web", "10.96.0.10:80", first), neighbours[1]!];
    const map = { firstPort: 1024, lastPort: 29_999 };
    const reached = async (port: number) => {
      const packet = `IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=${port}, dport=80)`;
      return hostOf(destinationOf((await node.arrive(packet)).packet));
    };
    await node.program(plans(1), { map });
    assert(await reached(40000) <= 37);
    await node.reprogram(plans(50), { map });
    // The slots of the first list are free by then.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await node.reprogram(plans(100), { map });
    assert(await reached(40001) >= 100);
  },

  "an endpoint out of reach, and one that is no machine's": async (node) => {
    for (const endpoint of ["10.1.6.1:8080", "192.168.8.255:8080"]) {
      await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints: [endpoint] })]);
      const before = (await node.state()).drops[6]!;
      await node.isDropped(`IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=40000, dport=80)`);
      const { drops, flows } = await node.state();
      assert.deepEqual({ drops: drops[6], flows }, { drops: before + 1, flows: 0 });
    }
  },

  "a neighbour that is known, and ports that are the same": async (node) => {
    await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.2:80"] })]);
    await node.becomes(
      `IP(src="10.1.0.1", dst="10.96.0.10")/TCP(sport=40000, dport=80)/b"x"`,
      `IP(src="10.1.0.1", dst="10.1.0.2", ttl=63)/TCP(sport=40000, dport=80)/b"x"`,
      fromPod,
    );
  },

  "a pod that is nearly the endpoint is not taken for it": async (node) => {
    const plan = planOf({ clusterIP: "[fd00:96::10]:80", endpoints: ["[fd00:1::1]:8080"] });
    for (const source of ["fd00:1::2", "fd00:1:0:1::1", "fd00:1::1:0:0:1", "fd00:2::1"]) {
      await node.program([plan], { node: { localTraffic: { mode: "none" } } });
      await node.becomes(
        `IPv6(src="${source}", dst="fd00:96::10")/TCP(sport=40000, dport=80)`,
        `IPv6(src="${source}", dst="fd00:1::1", hlim=63)/TCP(sport=40000, dport=8080)`,
        fromPod,
      );
    }
  },
};

/** Of IPv4 behind an Ethernet header, in hexadecimal digits. */
function destinationOf(packet: string): string {
  return packet.slice(60, 68);
}

function hostOf(address: string): number {
  return parseInt(address.slice(6), 16);
}
