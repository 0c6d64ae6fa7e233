import { type Address, addressFromBytes, cidrOf } from "../core/net/address.ts";
import { FAMILIES, type Family } from "../core/net/protocol.ts";
import {
  type DesiredState,
  type Endpoint,
  type Frontend,
  type LocalTraffic,
  type NodeSettings,
  planKey,
  type Route,
  type ServicePortPlan,
} from "../core/plan/plan.ts";

/**
 * Returns settings of every kind, each with services of every kind in both families: together they need every rule that
 * a mode can write. Probes let the kernel check these rules. The addresses are those of documentation.
 */
export function sampleStates(): readonly DesiredState[] {
  const plans = new Map(FAMILIES.flatMap(samplePlans).map((plan) => [plan.key, plan]));
  return KINDS_OF_SETTINGS.map((kind) => ({ settings: FAMILIES.map((family) => kind(family)), plans }));
}

const KINDS_OF_SETTINGS: readonly ((family: Family) => NodeSettings)[] = [
  (family) =>
    settings(family, prefixOf(family, 8), { serviceCidrs: [rangeOf(family, 8), rangeOf(family, 15)] }),
  (family) => settings(family, prefixOf(family, 15), { nodePorts: [addressOf(family, 1)] }),
  (family) =>
    settings(family, { mode: "interface", name: "cni0" }, { localhostNodePorts: family === "IPv4" }),
  (family) => settings(family, { mode: "interface-prefix", prefix: "veth" }, { masqueradeAll: true }),
  (family) =>
    settings(family, { mode: "none" }, {
      serviceCidrs: [rangeOf(family, 8), rangeOf(family, 15)],
      trafficMetrics: "off",
    }),
];

function settings(
  family: Family,
  localTraffic: LocalTraffic,
  others: Partial<NodeSettings>,
): NodeSettings {
  return {
    family,
    localTraffic,
    masqueradeAll: false,
    masqueradeMark: 1 << 14,
    nodePorts: "all",
    interfaceAddresses: [addressOf(family, 1)],
    localhostNodePorts: false,
    serviceCidrs: [],
    trafficMetrics: "full",
    ...others,
  };
}

function prefixOf(family: Family, bits: number): LocalTraffic {
  return { mode: "cidr", cidr: rangeOf(family, bits) };
}

function rangeOf(family: Family, bits: number) {
  return cidrOf(addressOf(family, 0), bits);
}

interface KindOfRoutes {
  readonly internal: Route;
  readonly external: Route;
  /** The nodes that the endpoints run on. */
  readonly endpoints: readonly ("here" | "elsewhere" | "unknown")[];
}

const KINDS_OF_ROUTES: readonly KindOfRoutes[] = [
  {
    internal: { verdict: "balance", to: "cluster", masquerade: "off-node" },
    external: { verdict: "balance", to: "cluster", masquerade: "all" },
    endpoints: ["here", "unknown"],
  },
  {
    internal: { verdict: "balance", to: "local", masquerade: "off-node" },
    external: { verdict: "local-external" },
    endpoints: ["here", "elsewhere"],
  },
  { internal: { verdict: "drop" }, external: { verdict: "local-external" }, endpoints: ["elsewhere"] },
  { internal: { verdict: "reject" }, external: { verdict: "reject" }, endpoints: [] },
  { internal: { verdict: "drop" }, external: { verdict: "drop" }, endpoints: [] },
];

/** So many addresses that a mode may treat them as a group. */
const MANY_ADDRESSES = 10;

/** Services with every kind of route and frontend; with affinity and with many addresses, where that makes a difference. */
function samplePlans(family: Family): readonly ServicePortPlan[] {
  let lastAddress = 1;
  const nextAddress = () => addressOf(family, ++lastAddress);
  const plans: ServicePortPlan[] = [];
  for (const { internal, external, endpoints } of KINDS_OF_ROUTES) {
    for (const affinitySeconds of endpoints.length > 1 ? [0, 10_800] : [0]) {
      for (const addresses of affinitySeconds > 0 ? [1] : [1, MANY_ADDRESSES]) {
        const number = plans.length;
        const port = { namespace: "default", name: `sample-${number}`, portName: "port", family };
        const protocol = number % 2 === 0 ? "TCP" : "UDP";
        const all = endpoints.map((place): Endpoint => ({
          address: nextAddress(),
          port: 8080,
          isLocal: place === "here",
          ...(place === "unknown" ? { isNodeUnknown: true } : {}),
        }));
        const frontends: Frontend[] = [
          { kind: "ClusterIP", address: nextAddress(), port: 80 },
          { kind: "LoadBalancerIP", address: nextAddress(), port: 80 },
          { kind: "NodePort", port: 30_000 + number },
        ];
        for (let count = 0; count < addresses; count++) {
          frontends.push({ kind: "ExternalIP", address: nextAddress(), port: 80 });
        }
        plans.push({
          ...port,
          protocol,
          key: planKey({ ...port, protocol }),
          frontends,
          internal,
          external,
          clusterEndpoints: all,
          localEndpoints: all.filter(({ isLocal }) => isLocal),
          servingEndpoints: [],
          affinitySeconds,
          balancing: undefined,
          sourceRanges: addresses === 1 ? [rangeOf(family, 24)] : undefined,
          healthCheckNodePort: external.verdict === "local-external" ? 31_000 + number : 0,
        });
      }
    }
  }
  return plans;
}

/** 192.0.2.0 or 2001:db8::, and the addresses that follow. */
function addressOf(family: Family, number: number): Address {
  if (family === "IPv4") return addressFromBytes(Uint8Array.of(192, 0, 2, number));
  return addressFromBytes(Uint8Array.of(0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number));
}
