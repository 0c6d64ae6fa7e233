/** Links and addresses of this network namespace. Numbers on the wire are of the host's order, addresses big-endian. */

export const RTNLGRP_LINK = 1; // linux/rtnetlink.h
export const RTNLGRP_IPV4_IFADDR = 5; // linux/rtnetlink.h
export const RTNLGRP_IPV6_IFADDR = 9; // linux/rtnetlink.h

export const RTM_NEWLINK = 16; // linux/rtnetlink.h
export const RTM_DELLINK = 17; // linux/rtnetlink.h
export const RTM_GETLINK = 18; // linux/rtnetlink.h
export const RTM_NEWADDR = 20; // linux/rtnetlink.h
export const RTM_DELADDR = 21; // linux/rtnetlink.h
export const RTM_GETADDR = 22; // linux/rtnetlink.h

/** struct ifinfomsg { u8 ifi_family, pad; u16 ifi_type; s32 ifi_index; u32 ifi_flags, ifi_change; } linux/rtnetlink.h */
export const IFINFOMSG_BYTES = 16;
export const IFINFOMSG_INDEX = 4;

export const IFLA_IFNAME = 3; // linux/if_link.h
export const IFLA_LINKINFO = 18; // linux/if_link.h
export const IFLA_EXT_MASK = 29; // linux/if_link.h
export const IFLA_INFO_KIND = 1; // linux/if_link.h
export const RTEXT_FILTER_SKIP_STATS = 1 << 3; // linux/rtnetlink.h

/** struct ifaddrmsg { u8 ifa_family, ifa_prefixlen, ifa_flags, ifa_scope; u32 ifa_index; } linux/if_addr.h */
export const IFADDRMSG_BYTES = 8;
export const IFADDRMSG_PREFIXLEN = 1;
export const IFADDRMSG_INDEX = 4;

export const IFA_ADDRESS = 1; // linux/if_addr.h: of the peer, where that has another
export const IFA_LOCAL = 2; // linux/if_addr.h: IPv4 only
export const IFA_F_NODAD = 0x02; // linux/if_addr.h
