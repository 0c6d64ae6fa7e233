import { FAMILIES } from "../../core/net/protocol.ts";
import {
  blackHole,
  type MachineName,
  machines,
  podBridge,
  podCidrs,
  podGateways,
  podInterfacePrefix,
  secondNodeAddress,
  serviceRanges,
} from "./topology.ts";

/**
 * Commands that build the topology: devices, addresses and routes per namespace, as lines for `ip -batch`, in the order
 * of execution. `prefix` is the prefix of the names of the namespaces.
 */
export function wiring(prefix: string): readonly (readonly [namespace: string, lines: readonly string[]])[] {
  const veth = (device: string, to: MachineName) => [
    `link add ${device} type veth peer name eth0 netns ${prefix}-${to}`,
    `link set ${device} up`,
  ];
  return [
    ["outside", [
      "link set lo up",
      "link add lan type bridge mcast_snooping 0",
      "link set lan up",
      ...veth("node", "node"),
      "link set node master lan",
      ...veth("elsewhere", "elsewhere"),
      "link set elsewhere master lan",
      ...lanAddresses("outside", "lan"),
      ...lanAddresses("stranger", "lan"),
      ...toServices("lan"),
    ]],
    ["node", [
      ...nodeUplink("node"),
      // preferred_lft 0 makes it deprecated as a source address, so that masquerading picks the primary address.
      ...FAMILIES.map((family) =>
        `address add ${secondNodeAddress[family]}${host[family]} dev eth0 preferred_lft 0`
      ),
      `link add ${podBridge} type bridge mcast_snooping 0`,
      `link set ${podBridge} up`,
      ...FAMILIES.map((family) => `address add ${podGateways.here[family]}${lan[family]} dev ${podBridge}`),
      ...veth("veth-a", "pod-a"),
      `link set veth-a master ${podBridge}`,
      ...veth("veth-b", "pod-b"),
      `link set veth-b master ${podBridge}`,
      ...veth(`${podInterfacePrefix}-c`, "pod-c"),
      ...routedPod("pod-c", `${podInterfacePrefix}-c`, podGateways.here),
      ...toPodsOf("elsewhere"),
    ]],
    ["elsewhere", [
      ...nodeUplink("elsewhere"),
      ...veth(`${podInterfacePrefix}-d`, "pod-d"),
      ...routedPod("pod-d", `${podInterfacePrefix}-d`, podGateways.elsewhere),
      ...toPodsOf("here"),
      ...toServices("eth0"),
    ]],
    ["pod-a", podSide("pod-a", podGateways.here)],
    ["pod-b", podSide("pod-b", podGateways.here)],
    ["pod-c", podSide("pod-c", podGateways.here)],
    ["pod-d", podSide("pod-d", podGateways.elsewhere)],
  ];
}

const host = { IPv4: "/32", IPv6: "/128" };
const lan = { IPv4: "/24", IPv6: "/64" };

function lanAddresses(name: MachineName, device: string): string[] {
  return FAMILIES.map((family) =>
    `address add ${machines[name].addresses[family]}${lan[family]} dev ${device}`
  );
}

function nodeUplink(name: MachineName): string[] {
  return [
    "link set lo up",
    "link set eth0 up",
    ...lanAddresses(name, "eth0"),
    ...FAMILIES.flatMap((family) => [
      `neighbour add ${blackHole[family]} lladdr ${blackHole.linkAddress} dev eth0 nud permanent`,
      `route add default via ${blackHole[family]} dev eth0`,
    ]),
  ];
}

/** Node side of a pod with a veth pair of its own. */
function routedPod(name: MachineName, device: string, gateway: Record<"IPv4" | "IPv6", string>): string[] {
  return FAMILIES.flatMap((family) => [
    `address add ${gateway[family]}${host[family]} dev ${device}`,
    `route add ${machines[name].addresses[family]}${host[family]} dev ${device}`,
  ]);
}

function podSide(name: MachineName, gateway: Record<"IPv4" | "IPv6", string>): string[] {
  return [
    "link set lo up",
    "link set eth0 up",
    ...FAMILIES.flatMap((family) => [
      `address add ${machines[name].addresses[family]}${host[family]} dev eth0`,
      `route add ${gateway[family]}${host[family]} dev eth0`,
      `route add default via ${gateway[family]} dev eth0`,
    ]),
  ];
}

function toPodsOf(node: "here" | "elsewhere"): string[] {
  const via = machines[node === "here" ? "node" : "elsewhere"].addresses;
  return FAMILIES.map((family) => `route add ${podCidrs[node][family]} via ${via[family]}`);
}

function toServices(device: string): string[] {
  const via = machines.node.addresses;
  return Object.values(serviceRanges)
    .flatMap((range) =>
      FAMILIES.map((family) => `route add ${range[family]} via ${via[family]} dev ${device}`)
    );
}

/** Sysctls of every namespace, set before the topology is built. */
export const sysctls: readonly string[] = [
  // No limits on ICMP errors: each probe of a burst must get its rejection.
  "net.ipv4.icmp_ratelimit=0",
  "net.ipv4.icmp_ratemask=0",
  "net.ipv4.icmp_msgs_per_sec=1000000",
  "net.ipv4.icmp_msgs_burst=100000",
  "net.ipv6.icmp.ratelimit=0",
  // KEPT_PORTS of agent.py.
  "net.ipv4.ip_local_reserved_ports=40000-49999",
  // IPv6 addresses can be used at once.
  "net.ipv6.conf.default.accept_dad=0",
  "net.ipv6.conf.all.accept_dad=0",
  "net.ipv6.conf.default.accept_redirects=0",
  "net.ipv6.conf.all.accept_redirects=0",
  "net.ipv4.conf.default.rp_filter=0",
  "net.ipv4.conf.all.rp_filter=0",
  "net.ipv4.conf.default.send_redirects=0",
  "net.ipv4.conf.all.send_redirects=0",
  // All packets between pods are routed, so packets forwarded by the bridge must not be translated a second time.
  "net.bridge.bridge-nf-call-iptables=0",
  "net.bridge.bridge-nf-call-ip6tables=0",
  "net.ipv4.ip_forward=1",
  "net.ipv6.conf.all.forwarding=1",
];
