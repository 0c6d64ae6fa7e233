import { LOOPBACK } from "../../core/net/address.ts";
import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import type { Requirement } from "../../core/backend/contract.ts";
import type { NodeSettings, ServicePortPlan } from "../../core/plan/plan.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { type Feature, probeFeatures } from "../nf_tables/probe.ts";
import { RuleBatch } from "./sync/batch.ts";
import { compile } from "./rules/compile.ts";
import { builtInChain, type TableName, TABLES } from "./rules/layout.ts";
import { nodeRules } from "./rules/node_rules.ts";
import { type LegacyTable, legacyWarning, readLegacyTables } from "../x_tables/tables.ts";
import { PacketCounters } from "./nfacct.ts";
import type { IptablesRule, Match, Target } from "./rules/rule.ts";
import { rejectedChange } from "./sync/rejection.ts";
import { probeVolumes } from "./volumes/probe.ts";

/**
 * The name of a chain that nothing jumps to. It is in the tables of iptables, because some targets are
 * allowed in one table only. These tables may exist and have foreign rules.
 */
const PROBE_CHAIN = "KUBE-PROXY-PROBE";

/** The x_tables extensions, each with its kernel module (`modprobe` takes these names). */
const EXTENSIONS: readonly Feature<RuleBatch>[] = [
  matching("comment", "xt_comment (CONFIG_NETFILTER_XT_MATCH_COMMENT)", { match: "comment", text: "probe" }),
  matching("conntrack", "xt_conntrack (CONFIG_NETFILTER_XT_MATCH_CONNTRACK)", {
    match: "ctstate",
    states: ["NEW"],
    inverted: false,
  }),
  matching("addrtype", "xt_addrtype (CONFIG_NETFILTER_XT_MATCH_ADDRTYPE)", {
    match: "addrtype",
    of: "source",
  }),
  matching("statistic", "xt_statistic (CONFIG_NETFILTER_XT_MATCH_STATISTIC)", {
    match: "statistic",
    probability: 0.5,
  }),
  matching("recent", "xt_recent (CONFIG_NETFILTER_XT_MATCH_RECENT)", {
    match: "recent-set",
    name: PROBE_CHAIN,
  }),
  extension("match tcp", "xt_tcpudp (CONFIG_NETFILTER_XTABLES)", "nat", {
    protocol: "TCP",
    matches: [{ match: "protocol" }],
  }),
  {
    ...extension(
      "match sctp",
      "xt_sctp (CONFIG_NETFILTER_XT_MATCH_SCTP); ports of protocol SCTP need it",
      "nat",
      {
        protocol: "SCTP",
        matches: [{ match: "protocol" }],
      },
    ),
    severity: "recommended",
  },
  targeting("MARK", "xt_mark (CONFIG_NETFILTER_XT_MARK)", "nat", {
    target: "MARK",
    value: 0x4000,
    mask: 0x4000,
  }),
  targeting("MASQUERADE", "xt_MASQUERADE (CONFIG_NETFILTER_XT_TARGET_MASQUERADE)", "nat", {
    target: "MASQUERADE",
  }),
  targeting(
    "REJECT",
    "ipt_REJECT and ip6t_REJECT (CONFIG_IP_NF_TARGET_REJECT, CONFIG_IP6_NF_TARGET_REJECT)",
    "filter",
    {
      target: "REJECT",
    },
  ),
  {
    name: "target DNAT",
    from: "xt_nat (CONFIG_NETFILTER_XT_NAT)",
    write: (batch, family) =>
      batch.appendRule(family, "nat", PROBE_CHAIN, {
        matches: [],
        target: { target: "DNAT", address: LOOPBACK[family.family], port: 1 },
      }),
  },
];

const FEATURES: readonly Feature<RuleBatch>[] = [
  {
    name: "tables and chains",
    from: "CONFIG_NF_TABLES_IPV4 and CONFIG_NF_TABLES_IPV6",
    write: (batch, family) => {
      for (const table of ["filter", "nat"] as const) {
        batch.addTable(family, table);
        batch.addChain(family, table, PROBE_CHAIN);
      }
    },
  },
  ...EXTENSIONS,
];

/**
 * Finds out which features of the kernel that our rules need exist, and whether legacy tables interfere with
 * the rules. Changes nothing.
 * @param readLegacy for tests.
 */
