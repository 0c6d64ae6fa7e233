/** Links, addresses and traffic control. Integers are in host byte order, addresses in network byte order. */

export const RTNLGRP_LINK = 1; // linux/rtnetlink.h
export const RTNLGRP_TC = 4; // linux/rtnetlink.h
export const RTNLGRP_IPV4_IFADDR = 5; // linux/rtnetlink.h
export const RTNLGRP_IPV6_IFADDR = 9; // linux/rtnetlink.h
export const RTNLGRP_IPV4_NETCONF = 24; // linux/rtnetlink.h

export const RTM_NEWLINK = 16; // linux/rtnetlink.h
export const RTM_DELLINK = 17; // linux/rtnetlink.h
export const RTM_GETLINK = 18; // linux/rtnetlink.h
export const RTM_NEWADDR = 20; // linux/rtnetlink.h
export const RTM_DELADDR = 21; // linux/rtnetlink.h
export const RTM_GETADDR = 22; // linux/rtnetlink.h
export const RTM_NEWQDISC = 36; // linux/rtnetlink.h
export const RTM_DELQDISC = 37; // linux/rtnetlink.h
export const RTM_GETQDISC = 38; // linux/rtnetlink.h
export const RTM_NEWTFILTER = 44; // linux/rtnetlink.h
export const RTM_DELTFILTER = 45; // linux/rtnetlink.h
export const RTM_GETTFILTER = 46; // linux/rtnetlink.h
export const RTM_GETNETCONF = 82; // linux/rtnetlink.h

/** struct ifinfomsg { u8 ifi_family, pad; u16 ifi_type; s32 ifi_index; u32 ifi_flags, ifi_change; } linux/rtnetlink.h */
export const IFINFOMSG_BYTES = 16;
export const IFINFOMSG_TYPE = 2;
export const IFINFOMSG_INDEX = 4;
export const IFINFOMSG_FLAGS = 8;

export const IFLA_IFNAME = 3; // linux/if_link.h
export const IFLA_LINK = 5; // linux/if_link.h: the device below, as of a VLAN
export const IFLA_MASTER = 10; // linux/if_link.h
export const IFLA_LINKINFO = 18; // linux/if_link.h
export const IFLA_EXT_MASK = 29; // linux/if_link.h
export const IFLA_LINK_NETNSID = 37; // linux/if_link.h: the network namespace of the device below
export const IFLA_INFO_KIND = 1; // linux/if_link.h
export const RTEXT_FILTER_SKIP_STATS = 1 << 3; // linux/rtnetlink.h

/** struct ifaddrmsg { u8 ifa_family, ifa_prefixlen, ifa_flags, ifa_scope; u32 ifa_index; } linux/if_addr.h */
export const IFADDRMSG_BYTES = 8;
export const IFADDRMSG_PREFIXLEN = 1;
export const IFADDRMSG_FLAGS = 2;
export const IFADDRMSG_SCOPE = 3;
export const IFADDRMSG_INDEX = 4;

export const IFA_ADDRESS = 1; // linux/if_addr.h: on a point-to-point link the address of the peer
export const IFA_LOCAL = 2; // linux/if_addr.h: IPv4 only
export const IFA_FLAGS = 8; // linux/if_addr.h
export const IFA_F_SECONDARY = 0x01; // linux/if_addr.h
export const IFA_F_NODAD = 0x02; // linux/if_addr.h
export const IFA_F_DEPRECATED = 0x20; // linux/if_addr.h
export const IFA_F_TENTATIVE = 0x40; // linux/if_addr.h
export const RT_SCOPE_UNIVERSE = 0; // linux/rtnetlink.h

/** struct netconfmsg { u8 ncm_family; } linux/netconf.h, with padding */
export const NETCONFMSG_BYTES = 4;
export const NETCONFA_IFINDEX = 1; // linux/netconf.h
export const NETCONFA_RP_FILTER = 3; // linux/netconf.h
export const NETCONFA_IFINDEX_ALL = -1; // linux/netconf.h
export const NETCONFA_IFINDEX_DEFAULT = -2; // linux/netconf.h

export const IFF_LOOPBACK = 1 << 3; // linux/if.h
export const ARPHRD_ETHER = 1; // linux/if_arp.h
export const ARPHRD_PPP = 512; // linux/if_arp.h
export const ARPHRD_TUNNEL = 768; // linux/if_arp.h
export const ARPHRD_TUNNEL6 = 769; // linux/if_arp.h
export const ARPHRD_SIT = 776; // linux/if_arp.h
export const ARPHRD_IPGRE = 778; // linux/if_arp.h
export const ARPHRD_RAWIP = 519; // linux/if_arp.h
export const ARPHRD_NONE = 0xfffe; // linux/if_arp.h

/** struct tcmsg { u8 tcm_family, pad[3]; s32 tcm_ifindex; u32 tcm_handle, tcm_parent, tcm_info; } linux/rtnetlink.h */
export const TCMSG_IFINDEX = 4;
export const TCMSG_INFO = 16;
export const TCMSG_BYTES = 20;
export const ETH_P_ALL = 0x0003; // linux/if_ether.h
export const TCA_KIND = 1; // linux/rtnetlink.h
export const TCA_OPTIONS = 2; // linux/rtnetlink.h
export const TCA_BPF_FD = 6; // linux/pkt_cls.h
export const TCA_BPF_NAME = 7; // linux/pkt_cls.h
export const TCA_BPF_FLAGS = 8; // linux/pkt_cls.h
export const TCA_BPF_FLAG_ACT_DIRECT = 1 << 0; // linux/pkt_cls.h
export const TC_H_CLSACT = 0xfffffff1; // linux/pkt_sched.h
export const TC_H_CLSACT_HANDLE = 0xffff0000; // TC_H_MAKE(TC_H_CLSACT, 0)
export const TC_H_CLSACT_INGRESS = 0xfffffff2; // TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
export const TC_H_CLSACT_EGRESS = 0xfffffff3; // TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)
