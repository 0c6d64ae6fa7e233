import type { NodeSettings, Route, ServicePortPlan } from "../../../core/plan/plan.ts";
import type { Table, TableWriter } from "../../nf_tables/batch.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import {
  addressFields,
  inSet,
  isOfThisNode,
  portFields,
  sourceFields,
  sourcePortFields,
} from "../../nf_tables/rules.ts";
import { matchesSpec, sameHook, type TableSchema } from "../../nf_tables/schema.ts";
import { type Element, ElementLists } from "../../nf_tables/set/element.ts";
import { describeFrontendKey, frontendKey } from "../../nf_tables/set/keys.ts";
import { frontendKey as addressKeyFields } from "../../nf_tables/set/shared.ts";
import { PORT_FIELD, PROTOCOL_FIELD, type SetSpec } from "../../nf_tables/set/spec.ts";
import { countingSetSpec } from "../../nf_tables/traffic/counting.ts";
import {
  countFirst,
  countKnown,
  FROM_ENDPOINTS,
  TO_ENDPOINTS,
  volumeChains,
  VOLUMES,
} from "../../nf_tables/traffic/volumes.ts";

/**
 * The table that counts packets and bytes in mode iptables (`--traffic-metrics=full`). Rules of iptables see the first
 * packet of a connection only, and rules that see every packet would be one per service.
 */
export const TABLE: Table = { name: "kube-proxy-traffic", comment: "packets and bytes of services" };

/** Frontends that send connections to endpoints: those with an address, and node ports. */
const FRONTENDS = "frontends";
const NODE_PORTS = "node-ports";

export function setsOf(family: TableFamily): readonly SetSpec[] {
  return [
    ...VOLUMES.map((set) => countingSetSpec(family, set)),
    { name: FRONTENDS, kind: "set", comment: "frontends with endpoints", key: addressKeyFields(family) },
    {
      name: NODE_PORTS,
      kind: "set",
      comment: "node ports with endpoints",
      key: [PROTOCOL_FIELD, PORT_FIELD],
    },
  ];
}

export function chainsOf(family: TableFamily) {
  const fromFrontend = inSet(sourceFields(family), FRONTENDS);
  const fromNodePort = [...isOfThisNode("saddr"), ...inSet(sourcePortFields, NODE_PORTS)];
  return volumeChains({
    firstPackets: [
      countFirst(family, TO_ENDPOINTS, inSet(addressFields(family), FRONTENDS)),
      countFirst(family, TO_ENDPOINTS, [...isOfThisNode("daddr"), ...inSet(portFields, NODE_PORTS)]),
    ],
    toEndpoints: [countKnown(family, TO_ENDPOINTS)],
    fromEndpoints: [
      countKnown(family, FROM_ENDPOINTS),
      countFirst(family, FROM_ENDPOINTS, fromFrontend),
      countFirst(family, FROM_ENDPOINTS, fromNodePort),
    ],
  });
}

/**
 * Writes the whole table.
 * @param actual the table in the kernel, whose counters stay; undefined if there is none.
 */
export function writeTable(
  batch: TableWriter,
  family: TableFamily,
  plans: Iterable<ServicePortPlan>,
  actual?: TableSchema,
): void {
  const specs = setsOf(family);
  const chains = chainsOf(family);
  if (actual !== undefined && !isUsable(family, actual)) batch.removeTable(family);
  batch.addTable(family);
  if (actual !== undefined && isUsable(family, actual)) {
    batch.deleteRules(family);
    for (const set of [FRONTENDS, NODE_PORTS]) if (actual.sets.has(set)) batch.flushSet(family, set);
  }
  for (const spec of specs) batch.addSet(family, spec);
  for (const chain of chains) batch.addChain(family, chain);
  for (const chain of chains) batch.addRules(family, chain);
  const lists = new ElementLists(batch, family, "ensure", specs);
  for (const plan of plans) for (const element of elementsOf(plan)) lists.add(element);
  lists.flush();
}

/** Reports whether the table can be written again without losing its counters. */
function isUsable(family: TableFamily, { flags, hasOthers, chains, sets, counters }: TableSchema): boolean {
  const specs = new Map(setsOf(family).map((spec) => [spec.name, spec]));
  const hooks = new Map(chainsOf(family).map(({ name, hook }) => [name, hook]));
  return flags === 0 && !hasOthers && counters.size === 0 &&
    sets.entries().every(([name, schema]) => {
      const spec = specs.get(name);
      return spec !== undefined && matchesSpec(spec, schema);
    }) &&
    chains.entries().every(([name, { accepts, hook }]) =>
      hooks.has(name) && accepts && sameHook(hook, hooks.get(name))
    );
}

/** The elements of a service port: its frontends that send connections to endpoints. */
export function elementsOf(plan: ServicePortPlan): readonly Element[] {
  return plan.frontends.flatMap((frontend) => {
    const route = frontend.kind === "ClusterIP" ? plan.internal : plan.external;
    if (!reachesEndpoints(route)) return [];
    const set = frontend.kind === "NodePort" ? NODE_PORTS : FRONTENDS;
    return [{ set, key: frontendKey(plan, frontend), value: "", comment: "" }];
  });
}

function reachesEndpoints({ verdict }: Route): boolean {
  return verdict === "balance" || verdict === "local-external";
}

/** Reports whether a family with these settings has the table. */
export function hasTable({ trafficMetrics }: Pick<NodeSettings, "trafficMetrics">): boolean {
  return trafficMetrics === "full";
}

/** Renders the frontend of an element. */
export function describeElement({ addressBytes }: TableFamily, set: string, key: string): string | undefined {
  return describeFrontendKey(key, set === NODE_PORTS ? 0 : addressBytes);
}
