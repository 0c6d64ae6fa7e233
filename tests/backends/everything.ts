import type { NodeSettings, ServicePortPlan } from "../../core/plan/plan.ts";
import { addressOf, cidrOf, planOf, settingsOf } from "./plans.ts";

/** Every kind of frontend, route and endpoint list, in both families. */
export const everyKindOfPlan: readonly ServicePortPlan[] = [
  planOf({
    name: "all",
    clusterIP: "10.96.0.10:80",
    externalIPs: ["192.0.2.1:80"],
    loadBalancerIPs: ["203.0.113.1:80"],
    nodePort: 30080,
    endpoints: ["10.1.0.1:80@here", "10.1.1.2:8080", "10.1.1.3:80"],
    sourceRanges: ["192.0.2.0/24", "198.51.100.7/32"],
  }),
  planOf({
    name: "local",
    protocol: "UDP",
    clusterIP: "10.96.0.11:53",
    loadBalancerIPs: ["203.0.113.2:53"],
    nodePort: 30081,
    internal: "local",
    external: "local",
    endpoints: ["10.1.0.1:53@here", "10.1.1.2:53"],
    sourceRanges: ["0.0.0.0/0"],
  }),
  planOf({
    name: "nothing-here",
    protocol: "SCTP",
    clusterIP: "10.96.0.12:80",
    loadBalancerIPs: ["203.0.113.3:80"],
    nodePort: 30082,
    internal: "drop",
    external: "local",
    endpoints: ["10.1.1.2:80"],
  }),
  planOf({
    name: "none",
    clusterIP: "10.96.0.13:80",
    nodePort: 30083,
    internal: "reject",
    external: "reject",
    endpoints: [],
  }),
  planOf({
    name: "sticky",
    clusterIP: "10.96.0.14:80",
    externalIPs: ["192.0.2.2:80"],
    affinitySeconds: 10800,
    endpoints: ["10.1.0.1:80@here", "10.1.1.2:80"],
  }),
  planOf({
    name: "sticky-local",
    clusterIP: "10.96.0.15:80",
    nodePort: 30084,
    external: "local",
    affinitySeconds: 30,
    endpoints: ["10.1.0.1:80@here", "10.1.1.2:80"],
  }),
  planOf({
    name: "many",
    clusterIP: "10.96.0.16:80",
    externalIPs: manyAddresses((n) => `192.0.2.${10 + n}:80`),
    nodePort: 30085,
    endpoints: ["10.1.0.1:80@here", "10.1.1.2:8080"],
  }),
  planOf({
    name: "many-local",
    clusterIP: "10.96.0.17:80",
    loadBalancerIPs: manyAddresses((n) => `203.0.113.${10 + n}:80`),
    external: "local",
    endpoints: ["10.1.0.1:80@here", "10.1.1.2:80", "10.1.1.3:80"],
    sourceRanges: ["192.0.2.0/24"],
  }),
  planOf({
    name: "many-nothing-here",
    clusterIP: "10.96.0.18:80",
    externalIPs: manyAddresses((n) => `192.0.2.${20 + n}:80`),
    external: "local",
    endpoints: ["10.1.1.2:80"],
  }),
  planOf({
    name: "many-none",
    externalIPs: manyAddresses((n) => `192.0.2.${30 + n}:80`),
    external: "reject",
    endpoints: [],
  }),
  planOf({
    name: "many-sticky",
    clusterIP: "10.96.0.19:80",
    externalIPs: manyAddresses((n) => `192.0.2.${40 + n}:80`),
    affinitySeconds: 10800,
    endpoints: ["10.1.0.1:80@here", "10.1.1.2:80"],
  }),
  planOf({
    name: "all",
    clusterIP: "[fd00:96::10]:80",
    externalIPs: ["[2001:db8:2::1]:80"],
    loadBalancerIPs: ["[2001:db8::1]:80"],
    nodePort: 30080,
    endpoints: ["[fd00:1::1]:80@here", "[fd00:1:1::2]:8080"],
    sourceRanges: ["2001:db8:1::/48", "2001:db8:3::7/128"],
  }),
  planOf({
    name: "local",
    clusterIP: "[fd00:96::11]:80",
    loadBalancerIPs: ["[2001:db8::2]:80"],
    nodePort: 30081,
    internal: "local",
    external: "local",
    endpoints: ["[fd00:1::1]:80@here", "[fd00:1:1::2]:80"],
  }),
  planOf({
    name: "none",
    clusterIP: "[fd00:96::12]:80",
    nodePort: 30083,
    internal: "reject",
    external: "drop",
    endpoints: [],
  }),
  planOf({
    name: "sticky",
    clusterIP: "[fd00:96::13]:80",
    externalIPs: ["[2001:db8:2::2]:80"],
    external: "local",
    affinitySeconds: 10800,
    endpoints: ["[fd00:1::1]:80@here", "[fd00:1:1::2]:80"],
  }),
  planOf({
    name: "many-local",
    clusterIP: "[fd00:96::14]:80",
    externalIPs: manyAddresses((n) => `[2001:db8:2::1${n}]:80`),
    external: "local",
    endpoints: ["[fd00:1::1]:80@here", "[fd00:1:1::2]:80"],
  }),
];

/** Enough addresses for mode nftables to let them share an endpoint list. */
function manyAddresses(socketOf: (n: number) => string): readonly string[] {
  return Array.from({ length: 9 }, (_, n) => socketOf(n));
}

/** Settings that between them need every rule there is, each for both families. */
export const everyKindOfSettings: readonly (readonly NodeSettings[])[] = [
  [settingsOf("IPv4"), settingsOf("IPv6")],
  [
    settingsOf("IPv4", {
      nodePorts: [addressOf("192.168.7.1"), addressOf("192.168.7.2")],
      localTraffic: { mode: "interface", name: "cbr0" },
      serviceCidrs: [],
    }),
    settingsOf("IPv6", {
      nodePorts: [addressOf("fd00:7::1")],
      localTraffic: { mode: "interface", name: "cbr0" },
      serviceCidrs: [],
    }),
  ],
  [
    settingsOf("IPv4", {
      localTraffic: { mode: "interface-prefix", prefix: "veth" },
      trafficMetrics: "off",
      masqueradeMark: 0x40000000,
      serviceCidrs: [cidrOf("10.96.0.0/16"), cidrOf("10.97.0.0/17")],
    }),
    settingsOf("IPv6", {
      localTraffic: { mode: "interface-prefix", prefix: "veth" },
      masqueradeMark: 1,
      serviceCidrs: [cidrOf("fd00:96::/112"), cidrOf("fd00:97::/113")],
    }),
  ],
  [
    settingsOf("IPv4", { localTraffic: { mode: "none" }, masqueradeAll: true }),
    settingsOf("IPv6", { localTraffic: { mode: "none" } }),
  ],
  [
    settingsOf("IPv4", {
      localTraffic: { mode: "cidr", cidr: cidrOf("10.1.16.0/20") },
      trafficMetrics: "full",
    }),
    settingsOf("IPv6", {
      localTraffic: { mode: "cidr", cidr: cidrOf("fd00:1:0:10::/60") },
      trafficMetrics: "full",
    }),
  ],
];
