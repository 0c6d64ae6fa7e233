/** The framing that all netlink protocols share. */

export const NLMSG_HDRLEN = 16; // linux/netlink.h
export const NLA_HDRLEN = 4; // linux/netlink.h

export const NLMSG_ERROR = 2; // linux/netlink.h
export const NLMSG_DONE = 3; // linux/netlink.h

export const NLM_F_REQUEST = 0x1; // linux/netlink.h
export const NLM_F_ACK = 0x4; // linux/netlink.h
export const NLM_F_DUMP_INTR = 0x10; // linux/netlink.h

const NLM_F_ROOT = 0x100; // linux/netlink.h, GET requests
const NLM_F_MATCH = 0x200; // linux/netlink.h, GET requests
export const NLM_F_DUMP = NLM_F_ROOT | NLM_F_MATCH; // linux/netlink.h, GET requests

export const NLM_F_EXCL = 0x200; // linux/netlink.h, NEW requests
export const NLM_F_CREATE = 0x400; // linux/netlink.h, NEW requests
export const NLM_F_APPEND = 0x800; // linux/netlink.h, NEW requests

export const NLM_F_CAPPED = 0x100; // linux/netlink.h, acknowledgements
export const NLM_F_ACK_TLVS = 0x200; // linux/netlink.h, acknowledgements

export const NLMSGERR_ATTR_MSG = 1; // linux/netlink.h
export const NLMSGERR_ATTR_OFFS = 2; // linux/netlink.h

export const NLA_F_NESTED = 0x8000; // linux/netlink.h
export const NLA_F_NET_BYTEORDER = 0x4000; // linux/netlink.h
export const NLA_TYPE_MASK = 0x3fff; // 16 bits, linux/netlink.h: without NLA_F_NESTED and NLA_F_NET_BYTEORDER

export const NETLINK_ROUTE = 0; // linux/netlink.h
export const NETLINK_SOCK_DIAG = 4; // linux/netlink.h
export const NETLINK_XFRM = 6; // linux/netlink.h
export const NETLINK_NETFILTER = 12; // linux/netlink.h
export const NETLINK_GENERIC = 16; // linux/netlink.h

export const NETLINK_CAP_ACK = 10; // linux/netlink.h
export const NETLINK_EXT_ACK = 11; // linux/netlink.h
