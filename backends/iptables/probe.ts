import { LOOPBACK } from "../../core/net/address.ts";
import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import type { Requirement } from "../../core/backend/contract.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { type Feature, probeFeatures } from "../nf_tables/probe.ts";
import { RuleBatch } from "./sync/batch.ts";
import type { TableName } from "./rules/layout.ts";
import { type LegacyTable, legacyWarning, readLegacyTables } from "./legacy/tables.ts";
import { PacketCounters } from "./nfacct.ts";
import type { IptablesRule, Match, Target } from "./rules/rule.ts";

/**
 * A chain that nothing jumps to. The tables are those of iptables, as some targets are for one of them only; they
 * may be there, with rules of anybody's.
 */
const CHAIN = "KUBE-PROXY-PROBE";

/** Each x_tables extension by the module that has it (`modprobe` takes these names). */
const extensions: readonly Feature<RuleBatch>[] = [
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
  matching("recent", "xt_recent (CONFIG_NETFILTER_XT_MATCH_RECENT)", { match: "recent-set", name: CHAIN }),
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
      batch.appendRule(family, "nat", CHAIN, {
        matches: [],
        target: { target: "DNAT", address: LOOPBACK[family.family], port: 1 },
      }),
  },
];

const features: readonly Feature<RuleBatch>[] = [
  {
    name: "tables and chains",
    from: "CONFIG_NF_TABLES_IPV4 and CONFIG_NF_TABLES_IPV6",
    write: (batch, family) => {
      for (const table of ["filter", "nat"] as const) {
        batch.addTable(family, table);
        batch.addChain(family, table, CHAIN);
      }
    },
  },
  ...extensions,
];

/**
 * What of the kernel's our rules are made of, and what is in their way. Changes nothing.
 * @param readLegacy for tests.
 */
export async function probeKernel(
  client: NetlinkClient,
  families: readonly TableFamily[],
  readLegacy: () => readonly LegacyTable[] = readLegacyTables,
): Promise<readonly Requirement[]> {
  const found = await probeFeatures(client, {
    begin: (message, firstSeq) => new RuleBatch(message, firstSeq),
    families,
    features,
    reject: (batch, family) => batch.deleteChain(family, "filter", `${CHAIN}-THAT-IS-NOT-THERE`),
  });
  if (found.some((requirement) => !requirement.found && requirement.severity === "required")) {
    return withoutCompat(found);
  }
  return [...found, await packetCounters(client), legacyTables(readLegacy())];
}

/** When the kernel takes chains and none of the extensions, what is missing is what they all need. */
function withoutCompat(found: readonly Requirement[]): readonly Requirement[] {
  const names = new Set(extensions.map(({ name }) => name));
  const isNoExtension = ({ name }: Requirement) => !names.has(name);
  if (found.length < features.length || found.some((one) => one.found !== isNoExtension(one))) return found;
  return [...found.filter(isNoExtension), {
    name: "rules of iptables in nf_tables",
    severity: "required",
    found: false,
    detail:
      "the kernel takes no match and no target of iptables. They come with nft_compat (CONFIG_NFT_COMPAT) " +
      "and CONFIG_NETFILTER_XTABLES; mode nftables needs neither",
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
      : "two metrics are left out. They come with nfnetlink_acct and xt_nfacct (CONFIG_NETFILTER_NETLINK_ACCT, " +
        "CONFIG_NETFILTER_XT_MATCH_NFACCT)",
  };
}

function legacyTables(tables: readonly LegacyTable[]): Requirement {
  const warning = legacyWarning(tables);
  return {
    name: "no legacy iptables rules",
    found: warning === undefined,
    severity: "recommended",
    detail: warning ?? "the tables of x_tables have none",
  };
}

function matching(name: string, from: string, match: Match): Feature<RuleBatch> {
  return extension(`match ${name}`, from, "filter", { matches: [match] });
}

function targeting(name: string, from: string, table: TableName, target: Target): Feature<RuleBatch> {
  return extension(`target ${name}`, from, table, { matches: [], target });
}

function extension(name: string, from: string, table: TableName, rule: IptablesRule): Feature<RuleBatch> {
  return { name, from, write: (batch, family) => batch.appendRule(family, table, CHAIN, rule) };
}
