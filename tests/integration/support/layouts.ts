import * as xt from "../../../backends/iptables/wire/xt.ts";
import { CMSGHDR, IOVEC, MSGHDR } from "../../../ffi/socket/message_header.ts";
import type { Assertion } from "./kernel_headers.ts";

/** Says at which offsets the code reads and writes the members of structures, and how large these are. */
export function* layouts(): Generator<Assertion> {
  for (const [header, structs] of Object.entries(LAYOUTS)) {
    for (const [struct, layout] of Object.entries(structs)) {
      for (const [member, value] of Object.entries(layout)) {
        const expression = member === "size"
          ? `sizeof(struct ${struct})`
          : `offsetof(struct ${struct}, ${member})`;
        yield { header, expression, value: `${value}` };
      }
    }
  }
  for (
    const [header, struct, { length, name: _name, revision: _revision, ...members }, renamed = {}]
      of EXTENSIONS
  ) {
    yield { header, expression: `(sizeof(struct ${struct}) + 7) & ~7`, value: `${length}` };
    for (const [member, offset] of Object.entries(members)) {
      yield {
        header,
        expression: `offsetof(struct ${struct}, ${renamed[member] ?? member})`,
        value: `${offset}`,
      };
    }
  }
}

/** Layouts by header and structure. `size` is that of the structure, the others are offsets. */
const LAYOUTS: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, number>>>>>> = {
  "sys/resource.h": { rlimit: { size: 16, rlim_cur: 0, rlim_max: 8 } },
  "poll.h": { pollfd: { size: 8, fd: 0, events: 4, revents: 6 } },
  "sys/socket.h": {
    ucred: { size: 12, pid: 0, uid: 4, gid: 8 },
    linger: { size: 8, l_onoff: 0, l_linger: 4 },
    msghdr: MSGHDR,
    cmsghdr: CMSGHDR,
    iovec: IOVEC,
  },
  "sys/un.h": { sockaddr_un: { sun_family: 0, sun_path: 2 } },
  "netinet/in.h": {
    sockaddr_in: { sin_family: 0, sin_port: 2, sin_addr: 4 },
    in_pktinfo: { size: 12, ipi_ifindex: 0, ipi_spec_dst: 4, ipi_addr: 8 },
    in6_pktinfo: { size: 20, ipi6_addr: 0, ipi6_ifindex: 16 },
    sockaddr_in6: { size: 28, sin6_family: 0, sin6_port: 2, sin6_addr: 8 },
  },
  "linux/netlink.h": {
    sockaddr_nl: { size: 12, nl_family: 0, nl_pid: 4, nl_groups: 8 },
    nlmsghdr: { size: 16, nlmsg_len: 0, nlmsg_type: 4, nlmsg_flags: 6, nlmsg_seq: 8, nlmsg_pid: 12 },
    nlattr: { size: 4, nla_len: 0, nla_type: 2 },
    nlmsgerr: { size: 20, error: 0, msg: 4 },
  },
  "linux/genetlink.h": { genlmsghdr: { size: 4, cmd: 0, version: 1 } },
  "linux/netfilter/nfnetlink.h": { nfgenmsg: { size: 4, nfgen_family: 0, version: 1, res_id: 2 } },
  "linux/rtnetlink.h": {
    ifinfomsg: { size: 16, ifi_family: 0, ifi_type: 2, ifi_index: 4, ifi_flags: 8, ifi_change: 12 },
    tcmsg: { size: 20, tcm_family: 0, tcm_ifindex: 4, tcm_handle: 8, tcm_parent: 12, tcm_info: 16 },
  },
  "linux/if_addr.h": {
    ifaddrmsg: { size: 8, ifa_family: 0, ifa_prefixlen: 1, ifa_flags: 2, ifa_scope: 3, ifa_index: 4 },
  },
  "linux/inet_diag.h": {
    inet_diag_sockid: { size: 48, idiag_sport: 0, idiag_dport: 2, idiag_src: 4, idiag_dst: 20 },
    inet_diag_req_v2: { size: 56, sdiag_family: 0, sdiag_protocol: 1, idiag_states: 4, id: 8 },
  },
  "linux/bpf.h": {
    bpf_map_info: { id: 4, key_size: 8, value_size: 12, max_entries: 16, map_flags: 20 },
    bpf_prog_info: { id: 4, verified_insns: 216 },
    bpf_link_info: { prog_id: 8, "cgroup.cgroup_id": 16, "xdp.ifindex": 16 },
  },
  "linux/netfilter_ipv4/ip_tables.h": {
    ipt_getinfo: { size: 84, valid_hooks: 32, num_entries: 76 },
    ipt_get_entries: { size: 40, entrytable: 40 },
    ipt_entry: { target_offset: 88, next_offset: 90 },
    xt_entry_target: { "u.user.name": 2, data: 32 },
  },
  "linux/netfilter_ipv6/ip6_tables.h": { ip6t_entry: { target_offset: 140, next_offset: 142 } },
};

/** Parameters of x_tables extensions: header, structure, layout, and members with another name or place in C. */
const EXTENSIONS: readonly (readonly [
  header: string,
  struct: string,
  layout: xt.Extension,
  renamed?: Readonly<Record<string, string>>,
])[] = [
  ["linux/netfilter/xt_comment.h", "xt_comment_info", xt.comment],
  ["linux/netfilter/xt_tcpudp.h", "xt_tcp", xt.tcp],
  ["linux/netfilter/xt_tcpudp.h", "xt_udp", xt.udp],
  ["linux/netfilter/xt_sctp.h", "xt_sctp_info", xt.sctp],
  ["linux/netfilter/xt_conntrack.h", "xt_conntrack_mtinfo3", xt.conntrack],
  ["linux/netfilter/xt_addrtype.h", "xt_addrtype_info_v1", xt.addrtype],
  ["linux/netfilter/xt_statistic.h", "xt_statistic_info", xt.statistic, {
    probability: "u.random.probability",
    count: "u.nth.count",
  }],
  ["linux/netfilter/xt_recent.h", "xt_recent_mtinfo_v1", xt.recent, { list: "name", mask: "mask" }],
  ["linux/netfilter/xt_nfacct.h", "xt_nfacct_match_info_v1", xt.nfacct],
  ["linux/netfilter/xt_mark.h", "xt_mark_tginfo2", xt.MARK],
  ["linux/netfilter/nf_nat.h", "nf_nat_range2", xt.DNAT],
  ["linux/netfilter/nf_nat.h", "nf_nat_ipv4_multi_range_compat", xt.MASQUERADE_IPV4, {
    flags: "range[0].flags",
  }],
  ["linux/netfilter/nf_nat.h", "nf_nat_range", xt.MASQUERADE_IPV6],
  ["linux/netfilter_ipv4/ipt_REJECT.h", "ipt_reject_info", xt.REJECT],
  ["linux/netfilter_ipv6/ip6t_REJECT.h", "ip6t_reject_info", xt.REJECT],
];
