import type { Requirement } from "../backend.ts";
import { errnoName, errnoOf, errnoText } from "../../ffi/errno.ts";
import type { Acknowledgement } from "../../ffi/netlink/reader.ts";
import { collectBatchErrors } from "../../ffi/netlink/request.ts";
import type { NetlinkTransport } from "../../ffi/netlink/transport.ts";
import { MessageWriter } from "../../ffi/netlink/writer.ts";
import { TableBatch } from "./batch.ts";
import type { Chain, Hook } from "./chains.ts";
import * as expr from "../nf_tables/expressions.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import * as nft from "../nf_tables/constants.ts";
import { addressFields, dnatTo, isNew, isOfThisNode, type Rule, rule } from "./rules.ts";
import { affinitySet, ENDPOINTS, FIREWALL_ALLOWED, SERVICE_IPS, setsOf } from "./sets.ts";

/** One thing our tables are made of. */
interface Feature {
  readonly name: string;
  /** Kernel options, or the version that brought it. */
  readonly from: string;
  write(batch: TableBatch, family: TableFamily): void;
}

const features: readonly Feature[] = [
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

/**
 * Tries everything in one batch whose last message the kernel must refuse: it tells of every refusal, and commits
 * nothing.
 */
export async function probeKernel(
  transport: NetlinkTransport,
  families: readonly TableFamily[],
  firstSeq: number,
): Promise<readonly Requirement[]> {
  const batch = new TableBatch(new MessageWriter(), firstSeq);
  const tried: { feature: Feature; family: TableFamily; from: number; to: number }[] = [];
  for (const family of families) {
    for (const feature of features) {
      const from = batch.count;
      feature.write(batch, family);
      tried.push({ feature, family, from, to: batch.count });
    }
  }
  const [anyFamily] = families;
  if (anyFamily !== undefined) batch.deleteSet(anyFamily, "probe-that-is-not-there");
  await transport.sendLarge(batch.end());
  const errors = collectBatchErrors(transport);

  const basics = basicRequirements(errors);
  if (basics.some(({ found }) => !found)) return basics;
  const missing = (feature: Feature) =>
    tried.flatMap((attempt) => {
      const error = errors.find(({ seq }) => seq >= firstSeq + attempt.from && seq < firstSeq + attempt.to);
      return attempt.feature === feature && error !== undefined ? [{ family: attempt.family, error }] : [];
    });
  return [...basics, ...features.map((feature) => requirement(feature, missing(feature)))];
}

const PRESENT = "nf_tables in the kernel";
const PRIVILEGE = "CAP_NET_ADMIN";

/** When there is no way to talk to nf_tables at all. */
export function noNetfilter(reason: string): Requirement {
  return {
    name: PRESENT,
    found: false,
    detail: `${reason}. The kernel needs CONFIG_NF_TABLES and CONFIG_NETFILTER_NETLINK`,
  };
}

function basicRequirements(errors: readonly Acknowledgement[]): readonly Requirement[] {
  const refused = (name: string) => errors.some(({ errno }) => errno === errnoOf(name));
  if (refused("EPERM")) {
    return [{
      name: PRIVILEGE,
      found: false,
      detail:
        "the kernel answers EPERM: give the unit or the container this capability in its network namespace " +
        "(see docs/operations.md#privileges)",
    }];
  }
  const privilege = { name: PRIVILEGE, found: true, detail: "the kernel takes our changes" };
  // The batch itself is refused, before any message in it.
  const absent = errors.find(({ errno }) => errno === errnoOf("EOPNOTSUPP"));
  if (absent !== undefined && errors.length === 1) {
    return [privilege, noNetfilter(`the kernel answers ${errnoName(absent.errno)}`)];
  }
  return [privilege, { name: PRESENT, found: true, detail: "the kernel answers" }];
}

function requirement(
  feature: Feature,
  missing: readonly { family: TableFamily; error: Acknowledgement }[],
): Requirement {
  const { name, from } = feature;
  if (missing.length === 0) return { name, found: true, detail: "the kernel takes them" };
  const answers = missing.map(({ family, error }) =>
    `${errnoName(error.errno)} (${errnoText(error.errno)}) for ${family.family}`
  );
  return { name, found: false, detail: `the kernel answers ${answers.join(", ")}. It comes with ${from}` };
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
