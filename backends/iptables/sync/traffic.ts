import { eachInTurns } from "../../../core/async/turns.ts";
import type { RefusalReason, ServiceTraffic } from "../../../core/backend/traffic.ts";
import {
  type FrontendKind,
  type PlanKey,
  printedName,
  type ServicePortPlan,
} from "../../../core/plan/plan.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import { type CompileContext, compileSharedRules } from "../rules/compile.ts";
import {
  FILTER_EXTERNAL_SERVICES,
  FILTER_PROXY_FIREWALL,
  FILTER_SERVICES,
  NAT_NODE_PORTS,
  NAT_SERVICES,
} from "../rules/names.ts";
import type { SharedChain } from "../rules/layout.ts";
import { commentOf, packetsOf } from "../wire/decode.ts";
import { actualIdentity, ruleIdentity } from "../wire/identity.ts";
import { TablesReader } from "./read.ts";

/** Chains whose rules count the traffic of service ports. */
const COUNTING_CHAINS: readonly SharedChain[] = [
  NAT_SERVICES,
  NAT_NODE_PORTS,
  FILTER_SERVICES,
  FILTER_EXTERNAL_SERVICES,
  FILTER_PROXY_FIREWALL,
];

/**
 * Reads the counters of the rules that lead to service ports and that refuse their traffic. Rules of table nat see the
 * first packet of a connection only. Other work runs meanwhile.
 */
export async function readTraffic(
  client: NetlinkClient,
  families: readonly { readonly family: TableFamily; readonly context: CompileContext }[],
  plans: ReadonlyMap<PlanKey, ServicePortPlan>,
): Promise<readonly ServiceTraffic[]> {
  const services: ServiceTraffic[] = [];
  for (const { family, context } of families) {
    if (context.settings.trafficMetrics === "off") continue;
    const reader = new TablesReader(client, family, { inBackground: true });
    services.push(...await trafficOfFamily(reader, family, plans, context));
  }
  return services;
}

async function trafficOfFamily(
  reader: TablesReader,
  family: TableFamily,
  plans: ReadonlyMap<PlanKey, ServicePortPlan>,
  context: CompileContext,
): Promise<readonly ServiceTraffic[]> {
  const counts = await readCounts(reader);
  const services: ServiceTraffic[] = [];
  if (counts.size === 0) return services;
  await eachInTurns(plans.values().filter((plan) => plan.family === family.family), (plan) => {
    const own = counts.get(printedName(plan));
    if (own !== undefined) services.push(...trafficOf(plan, own, family, context));
  });
  return services;
}

/** Packets by the identity of the rule, by the service port that its comment names. Without rules that counted nothing. */
async function readCounts(
  reader: TablesReader,
): Promise<ReadonlyMap<string, ReadonlyMap<string, number>>> {
  const counts = new Map<string, Map<string, number>>();
  for (const chain of COUNTING_CHAINS) {
    for (const rule of await reader.rules(chain.table, chain.name)) {
      const packets = packetsOf(rule.expressions);
      if (packets === 0) continue;
      // Such as `default/web:http cluster IP`. The name of a service port has no space.
      const [name = ""] = commentOf(rule.expressions)?.split(" ", 1) ?? [];
      const own = counts.get(name) ?? new Map<string, number>();
      counts.set(name, own.set(idOf(chain, actualIdentity(rule)), packets));
    }
  }
  return counts;
}

function trafficOf(
  plan: ServicePortPlan,
  counts: ReadonlyMap<string, number>,
  family: TableFamily,
  context: CompileContext,
): readonly ServiceTraffic[] {
  const sums = new Map<FrontendKind, Record<"dispatched" | RefusalReason, number>>();
  for (const { chain, rule, counts: traffic } of compileSharedRules(plan, context)) {
    if (traffic === undefined) continue;
    const packets = counts.get(idOf(chain, ruleIdentity(family, rule)));
    if (packets === undefined) continue;
    const sum = sums.get(traffic.frontend) ?? nothing();
    sum[traffic.as] += packets;
    sums.set(traffic.frontend, sum);
  }
  return [...sums].map(([frontend, { dispatched, ...refused }]) => ({
    key: plan.key,
    frontend,
    // Table nat dispatches these packets, too, before table filter drops them.
    connections: Math.max(0, dispatched - refused["no-local-endpoints"] - refused["source-range"]),
    refused,
  }));
}

function nothing(): Record<"dispatched" | RefusalReason, number> {
  return { dispatched: 0, "no-endpoints": 0, "no-local-endpoints": 0, "source-range": 0 };
}

function idOf({ table, name }: SharedChain, identity: string): string {
  return `${table} ${name} ${identity}`;
}
