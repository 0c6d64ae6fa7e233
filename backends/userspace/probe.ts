import * as nft from "../nf_tables/constants.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { writeTable } from "../nf_tables/fixed/table.ts";
import { type Probe, tableProbe } from "../nf_tables/probe.ts";
import { dnatTo, type Hook, isNew, isOfThisNode, rule } from "../nf_tables/rules.ts";
import * as expr from "../nf_tables/expressions.ts";
import { SERVICE_IPS } from "../nf_tables/set/frontends.ts";
import { FIREWALL_ALLOWED } from "../nf_tables/set/shared.ts";
import type { NodeSettings } from "../../core/plan/plan.ts";
import { REDIRECTION_TABLE, TABLE } from "./redirection/chains.ts";
import { LISTENERS, setsOf } from "./redirection/sets.ts";
import { PREFERRED_PORTS, type RedirectionSettings, targetOf } from "./redirection/target.ts";
import { wholeTable } from "./redirection/update.ts";

const PREROUTING: Hook = { type: "nat", number: nft.NF_INET_PRE_ROUTING, priority: nft.NF_IP_PRI_NAT_DST };

/** The settings with the preferred ports, for tables that nothing is redirected by. */
export function withPreferredPorts(settings: NodeSettings): RedirectionSettings {
  return { ...settings, target: targetOf(settings), listeners: PREFERRED_PORTS };
}

const sets = (family: TableFamily, ...names: readonly string[]) =>
  setsOf(family, SETTINGS).filter(({ name }) => names.includes(name));

/** They make no difference to these sets. */
const SETTINGS: RedirectionSettings = withPreferredPorts({
  family: "IPv4",
  localTraffic: { mode: "none" },
  masqueradeAll: false,
  masqueradeMark: 1,
  nodePorts: "all",
  interfaceAddresses: [],
  localhostNodePorts: false,
  serviceCidrs: [],
  trafficMetrics: "off",
});

/** Finds out which features of the mode's tables the kernel lacks. */
export const probeTables: Probe = tableProbe(TABLE, [
  {
    name: "tables, maps and verdict maps",
    from: "nf_tables (CONFIG_NF_TABLES with CONFIG_NF_TABLES_IPV4 and CONFIG_NF_TABLES_IPV6)",
    sets: (family) => sets(family, SERVICE_IPS, LISTENERS.inside),
  },
  {
    name: "ranges in concatenated keys",
    from: "Linux 5.6 or newer",
    sets: (family) => sets(family, FIREWALL_ALLOWED),
  },
  {
    name: "connection tracking in rules",
    from: "nft_ct (CONFIG_NFT_CT)",
    rule: () => rule(isNew()),
  },
  {
    name: "address types in rules",
    from: "nft_fib_ipv4 and nft_fib_ipv6 (CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6)",
    hook: PREROUTING,
    rule: () => rule(isOfThisNode("daddr")),
  },
  {
    name: "destination NAT",
    from: "nft_nat (CONFIG_NFT_NAT)",
    hook: PREROUTING,
    rule: (family) => rule(dnatTo(family, "\0".repeat(family.addressBytes), "\0\x01")),
  },
  {
    name: "rejecting",
    from: "nft_reject_ipv4 and nft_reject_ipv6 (CONFIG_NFT_REJECT_IPV4, CONFIG_NFT_REJECT_IPV6)",
    rule: (family) => rule([expr.reject(family)]),
  },
], (batch, family, settings, plans) => {
  const { state, contents } = wholeTable(family, withPreferredPorts(settings), plans);
  writeTable(REDIRECTION_TABLE, batch, { family, settings: state.settings, elements: contents });
});
