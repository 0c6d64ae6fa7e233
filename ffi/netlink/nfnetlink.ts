import { KernelError } from "../errors.ts";
import type { MessageWriter } from "./writer.ts";

/**
 * nfnetlink: the framing that the subsystems of netfilter share. The nlmsg_type of a message is
 * `NFNL_SUBSYS_… << 8 | type`. Unless noted: linux/netfilter/nfnetlink.h
 */

export const NFNL_SUBSYS_CTNETLINK = 1;
export const NFNL_SUBSYS_IPSET = 6;
export const NFNL_SUBSYS_ACCT = 7;
export const NFNL_SUBSYS_NFTABLES = 10;
export const NFNL_SUBSYS_NFT_COMPAT = 11;

export const NFNLGRP_NFTABLES = 7;

export const NFNL_MSG_BATCH_BEGIN = 0x10;
export const NFNL_MSG_BATCH_END = 0x11;

export const NFPROTO_UNSPEC = 0; // linux/netfilter.h
export const NFPROTO_IPV4 = 2; // linux/netfilter.h
export const NFPROTO_IPV6 = 10; // linux/netfilter.h

const NFNETLINK_V0 = 0;

/** struct nfgenmsg { __u8 nfgen_family, version; __be16 res_id; } */
export const NFGENMSG_BYTES = 4;

/** Reports whether a socket was not opened because the kernel has no nfnetlink, and so none of its subsystems. */
export function lacksNfnetlink(error: unknown): boolean {
  return error instanceof KernelError && error.errnoName === "EPROTONOSUPPORT";
}

/** Writes a struct nfgenmsg. */
export function nfgenmsg(message: MessageWriter, family: number, resourceId: number): void {
  message.rawU8(family);
  message.rawU8(NFNETLINK_V0);
  message.rawU16be(resourceId);
}
