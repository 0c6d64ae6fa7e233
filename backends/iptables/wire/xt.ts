/**
 * An x_tables extension: a match or a target of the kernel, called by nf_tables' expressions `match` and
 * `target`. Each extension below has the C structure of its parameters and the offsets of the fields that our
 * rules fill in.
 *
 * Lengths are XT_ALIGN(sizeof), which are multiples of 8. Numbers are in host byte order unless noted. Fields
 * at the end of a structure that are for the kernel's own use are listed as zeros.
 */
export interface Extension {
  readonly name: string;
  readonly revision: number;
  /** Bytes of the structure. */
  readonly length: number;
}

/** struct xt_comment_info { char comment[XT_MAX_COMMENT_LEN]; }; linux/netfilter/xt_comment.h */
export const comment = { name: "comment", revision: 0, length: 256 } as const;

/**
 * struct xt_tcp {
 *   __u16 spts[2], dpts[2];
 *   __u8 option, flg_mask, flg_cmp, invflags;
 * }; linux/netfilter/xt_tcpudp.h: ports are first and last.
 */
export const tcp = { name: "tcp", revision: 0, length: 16, spts: 0, dpts: 4 } as const;

/** struct xt_udp { __u16 spts[2], dpts[2]; __u8 invflags; }; linux/netfilter/xt_tcpudp.h */
export const udp = { name: "udp", revision: 0, length: 16, spts: 0, dpts: 4 } as const;

/**
 * struct xt_sctp_info {
 *   __u16 dpts[2], spts[2];
 *   __u32 chunkmap[256 / 32], chunk_match_type;
 *   struct xt_sctp_flag_info { __u8 chunktype, flag, flag_mask; } flag_info[XT_NUM_SCTP_FLAGS];
 *   int flag_count;
 *   __u32 flags, invflags;
 * }; linux/netfilter/xt_sctp.h
 */
export const sctp = { name: "sctp", revision: 0, length: 296, dpts: 0, flag_info: 268, flags: 284 } as const;
export const XT_NUM_SCTP_FLAGS = 4;
/** The chunktype of an unused entry. */
export const NO_CHUNK_TYPE = 0xff;
export const XT_SCTP_DEST_PORTS = 0x02;

/**
 * struct xt_conntrack_mtinfo3 {
 *   union nf_inet_addr origsrc_addr, origsrc_mask, origdst_addr, origdst_mask, … (128 bytes);
 *   __u32 expires_min, expires_max;
 *   __u16 l4proto;
 *   __be16 origsrc_port, origdst_port, replsrc_port, repldst_port;
 *   __u16 match_flags, invert_flags, state_mask, status_mask;
 *   __u16 origsrc_port_high, origdst_port_high, replsrc_port_high, repldst_port_high;
 * }; linux/netfilter/xt_conntrack.h
 */
export const conntrack = {
  name: "conntrack",
  revision: 3,
  length: 168,
  match_flags: 146,
  invert_flags: 148,
  state_mask: 150,
} as const;
export const XT_CONNTRACK_STATE = 1 << 0;
export const XT_CONNTRACK_STATE_INVALID = 1 << 0;
export const XT_CONNTRACK_STATE_ESTABLISHED = 1 << 1; // XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED)
export const XT_CONNTRACK_STATE_RELATED = 1 << 2; // XT_CONNTRACK_STATE_BIT(IP_CT_RELATED)
export const XT_CONNTRACK_STATE_NEW = 1 << 3; // XT_CONNTRACK_STATE_BIT(IP_CT_NEW)
export const XT_CONNTRACK_STATE_DNAT = 1 << 7;

/** struct xt_addrtype_info_v1 { __u16 source, dest; __u32 flags; }; linux/netfilter/xt_addrtype.h */
export const addrtype = { name: "addrtype", revision: 1, length: 8, source: 0, dest: 2 } as const;
export const XT_ADDRTYPE_LOCAL = 1 << 2;

/**
 * struct xt_statistic_info {
 *   __u16 mode, flags;
 *   union {
 *     struct { __u32 probability; } random;
 *     struct { __u32 every, packet, count; } nth;
 *   } u;
 *   struct xt_statistic_priv *master;
 * }; linux/netfilter/xt_statistic.h: a probability of 1 is 0x80000000, and XT_STATISTIC_MODE_RANDOM is 0.
 */
export const statistic = { name: "statistic", revision: 0, length: 24, probability: 4, count: 12 } as const;
export const CERTAINTY = 0x80000000;

/**
 * struct xt_recent_mtinfo_v1 {
 *   __u32 seconds, hit_count;
 *   __u8 check_set, invert;
 *   char name[XT_RECENT_NAME_LEN];
 *   __u8 side;
 *   union nf_inet_addr mask;
 * }; linux/netfilter/xt_recent.h: XT_RECENT_SOURCE, a value of side, is 0.
 */
export const recent = {
  name: "recent",
  revision: 1,
  length: 232,
  seconds: 0,
  check_set: 8,
  list: 10,
  mask: 212,
} as const;
export const XT_RECENT_NAME_LEN = 200;
export const XT_RECENT_CHECK = 1 << 0;
export const XT_RECENT_SET = 1 << 1;
export const XT_RECENT_REAP = 1 << 5;

/**
 * struct xt_nfacct_match_info_v1 {
 *   char name[NFACCT_NAME_MAX];
 *   struct nf_acct *nfacct;
 * }; linux/netfilter/xt_nfacct.h
 */
export const nfacct = { name: "nfacct", revision: 1, length: 40 } as const;
export const NFACCT_NAME_MAX = 32;

/** struct xt_mark_tginfo2 { __u32 mark, mask; }; linux/netfilter/xt_mark.h */
export const MARK = { name: "MARK", revision: 2, length: 8, mark: 0, mask: 4 } as const;

/**
 * struct nf_nat_range2 {
 *   unsigned int flags;
 *   union nf_inet_addr min_addr, max_addr;
 *   union nf_conntrack_man_proto min_proto, max_proto, base_proto; (__be16)
 * }; linux/netfilter/nf_nat.h
 */
export const DNAT = {
  name: "DNAT",
  revision: 2,
  length: 48,
  flags: 0,
  min_addr: 4,
  max_addr: 20,
  min_proto: 36,
  max_proto: 38,
} as const;
export const NF_NAT_RANGE_MAP_IPS = 1 << 0; // linux/netfilter/nf_nat.h

/**
 * struct nf_nat_ipv4_multi_range_compat {
 *   unsigned int rangesize;
 *   struct nf_nat_ipv4_range {
 *     unsigned int flags;
 *     __be32 min_ip, max_ip;
 *     union nf_conntrack_man_proto min, max;
 *   } range[1];
 * }; linux/netfilter/nf_nat.h
 */
export const MASQUERADE_IPV4 = {
  name: "MASQUERADE",
  revision: 0,
  length: 24,
  rangesize: 0,
  flags: 4,
} as const;

/** struct nf_nat_range is nf_nat_range2 without base_proto; linux/netfilter/nf_nat.h */
export const MASQUERADE_IPV6 = { name: "MASQUERADE", revision: 0, length: 40, flags: 0 } as const;

/**
 * struct ipt_reject_info { enum ipt_reject_with with; }; linux/netfilter_ipv4/ipt_REJECT.h, and ip6t_REJECT.h
 */
export const REJECT = { name: "REJECT", revision: 0, length: 8, with: 0 } as const;
export const IPT_ICMP_PORT_UNREACHABLE = 3;
export const IP6T_ICMP6_PORT_UNREACH = 4;
