import { planOf } from "../../../backends/plans.ts";
import type { Cases } from "../support/packets/packet_node.ts";
import { dns } from "../support/packets/plans.ts";

const fromPod = { device: "pod0" };
const localByDevice = { localTraffic: { mode: "interface", name: "pod0" } } as const;

/** Clients that keep their address, and source addresses of masqueraded connections. */
export const masqueradeCases: Cases = {
  "external policy Local keeps the client's address, and drops without local endpoints": async (node) => {
    await node.program([
      planOf({ nodePort: 30080, external: "local", endpoints: ["10.1.0.1:8080@here", "10.1.9.1:8080"] }),
    ]);
    for (let port = 41000; port < 41010; port++) {
      await node.translates(
        `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=${port}, dport=30080)`,
        `IP(src="192.168.8.9", dst="10.1.0.1", ttl=63)/TCP(sport=${port}, dport=8080)`,
      );
    }
    await node.translates(
      `IP(src="10.1.0.1", dst="192.168.8.9")/TCP(sport=8080, dport=41000, flags="SA")`,
      `IP(src="192.168.8.1", dst="192.168.8.9", ttl=63)/TCP(sport=30080, dport=41000, flags="SA")`,
      { device: "pod0" },
    );
    await node.program([planOf({ nodePort: 30080, external: "local", endpoints: ["10.1.9.1:8080"] })]);
    await node.drops(`IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=41000, dport=30080)`);
    // A pod of this node reaches every endpoint, with its own address.
    await node.translates(
      `IP(src="10.1.0.2", dst="192.168.8.1")/TCP(sport=41000, dport=30080)`,
      `IP(src="10.1.0.2", dst="10.1.9.1", ttl=63)/TCP(sport=41000, dport=8080)`,
      { device: "pod0" },
    );
  },

  "pods of this node keep their address when they connect to a ClusterIP, other clients do not": async (
    node,
  ) => {
    await node.program([dns]);
    await node.translates(
      `IP(src="10.1.0.2", dst="10.96.0.10")/UDP(sport=5000, dport=53)`,
      `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63)/UDP(sport=5000, dport=5353)`,
      { device: "pod0" },
    );
    await node.translates(
      `IP(src="10.1.0.1", dst="10.1.0.2")/UDP(sport=5353, dport=5000)`,
      `IP(src="10.96.0.10", dst="10.1.0.2", ttl=63)/UDP(sport=53, dport=5000)`,
      { device: "pod0" },
    );
    await node.program([dns], { node: { masqueradeAll: true } });
    await node.translates(
      `IP(src="10.1.0.2", dst="10.96.0.10")/UDP(sport=5000, dport=53)`,
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/UDP(sport=61000, dport=5353)`,
      { device: "pod0" },
    );
    await node.program([dns], { node: { localTraffic: { mode: "none" } } });
    await node.translates(
      `IP(src="192.168.8.9", dst="10.96.0.10")/UDP(sport=5000, dport=53)`,
      `IP(src="192.168.8.9", dst="10.1.0.1", ttl=63)/UDP(sport=5000, dport=5353)`,
    );
  },

  "a pod that is balanced to itself sees the node's address": async (node) => {
    await node.program([dns]);
    await node.translates(
      `IP(src="10.1.0.1", dst="10.96.0.10")/UDP(sport=5000, dport=53)`,
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/UDP(sport=61000, dport=5353)`,
      { device: "pod0" },
    );
    await node.translates(
      `IP(src="10.1.0.1", dst="192.168.8.1")/UDP(sport=5353, dport=61000)`,
      `IP(src="10.96.0.10", dst="10.1.0.1", ttl=63)/UDP(sport=53, dport=5000)`,
      { device: "pod0" },
    );
  },

  "a pod of this node is recognised by the device its packets come from": async (node) => {
    const plan = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.9.1:8080"] });
    const devices = [{ name: "pod0", hasLocalPods: true }, { name: "eth0" }];
    await node.program([plan], { node: localByDevice, devices });
    const packet = `IP(src="10.1.0.2", dst="10.96.0.10")/TCP(sport=40000, dport=80)`;
    const asItself = `IP(src="10.1.0.2", dst="10.1.9.1", ttl=63)/TCP(sport=40000, dport=8080)`;
    const asTheNode = `IP(src="192.168.8.1", dst="10.1.9.1", ttl=63)/TCP(sport=61000, dport=8080)`;
    await node.translates(packet, asItself, fromPod);
    await node.program([plan], { node: localByDevice, devices });
    await node.translates(packet, asTheNode);
    // A device that is not in the map yet.
    await node.program([plan], { node: localByDevice });
    await node.translates(packet, asTheNode, fromPod);
  },

  "without a method to detect local traffic, connections to a ClusterIP are not masqueraded": async (
    node,
  ) => {
    await node.program([planOf({ clusterIP: "[fd00:96::10]:80", endpoints: ["[fd00:1::1]:8080"] })], {
      node: { localTraffic: { mode: "none" } },
    });
    await node.translates(
      `IPv6(src="fd00:8::9", dst="fd00:96::10")/TCP(sport=40000, dport=80)`,
      `IPv6(src="fd00:8::9", dst="fd00:1::1", hlim=63)/TCP(sport=40000, dport=8080)`,
    );
  },

  "a masqueraded connection gets the egress device's address, else the node's": async (node) => {
    const plans = [
      planOf({ nodePort: 30080, endpoints: ["10.1.0.1:8080"] }),
      planOf({ nodePort: 30080, family: "IPv6", endpoints: ["[fd00:1::1]:8080"] }),
    ];
    const leavesFrom = async (ipv4: string, ipv6: string) => {
      await node.translates(
        `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080)`,
        `IP(src="${ipv4}", dst="10.1.0.1", ttl=63)/TCP(sport=61000, dport=8080)`,
      );
      await node.translates(
        `IPv6(src="fd00:8::9", dst="fd00:8::1")/TCP(sport=40000, dport=30080)`,
        `IPv6(src="${ipv6}", dst="fd00:1::1", hlim=63)/TCP(sport=61000, dport=8080)`,
      );
    };
    const addresses = ["10.1.0.254/24", "fd00:1::fe/64"];
    await node.program(plans, { devices: [{ name: "pod0", addresses }] });
    await leavesFrom("10.1.0.254", "fd00:1::fe");
    await node.program(plans, { devices: [{ name: "pod0" }] });
    await leavesFrom("192.168.8.1", "fd00:8::1");
  },

  "a masqueraded connection gets the address of the network that the next hop is on": async (node) => {
    const plans = [
      planOf({ nodePort: 30080, endpoints: ["10.1.9.1:8080"] }),
      planOf({ nodePort: 30081, name: "near", endpoints: ["192.168.8.7:8080"] }),
      planOf({ nodePort: 30082, name: "over6", endpoints: ["10.1.8.1:8080"] }),
      planOf({ nodePort: 30080, family: "IPv6", endpoints: ["[fd00:1:9::1]:8080"] }),
    ];
    const sourceOf = async (
      addresses: readonly string[],
      source: string,
      nodePort: number,
      endpoint: string,
    ) => {
      await node.program(plans, { devices: [{ name: "eth0", addresses }] });
      const [ip, client, own, hops] = source.includes(":")
        ? ["IPv6", "fd00:8::9", "fd00:8::1", "hlim=63"]
        : ["IP", "192.168.8.9", "192.168.8.1", "ttl=63"];
      await node.translates(
        `${ip}(src="${client}", dst="${own}")/TCP(sport=40000, dport=${nodePort})`,
        `${ip}(src="${source}", dst="${endpoint}", ${hops})/TCP(sport=61000, dport=8080)`,
      );
    };
    const addresses = [
      "203.0.113.5/24",
      "192.168.8.1/24",
      "192.168.0.1/16",
      "2001:db8::5/64",
      "fd00:2::1/64",
      "fd00:1:9::7/16",
    ];
    // The gateway, 192.168.8.2.
    await sourceOf(addresses, "192.168.8.1", 30080, "10.1.9.1");
    await sourceOf(addresses, "192.168.8.1", 30081, "192.168.8.7");
    // The destination, if the gateway has an IPv6 address.
    await sourceOf([...addresses, "10.1.8.7/24"], "10.1.8.7", 30082, "10.1.8.1");
    // The first network that has it, however long its prefix; else the first address.
    await sourceOf(["192.168.0.1/16", "192.168.8.1/24"], "192.168.0.1", 30080, "10.1.9.1");
    await sourceOf(["203.0.113.5/24", "198.51.100.5/24"], "203.0.113.5", 30080, "10.1.9.1");
    // IPv6: most bits in common with the destination, but only those of the prefix count.
    await sourceOf(addresses, "fd00:2::1", 30080, "fd00:1:9::1");
    await sourceOf(["2001:db8::5/64", "fd00:1:9::1/128"], "fd00:1:9::1", 30080, "fd00:1:9::1");
  },

  "a connection between two ports of a bridge is masqueraded": async (node) => {
    const unmasqueraded = { node: { localTraffic: { mode: "none" } } } as const;
    const packet = `IP(src="10.1.0.2", dst="10.96.0.10")/UDP(sport=5000, dport=53)`;
    const asItself = `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63)/UDP(sport=5000, dport=5353)`;
    const devices = [{ name: "pod0", bridge: "pod0" }, { name: "eth0", bridge: "eth0" }];
    await node.program([dns], { ...unmasqueraded, devices });
    await node.translates(
      packet,
      `IP(src="192.168.8.1", dst="10.1.0.1", ttl=63)/UDP(sport=61000, dport=5353)`,
      fromPod,
    );
    // From a local pod.
    await node.program([dns], { devices });
    await node.translates(packet, asItself, fromPod);
    // From another bridge.
    await node.program([dns], { ...unmasqueraded, devices });
    await node.translates(packet, asItself);
    // From a device that is no bridge.
    await node.program([dns], { ...unmasqueraded, devices: [{ name: "pod0" }] });
    await node.translates(packet, asItself, fromPod);
  },

  "hairpin detection compares the whole address": async (node) => {
    const plan = planOf({ clusterIP: "[fd00:96::10]:80", endpoints: ["[fd00:1::1]:8080"] });
    for (const source of ["fd00:1::2", "fd00:1:0:1::1", "fd00:1::1:0:0:1", "fd00:2::1"]) {
      await node.program([plan], { node: { localTraffic: { mode: "none" } } });
      await node.translates(
        `IPv6(src="${source}", dst="fd00:96::10")/TCP(sport=40000, dport=80)`,
        `IPv6(src="${source}", dst="fd00:1::1", hlim=63)/TCP(sport=40000, dport=8080)`,
        fromPod,
      );
    }
  },
};
