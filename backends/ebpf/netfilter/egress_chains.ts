import { KernelError } from "../../../ffi/errors.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NFGENMSG_BYTES } from "../../../ffi/netlink/nfnetlink.ts";
import { attribute } from "../../../ffi/netlink/reader.ts";
import * as nft from "../../nf_tables/constants.ts";
import { dumpRequest } from "../../nf_tables/dump.ts";

const NFPROTO_NETDEV = 5; // linux/netfilter.h
const NF_NETDEV_EGRESS = 1; // linux/netfilter.h

/**
 * Reports whether nf_tables has chains for packets that leave by any device, since Linux 5.16.
 * @throws KernelError
 */
export async function hasNetdevEgressChains(client: NetlinkClient): Promise<boolean> {
  const request = dumpRequest({ nfproto: NFPROTO_NETDEV }, nft.NFT_MSG_GETCHAIN);
  const chains = await client.dump("list chains of nf_tables", request).catch((error) => {
    // The kernel has no nf_tables.
    if (error instanceof KernelError && error.errnoName === "EINVAL") return [];
    throw error;
  });
  return chains.some(({ payload }) => {
    const hook = attribute(payload, nft.NFTA_CHAIN_HOOK, NFGENMSG_BYTES)?.attribute(nft.NFTA_HOOK_HOOKNUM)
      ?.u32be();
    return payload[0] === NFPROTO_NETDEV && hook === NF_NETDEV_EGRESS;
  });
}
