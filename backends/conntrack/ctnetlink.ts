import { NFNL_SUBSYS_CTNETLINK } from "../../ffi/netlink/nfnetlink.ts";

/** Connection tracking over netlink. Integers are big-endian except in CTA_FILTER. */

const IPCTNL_MSG_CT_NEW = 0; // linux/netfilter/nfnetlink_conntrack.h
const IPCTNL_MSG_CT_GET = 1; // linux/netfilter/nfnetlink_conntrack.h
const IPCTNL_MSG_CT_DELETE = 2; // linux/netfilter/nfnetlink_conntrack.h

/** nlmsg_type of an entry in the answer to a dump. */
export const CT_NEW = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW;
export const CT_GET = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
export const CT_DELETE = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE;

export const CTA_TUPLE_ORIG = 1; // linux/netfilter/nfnetlink_conntrack.h, enum ctattr_type
export const CTA_TUPLE_REPLY = 2;
export const CTA_STATUS = 3;
export const CTA_ID = 12;
export const CTA_ZONE = 18;
export const CTA_FILTER = 25; // since Linux 5.8; older kernels ignore it and dump everything
export const CTA_STATUS_MASK = 26; // since Linux 5.15; older kernels ignore it

export const CTA_TUPLE_IP = 1; // enum ctattr_tuple
export const CTA_TUPLE_PROTO = 2;
export const CTA_TUPLE_ZONE = 3;

export const CTA_IP_V4_SRC = 1; // enum ctattr_ip
export const CTA_IP_V4_DST = 2;
export const CTA_IP_V6_SRC = 3;
export const CTA_IP_V6_DST = 4;

export const CTA_PROTO_NUM = 1; // enum ctattr_l4proto
export const CTA_PROTO_SRC_PORT = 2;
export const CTA_PROTO_DST_PORT = 3;

export const CTA_FILTER_ORIG_FLAGS = 1; // enum ctattr_filter; a host-order u32 of the flags below
export const CTA_FILTER_F_CTA_PROTO_NUM = 1 << 3; // net/netfilter/nf_internals.h

export const IPS_SEEN_REPLY = 1 << 1; // linux/netfilter/nf_conntrack_common.h
