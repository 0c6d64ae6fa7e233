import type { Requirement } from "../../core/backend/contract.ts";
import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import type { Chain, Hook } from "../nf_tables/chain.ts";
import type { TableBatch } from "../nf_tables/table_batch.ts";
import { KubeProxyBatch } from "./batch.ts";
import * as expr from "../nf_tables/expressions.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import * as nft from "../nf_tables/constants.ts";
import { type Feature, probeFeatures } from "../nf_tables/probe.ts";
import { addressFields, dnatTo, isNew, isOfThisNode, type Rule, rule } from "../nf_tables/rules.ts";
import { FIREWALL_ALLOWED } from "../nf_tables/shared_sets.ts";
import { affinitySet, ENDPOINTS, SERVICE_IPS, setsOf } from "./sets.ts";

const features: readonly Feature<TableBatch>[] = [
  {
    name: "tables, maps and verdict maps",
    from: "CONFIG_NF_TABLES with CONFIG_NF_TABLES_IPV4 and CONFIG_NF_TABLES_IPV6",
    write: (batch, family) => {
      batch.addTable(family);
      for (const name of [SERVICE_IPS, ENDPOINTS]) addSet(batch, family, name);
    },
  },
  {
    name: "ranges in concatenated keys",
    from: "Linux 5.6 or newer",
    write: (batch, family) => addSet(batch, family, FIREWALL_ALLOWED),
  },
  {
    name: "sets that rules fill",
    from: "CONFIG_NF_TABLES",
    write: (batch, family) => batch.addSet(family, affinitySet(family, "probe-affinity", 10)),
  },
  {
    name: "connection tracking in rules",
    from: "CONFIG_NFT_CT",
    write: (batch, family) => add(batch, family, "probe-ct", undefined, rule(isNew())),
  },
  {
    name: "random numbers in rules",
    from: "CONFIG_NFT_NUMGEN",
    write: (batch, family) =>
      add(
        batch,
        family,
        "probe-numgen",
        undefined,
        rule(expr.concat(...addressFields(family), expr.random(2))),
      ),
  },
  {
    name: "address types in rules",
    from: "CONFIG_NFT_FIB_IPV4 and CONFIG_NFT_FIB_IPV6",
    write: (batch, family) => add(batch, family, "probe-fib", prerouting, rule(isOfThisNode("daddr"))),
  },
  {
    name: "destination NAT",
    from: "CONFIG_NFT_NAT",
    write: (batch, family) =>
      add(
        batch,
        family,
        "probe-dnat",
        prerouting,
        rule(dnatTo(family, "\0".repeat(family.addressBytes), "\0\x01")),
      ),
  },
  {
    name: "masquerading",
    from: "CONFIG_NFT_MASQ",
    write: (batch, family) => add(batch, family, "probe-masquerade", postrouting, rule([expr.masquerade])),
  },
  {
    name: "rejecting",
    from: "CONFIG_NFT_REJECT with CONFIG_NFT_REJECT_IPV4 and CONFIG_NFT_REJECT_IPV6",
    write: (batch, family) => add(batch, family, "probe-reject", undefined, rule([expr.reject(family)])),
  },
];

const prerouting: Hook = { type: "nat", number: nft.NF_INET_PRE_ROUTING, priority: nft.NF_IP_PRI_NAT_DST };
const postrouting: Hook = { type: "nat", number: nft.NF_INET_POST_ROUTING, priority: nft.NF_IP_PRI_NAT_SRC };

/** What the kernel does not take of what our tables are made of. Commits nothing. */
export async function probeKernel(
  client: NetlinkClient,
  families: readonly TableFamily[],
): Promise<readonly Requirement[]> {
  return await probeFeatures(client, {
    batch: KubeProxyBatch,
    families,
    features,
    refuse: (batch, family) => batch.deleteSet(family, "probe-that-is-not-there"),
  });
}

function addSet(batch: TableBatch, family: TableFamily, name: string): void {
  const spec = setsOf(family, false).find((candidate) => candidate.name === name);
  if (spec !== undefined) batch.addSet(family, { ...spec, name: `probe-${name}` });
}

function add(
  batch: TableBatch,
  family: TableFamily,
  name: string,
  hook: Hook | undefined,
  probed: Rule,
): void {
  const chain: Chain = hook === undefined ? { name, rules: [probed] } : { name, hook, rules: [probed] };
  batch.addChain(family, chain);
  batch.addRules(family, chain);
}
