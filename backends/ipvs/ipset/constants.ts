/** Sets of iptables (`ipset`) over nfnetlink. Numbers on the wire are big-endian (linux/netfilter/ipset/ip_set.h). */

/** The oldest version that kernels take, which is all that we need. */
export const IPSET_PROTOCOL_MIN = 6; // linux/netfilter/ipset/ip_set.h

export const IPSET_CMD_DESTROY = 3; // linux/netfilter/ipset/ip_set.h, commands
export const IPSET_CMD_LIST = 7;

export const IPSET_ATTR_PROTOCOL = 1; // linux/netfilter/ipset/ip_set.h, attributes of a command
export const IPSET_ATTR_SETNAME = 2;
export const IPSET_ATTR_FLAGS = 6;

export const IPSET_FLAG_LIST_SETNAME = 2; // linux/netfilter/ipset/ip_set.h: names and nothing else

/** The most characters of a name. */
export const IPSET_NAME_LENGTH = 31; // IPSET_MAXNAMELEN, linux/netfilter/ipset/ip_set.h, without its NUL

export const IPSET_ERR_PROTOCOL = 4097; // linux/netfilter/ipset/ip_set.h, in place of an errno
export const IPSET_ERR_BUSY = 4100;