export async function probeKernel(
  client: NetlinkClient,
  families: readonly TableFamily[],
  readLegacy: () => readonly LegacyTable[] = readLegacyTables,
): Promise<readonly Requirement[]> {
  const found = await probeFeatures(client, {
    tables: ["filter", "nat", "mangle"],
    inTables: true,
    begin: (message, firstSeq) => new RuleBatch(message, firstSeq),
    families,
    features: FEATURES,
    writeAll: writeRules,
    describe: (batch, answer) => rejectedChange(batch, answer).operation,
    reject: (batch, family) => batch.deleteChain(family, "filter", `${PROBE_CHAIN}-MISSING`),
  });
  if (found.some((requirement) => !requirement.found && requirement.severity === "required")) {
    return withoutCompat(found);
  }
  return [
    ...found,
    await packetCounters(client),
    await probeVolumes(client, families),
    legacyTables(readLegacy()),
  ];
}

/** Every packet counter is optional, and is tried by `packetCounters`. */
const RULE_CONTEXT = { nfacct: false, dropsInvalid: true, isLarge: false };

/**
 * Writes the rules of a node with services, behind the rules that exist. The jumps to them are in chains of our own,
 * because the built-in chains may be another program's and differ from those of iptables.
 */
function writeRules(
  batch: RuleBatch,
  family: TableFamily,
  settings: NodeSettings,
  plans: readonly ServicePortPlan[],
): void {
  const { chains, shared, joint, jumps } = nodeRules(settings, RULE_CONTEXT);
  const services = plans.map((plan) => compile(plan, { settings, ...RULE_CONTEXT }));
  const withRules = [...services.flatMap(({ chains }) => chains), ...chains, ...joint];
  for (const table of TABLES) batch.addTable(family, table);
  for (const { table, name } of [...withRules, ...shared]) batch.addChain(family, table, name);
  for (const { table, name, rules } of withRules) {
    for (const rule of rules) batch.appendRule(family, table, name, rule);
  }
  for (const { chain: { table, name }, rule } of services.flatMap(({ shared }) => shared)) {
    batch.appendRule(family, table, name, rule);
  }
  for (const { table, name, last } of shared) {
    for (const rule of last) batch.appendRule(family, table, name, rule);
  }
  for (const { table, from, rule } of jumps) {
    const chain = { ...builtInChain(table, from), name: `${PROBE_CHAIN}-${from}` };
    batch.addBuiltInChain(family, chain);
    batch.appendRule(family, table, chain.name, rule);
  }
}

/**
 * If the kernel has chains but no extension at all, reports what all extensions need instead of each of them.
 */
function withoutCompat(found: readonly Requirement[]): readonly Requirement[] {
  const names = new Set(EXTENSIONS.map(({ name }) => name));
  const isNoExtension = ({ name }: Requirement) => !names.has(name);
  if (found.length < FEATURES.length || found.some((one) => one.found !== isNoExtension(one))) return found;
  return [...found.filter(isNoExtension), {
    name: "rules of iptables in nf_tables",
    severity: "required",
    found: false,
    detail:
      "the kernel has no match and no target of iptables. They need nft_compat (CONFIG_NFT_COMPAT) and " +
      "CONFIG_NETFILTER_XTABLES; mode nftables needs neither",
    fix: "modprobe nft_compat",
  }];
}

async function packetCounters(client: NetlinkClient): Promise<Requirement> {
  const isSupported = await new PacketCounters(client).isSupported();
  return {
    name: "packet counters",
    found: isSupported,
    severity: "optional",
    detail: isSupported
      ? "rules can count in them"
      : "two metrics are omitted. They need nfnetlink_acct and xt_nfacct (CONFIG_NETFILTER_NETLINK_ACCT, " +
        "CONFIG_NETFILTER_XT_MATCH_NFACCT)",
    fix: "modprobe -a nfnetlink_acct xt_nfacct",
  };
}

function legacyTables(tables: readonly LegacyTable[]): Requirement {
  const warning = legacyWarning(tables);
  return {
    name: "no legacy iptables rules",
    found: warning === undefined,
    severity: "recommended",
    detail: warning ?? "the x_tables tables are empty",
  };
}

function matching(name: string, from: string, match: Match): Feature<RuleBatch> {
  return extension(`match ${name}`, from, "filter", { matches: [match] });
}

function targeting(name: string, from: string, table: TableName, target: Target): Feature<RuleBatch> {
  return extension(`target ${name}`, from, table, { matches: [], target });
}

function extension(name: string, from: string, table: TableName, rule: IptablesRule): Feature<RuleBatch> {
  return { name, from, write: (batch, family) => batch.appendRule(family, table, PROBE_CHAIN, rule) };
}
