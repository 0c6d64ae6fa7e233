import type { Requirement } from "../../core/backend/contract.ts";
import { KernelError } from "../../ffi/errors.ts";
import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import type { Chain, Hook } from "../nf_tables/chain.ts";
import * as nft from "../nf_tables/constants.ts";
import * as expr from "../nf_tables/expressions.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { type Feature, probeFeatures } from "../nf_tables/probe.ts";
import { isNew, isOfThisNode, type Rule, rule } from "../nf_tables/rules.ts";
import type { TableBatch } from "../nf_tables/table_batch.ts";
import { Balancer } from "./servers/balancer.ts";
import { DummyDevice } from "./device/dummy_device.ts";
import type { IpvsOptions } from "./options.ts";
import { FIREWALL_ALLOWED } from "../nf_tables/shared_sets.ts";
import { IPVS_IPS, setsOf } from "./tables/sets.ts";
import { IpvsTableBatch } from "./tables/chains.ts";

const features: readonly Feature<TableBatch>[] = [
  {
    name: "tables and sets",
    from: "CONFIG_NF_TABLES with CONFIG_NF_TABLES_IPV4 and CONFIG_NF_TABLES_IPV6",
    write: (batch, family) => {
      batch.addTable(family);
      addSet(batch, family, IPVS_IPS);
    },
  },
  {
    name: "ranges in concatenated keys",
    from: "Linux 5.6 or newer",
    write: (batch, family) => addSet(batch, family, FIREWALL_ALLOWED),
  },
  {
    name: "connection tracking in rules",
    from: "CONFIG_NFT_CT",
    write: (batch, family) => add(batch, family, { name: "probe-ct", rules: [rule(isNew())] }),
  },
  {
    name: "address types in rules",
    from: "CONFIG_NFT_FIB_IPV4 and CONFIG_NFT_FIB_IPV6",
    write: (batch, family) => add(batch, family, hooked("probe-fib", input, rule(isOfThisNode("daddr")))),
  },
  {
    name: "masquerading",
    from: "CONFIG_NFT_MASQ",
    write: (batch, family) =>
      add(batch, family, hooked("probe-masquerade", postrouting, rule([expr.masquerade]))),
  },
  {
    name: "rejecting",
    from: "CONFIG_NFT_REJECT with CONFIG_NFT_REJECT_IPV4 and CONFIG_NFT_REJECT_IPV6",
    write: (batch, family) =>
      add(batch, family, { name: "probe-reject", rules: [rule([expr.reject(family)])] }),
  },
];

const input: Hook = { type: "filter", number: nft.NF_INET_LOCAL_IN, priority: nft.NF_IP_PRI_FILTER };
const postrouting: Hook = { type: "nat", number: nft.NF_INET_POST_ROUTING, priority: nft.NF_IP_PRI_NAT_SRC };

/** Not that of services: nothing is to be seen of a probe. At most IFNAMSIZ - 1 bytes. */
const PROBE_DEVICE = "kube-ipvs-probe";

/** What the kernel does not take of what our tables are made of. Commits nothing. */
export async function probeTables(
  client: NetlinkClient,
  families: readonly TableFamily[],
): Promise<readonly Requirement[]> {
  return await probeFeatures(client, {
    batch: IpvsTableBatch,
    families,
    features,
    refuse: (batch, family) => batch.deleteSet(family, "probe-that-is-not-there"),
  });
}

/** Whether IPVS balances with the scheduler that is asked for. The kernel loads what it needs for that. */
export async function probeBalancer(options: IpvsOptions): Promise<Requirement> {
  const scheduler = options.scheduler || "rr";
  return await requirement(
    `IPVS with the scheduler ${scheduler}`,
    "a virtual server can be added",
    async () => {
      using balancer = await Balancer.open();
      await balancer.tryScheduler(scheduler, ["IPv4"]);
    },
  );
}

/** Whether there can be a device for the addresses of services. */
export async function probeDevice(): Promise<Requirement> {
  return await requirement("dummy devices", "one can be made", async () => {
    using device = new DummyDevice(undefined, PROBE_DEVICE);
    await device.ensure();
    await device.delete();
  });
}

async function requirement(name: string, detail: string, attempt: () => Promise<void>): Promise<Requirement> {
  try {
    await attempt();
    return { name, found: true, detail, severity: "required" };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return { name, found: false, detail: error.message, severity: "required" };
  }
}

function addSet(batch: TableBatch, family: TableFamily, name: string): void {
  const spec = setsOf(family).find((candidate) => candidate.name === name);
  if (spec !== undefined) batch.addSet(family, { ...spec, name: `probe-${name}` });
}

function hooked(name: string, hook: Hook, ...rules: Rule[]): Chain {
  return { name, hook, rules };
}

function add(batch: TableBatch, family: TableFamily, chain: Chain): void {
  batch.addChain(family, chain);
  batch.addRules(family, chain);
}
