/**
 * IPVS over generic netlink. Numbers on the wire are in host byte order; ports and addresses are in network
 * byte order (linux/ip_vs.h, net/netfilter/ipvs/ip_vs_ctl.c).
 */

export const IPVS_GENL_NAME = "IPVS"; // linux/ip_vs.h
export const IPVS_GENL_VERSION = 1;

export const IPVS_CMD_NEW_SERVICE = 1; // linux/ip_vs.h, commands
export const IPVS_CMD_SET_SERVICE = 2;
export const IPVS_CMD_DEL_SERVICE = 3;
export const IPVS_CMD_GET_SERVICE = 4;
export const IPVS_CMD_NEW_DEST = 5;
export const IPVS_CMD_SET_DEST = 6;
export const IPVS_CMD_DEL_DEST = 7;
export const IPVS_CMD_GET_DEST = 8;
export const IPVS_CMD_SET_CONFIG = 12;
export const IPVS_CMD_GET_CONFIG = 13;
export const IPVS_CMD_FLUSH = 17;

export const IPVS_CMD_ATTR_SERVICE = 1; // linux/ip_vs.h, attributes of a command
export const IPVS_CMD_ATTR_DEST = 2;
export const IPVS_CMD_ATTR_TIMEOUT_TCP = 4;
export const IPVS_CMD_ATTR_TIMEOUT_TCP_FIN = 5;
export const IPVS_CMD_ATTR_TIMEOUT_UDP = 6;

export const IPVS_SVC_ATTR_AF = 1; // linux/ip_vs.h, attributes of a service
export const IPVS_SVC_ATTR_PROTOCOL = 2;
export const IPVS_SVC_ATTR_ADDR = 3;
export const IPVS_SVC_ATTR_PORT = 4;
export const IPVS_SVC_ATTR_FWMARK = 5;
export const IPVS_SVC_ATTR_SCHED_NAME = 6;
export const IPVS_SVC_ATTR_FLAGS = 7; // struct ip_vs_flags { __u32 flags, mask; }
export const IPVS_SVC_ATTR_TIMEOUT = 8; // of persistence, seconds
export const IPVS_SVC_ATTR_NETMASK = 9; // IPv4: the mask, big-endian; IPv6: the prefix length
export const IPVS_SVC_ATTR_STATS64 = 12; // since Linux 4.1

export const IPVS_STATS_ATTR_CONNS = 1; // linux/ip_vs.h, attributes of statistics
export const IPVS_STATS_ATTR_INPKTS = 2;
export const IPVS_STATS_ATTR_OUTPKTS = 3;
export const IPVS_STATS_ATTR_INBYTES = 4;
export const IPVS_STATS_ATTR_OUTBYTES = 5;

export const IPVS_DEST_ATTR_ADDR = 1; // linux/ip_vs.h, attributes of a destination
export const IPVS_DEST_ATTR_PORT = 2;
export const IPVS_DEST_ATTR_FWD_METHOD = 3;
export const IPVS_DEST_ATTR_WEIGHT = 4;
export const IPVS_DEST_ATTR_U_THRESH = 5;
export const IPVS_DEST_ATTR_L_THRESH = 6;
export const IPVS_DEST_ATTR_ACTIVE_CONNS = 7;
export const IPVS_DEST_ATTR_INACT_CONNS = 8;
export const IPVS_DEST_ATTR_PERSIST_CONNS = 9;
export const IPVS_DEST_ATTR_ADDR_FAMILY = 11; // since Linux 3.18; before, always the family of the service

export const IP_VS_SVC_F_PERSISTENT = 0x0001; // linux/ip_vs.h
export const IP_VS_SVC_F_HASHED = 0x0002; // set by the kernel
export const IP_VS_SVC_F_SCHED1 = 0x0008; // sh, mh: fall back to another real server
export const IP_VS_SVC_F_SCHED2 = 0x0010; // sh, mh: hash the port, too

export const IP_VS_CONN_F_FWD_MASK = 0x0007; // linux/ip_vs.h
export const IP_VS_CONN_F_MASQ = 0x0000;

/** union nf_inet_addr: an IPv4 address takes the first four bytes. linux/netfilter.h */
export const NF_INET_ADDR_BYTES = 16;
