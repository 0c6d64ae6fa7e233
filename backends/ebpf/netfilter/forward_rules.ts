import { KernelError } from "../../../ffi/errors.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../../ffi/netlink/constants.ts";
import { NFGENMSG_BYTES, NFPROTO_UNSPEC } from "../../../ffi/netlink/nfnetlink.ts";
import { attribute } from "../../../ffi/netlink/reader.ts";
import type { OpenNetlink } from "../../../ffi/netlink/transport.ts";
import * as nft from "../../nf_tables/constants.ts";
import { dumpRequest } from "../../nf_tables/dump.ts";
import { readLegacyTables } from "../../x_tables/tables.ts";

/** Rules of other programs for packets that the stack forwards. */
export interface ForwardRules {
  /** Programs that implement network policies with such rules. */
  readonly policyEngines: readonly string[];
  /** Base chains that drop what none of their rules accepts, such as "ip filter FORWARD". */
  readonly droppingChains: readonly string[];
}

/** A chain of netfilter. */
interface ChainName {
  readonly table: string;
  readonly chain: string;
}

/**
 * Policy engines by the chains or tables that they have even without a policy. Not listed are those that implement
 * policies without netfilter's FORWARD, such as Cilium and Antrea.
 */
const POLICY_ENGINES: Readonly<Record<string, (name: ChainName) => boolean>> = {
  Calico: ({ chain }) => /(^|-)cali-/.test(chain),
  "kube-router": ({ chain }) => /^KUBE-(ROUTER-FORWARD|NWPLCY-|POD-FW-)/.test(chain),
  "kube-network-policies": ({ table }) => table === "kube-network-policies",
  "Weave Net": ({ chain }) => chain.startsWith("WEAVE-NPC"),
  "Azure NPM": ({ chain }) => chain.startsWith("AZURE-NPM"),
};

/** Names of families of nf_tables: NFPROTO_*, linux/netfilter.h */
const FAMILY_NAMES: ReadonlyMap<number, string> = new Map([[1, "inet"], [2, "ip"], [10, "ip6"]]);

/**
 * Reads the rules of this network namespace, in nf_tables and in the legacy tables of iptables. A kernel without
 * nf_tables has none there.
 * @param open the seam for tests.
 * @throws KernelError if there may be rules that could not be read.
 */
export async function readForwardRules(open?: OpenNetlink): Promise<ForwardRules> {
  const names: ChainName[] = readLegacyTables().flatMap(({ table, chains }) =>
    chains.map((chain) => ({ table, chain }))
  );
  const droppingChains: string[] = [];
  for (const { family, table, chain, dropsForwarded } of await readChains(open)) {
    names.push({ table, chain });
    if (dropsForwarded) droppingChains.push(`${family} ${table} ${chain}`);
  }
  const policyEngines = Object.entries(POLICY_ENGINES).filter(([, isOf]) => names.some(isOf)).map((
    [engine],
  ) => engine);
  return { policyEngines, droppingChains };
}

async function readChains(open?: OpenNetlink) {
  const request = dumpRequest({ nfproto: NFPROTO_UNSPEC }, nft.NFT_MSG_GETCHAIN);
  try {
    using client = NetlinkClient.open(NETLINK_NETFILTER, open);
    return (await client.dump("list chains of nf_tables", request)).map(({ payload }) => decodeChain(payload))
      .filter((chain) => FAMILY_NAMES.has(chain.nfproto));
  } catch (error) {
    if (error instanceof KernelError && WITHOUT_NF_TABLES.has(error.errnoName)) return [];
    throw error;
  }
}

/** Answers of a kernel that has netfilter's netlink protocol without nf_tables, or not even the protocol. */
const WITHOUT_NF_TABLES: ReadonlySet<string> = new Set(["EINVAL", "EPROTONOSUPPORT"]);

function decodeChain(payload: Uint8Array) {
  const read = (type: number) => attribute(payload, type, NFGENMSG_BYTES);
  const nfproto = payload[0] ?? NFPROTO_UNSPEC;
  const hook = read(nft.NFTA_CHAIN_HOOK)?.attribute(nft.NFTA_HOOK_HOOKNUM)?.u32be();
  return {
    nfproto,
    family: FAMILY_NAMES.get(nfproto) ?? "",
    table: read(nft.NFTA_CHAIN_TABLE)?.string() ?? "",
    chain: read(nft.NFTA_CHAIN_NAME)?.string() ?? "",
    dropsForwarded: hook === nft.NF_INET_FORWARD && read(nft.NFTA_CHAIN_POLICY)?.u32be() === nft.NF_DROP,
  };
}
