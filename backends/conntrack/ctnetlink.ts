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
export const CTA_PROTOINFO = 4;
export const CTA_NAT_SRC = 6;
export const CTA_TIMEOUT = 7;
export const CTA_ID = 12;
export const CTA_NAT_DST = 13;
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

export const CTA_PROTOINFO_TCP = 1; // enum ctattr_protoinfo
export const CTA_PROTOINFO_TCP_STATE = 1; // enum ctattr_protoinfo_tcp
export const CTA_PROTOINFO_TCP_FLAGS_ORIGINAL = 4; // struct nf_ct_tcp_flags { __u8 flags, mask; }
export const CTA_PROTOINFO_TCP_FLAGS_REPLY = 5;

export const CTA_NAT_V4_MINIP = 1; // enum ctattr_nat; the largest address and port are by default the smallest
export const CTA_NAT_PROTO = 3;
export const CTA_NAT_V6_MINIP = 4;
export const CTA_PROTONAT_PORT_MIN = 1; // enum ctattr_protonat

export const IPS_SEEN_REPLY = 1 << 1; // linux/netfilter/nf_conntrack_common.h
export const IPS_ASSURED = 1 << 2;
export const IPS_CONFIRMED = 1 << 3;
export const IPS_DST_NAT = 1 << 5;

export const TCP_CONNTRACK_SYN_SENT = 1; // linux/netfilter/nf_conntrack_tcp.h
export const TCP_CONNTRACK_SYN_RECV = 2;
export const TCP_CONNTRACK_ESTABLISHED = 3;
export const TCP_CONNTRACK_FIN_WAIT = 4;
export const IP_CT_TCP_FLAG_BE_LIBERAL = 0x08;
