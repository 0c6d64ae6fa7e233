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

/** kube-proxy's metrics of the counters: docs/behaviour.md §8. */
const COUNTER_METRICS = [
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
 * The kernel's packet counters, which have names. The kernel needs CONFIG_NETFILTER_NETLINK_ACCT for the
 * counters, and CONFIG_NETFILTER_XT_MATCH_NFACCT for rules that count in them.
 */
export class PacketCounters {
  readonly #client: NetlinkClient;

  constructor(client: NetlinkClient) {
    this.#client = client;
  }

  /**
   * Reports whether the kernel has counters, and rules that count in them. A kernel with counters answers
   * that the counter which is read here does not exist.
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
   * Makes a counter if it does not exist. An existing one keeps its count.
   * @throws KernelError
   */
  async ensure(name: string): Promise<void> {
    await this.#ask(`make the counter ${name}`, NFNL_MSG_ACCT_NEW, NLM_F_CREATE, name, ["EBUSY", "EEXIST"]);
  }

  /**
   * Reads the packets counted since a counter was made; undefined if it does not exist.
   * @throws KernelError
   */
  async read(name: string): Promise<number | undefined> {
    const [answer] = await this.#ask(`read the counter ${name}`, NFNL_MSG_ACCT_GET, 0, name, ["ENOENT"]);
    if (answer === undefined) return undefined;
    const packets = attribute(answer.payload, NFACCT_PKTS, NFGENMSG_BYTES);
    return packets === undefined ? undefined : Number(packets.u64be());
  }

  /** kube-proxy's metrics of the counters that exist. */
  async metrics(): Promise<readonly BackendMetric[]> {
    const found: BackendMetric[] = [];
    for (const { counter, name, help } of COUNTER_METRICS) {
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

  /** Asks the kernel for the match nfacct, as iptables does. */
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
