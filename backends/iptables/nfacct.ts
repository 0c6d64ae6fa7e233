import { KernelError } from "../../ffi/errors.ts";
import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST } from "../../ffi/netlink/constants.ts";
import { attribute, type NetlinkMessage } from "../../ffi/netlink/reader.ts";
import {
  nfgenmsg,
  NFGENMSG_BYTES,
  NFNL_SUBSYS_ACCT,
  NFNL_SUBSYS_NFT_COMPAT,
  NFPROTO_IPV4,
  NFPROTO_UNSPEC,
} from "../../ffi/netlink/nfnetlink.ts";
import type { BackendMetric } from "../../core/backend/contract.ts";
import { CT_STATE_INVALID_DROPPED, LOCALHOST_NODE_PORTS_ACCEPTED } from "./rules/names.ts";
import * as xt from "./wire/xt.ts";

/** What upstream makes of the counters: docs/behaviour.md §8. */
const metrics = [
  {
    counter: CT_STATE_INVALID_DROPPED,
    name: "iptables_ct_state_invalid_dropped_packets_total",
    help: "packets dropped by iptables to work around conntrack problems",
  },
  {
    counter: LOCALHOST_NODE_PORTS_ACCEPTED,
    name: "iptables_localhost_nodeports_accepted_packets_total",
    help: "Number of packets accepted on nodeports of loopback interface",
  },
] as const;

const NFNL_MSG_ACCT_NEW = 0; // linux/netfilter/nfnetlink_acct.h
const NFNL_MSG_ACCT_GET = 1; // linux/netfilter/nfnetlink_acct.h
const NFACCT_NAME = 1; // linux/netfilter/nfnetlink_acct.h
const NFACCT_PKTS = 2; // linux/netfilter/nfnetlink_acct.h

const NFNL_MSG_COMPAT_GET = 0; // linux/netfilter/nf_tables_compat.h
const NFTA_COMPAT_NAME = 1; // linux/netfilter/nf_tables_compat.h
const NFTA_COMPAT_REV = 2; // linux/netfilter/nf_tables_compat.h
const NFTA_COMPAT_TYPE = 3; // linux/netfilter/nf_tables_compat.h
const COMPAT_TYPE_MATCH = 0; // net/netfilter/nft_compat.c, enum

/**
 * Counters by name. A kernel has them with CONFIG_NETFILTER_NETLINK_ACCT, and rules that count in them with
 * CONFIG_NETFILTER_XT_MATCH_NFACCT.
 */
export class PacketCounters {
  readonly #client: NetlinkClient;

  constructor(client: NetlinkClient) {
    this.#client = client;
  }

  /**
   * Whether the kernel has counters, and rules that count in them. Of a counter that nobody makes it then says that
   * it is not there.
   */
  async isSupported(): Promise<boolean> {
    try {
      await this.read("proxy-probe");
      await this.#askForMatch();
      return true;
    } catch (error) {
      if (error instanceof KernelError) return false;
      throw error;
    }
  }

  /**
   * Makes it unless it is there. Those there keep what they have counted.
   * @throws KernelError
   */
  async ensure(name: string): Promise<void> {
    await this.#ask(`make the counter ${name}`, NFNL_MSG_ACCT_NEW, NLM_F_CREATE, name, ["EBUSY", "EEXIST"]);
  }

  /**
   * Packets counted since it was made; undefined when it is not there.
   * @throws KernelError
   */
  async read(name: string): Promise<number | undefined> {
    const [answer] = await this.#ask(`read the counter ${name}`, NFNL_MSG_ACCT_GET, 0, name, ["ENOENT"]);
    if (answer === undefined) return undefined;
    const packets = attribute(answer.payload, NFACCT_PKTS, NFGENMSG_BYTES);
    return packets === undefined ? undefined : Number(packets.u64be());
  }

  /** Upstream's, without those whose counter is not there; none when the kernel has no counters. */
  async metrics(): Promise<readonly BackendMetric[]> {
    const found: BackendMetric[] = [];
    for (const { counter, name, help } of metrics) {
      const value = await this.#readIfSupported(counter);
      if (value === undefined) continue;
      found.push({ name, help, type: "counter", labels: [], samples: [{ labels: [], value }] });
    }
    return found;
  }

  async #readIfSupported(name: string): Promise<number | undefined> {
    try {
      return await this.read(name);
    } catch (error) {
      if (error instanceof KernelError) return undefined;
      throw error;
    }
  }

  /** As iptables asks which revisions of a match there are. */
  async #askForMatch(): Promise<void> {
    await this.#client.request("ask for the match nfacct", (message, seq) => {
      message.begin(NFNL_SUBSYS_NFT_COMPAT << 8 | NFNL_MSG_COMPAT_GET, NLM_F_REQUEST | NLM_F_ACK, seq);
      nfgenmsg(message, NFPROTO_IPV4, 0);
      message.attrString(NFTA_COMPAT_NAME, xt.nfacct.name);
      message.attrU32be(NFTA_COMPAT_REV, xt.nfacct.revision);
      message.attrU32be(NFTA_COMPAT_TYPE, COMPAT_TYPE_MATCH);
      message.end();
    });
  }

  #ask(
    operation: string,
    type: number,
    flags: number,
    name: string,
    ignore: readonly string[],
  ): Promise<NetlinkMessage[]> {
    return this.#client.request(operation, (message, seq) => {
      message.begin(NFNL_SUBSYS_ACCT << 8 | type, NLM_F_REQUEST | NLM_F_ACK | flags, seq);
      nfgenmsg(message, NFPROTO_UNSPEC, 0);
      message.attrString(NFACCT_NAME, name);
      message.end();
    }, { ignore });
  }
}
