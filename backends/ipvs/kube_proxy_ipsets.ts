import { errnoOf } from "../../ffi/errno.ts";
import { KernelError } from "../../ffi/errors.ts";
import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import { NLA_F_NET_BYTEORDER, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST } from "../../ffi/netlink/constants.ts";
import {
  lacksNfnetlink,
  nfgenmsg,
  NFGENMSG_BYTES,
  NFNL_SUBSYS_IPSET,
  NFPROTO_IPV4,
} from "../../ffi/netlink/nfnetlink.ts";
import { attribute } from "../../ffi/netlink/reader.ts";
import type { MessageWriter } from "../../ffi/netlink/writer.ts";

// Sets of iptables (`ipset`) over nfnetlink. Numbers on the wire are big-endian.

/** The oldest protocol version that kernels accept. It has all that we need. */
const IPSET_PROTOCOL_MIN = 6; // linux/netfilter/ipset/ip_set.h

const IPSET_CMD_DESTROY = 3; // linux/netfilter/ipset/ip_set.h, commands
const IPSET_CMD_LIST = 7;

const IPSET_ATTR_PROTOCOL = 1; // linux/netfilter/ipset/ip_set.h, attributes of a command
const IPSET_ATTR_SETNAME = 2;
const IPSET_ATTR_FLAGS = 6;

const IPSET_FLAG_LIST_SETNAME = 2; // linux/netfilter/ipset/ip_set.h: list names only

const MAX_NAME_LENGTH = 31; // IPSET_MAXNAMELEN, linux/netfilter/ipset/ip_set.h, without the NUL

const IPSET_ERR_PROTOCOL = 4097; // linux/netfilter/ipset/ip_set.h, in place of an errno
const IPSET_ERR_BUSY = 4100;

/** kube-proxy's IPv4 sets in mode ipvs: docs/behaviour.md §5.3. Old versions had those of SCTP without "-HASH". */
const IPV4_NAMES: readonly string[] = [
  "KUBE-LOOP-BACK",
  "KUBE-CLUSTER-IP",
  "KUBE-EXTERNAL-IP",
  "KUBE-EXTERNAL-IP-LOCAL",
  "KUBE-LOAD-BALANCER",
  "KUBE-LOAD-BALANCER-LOCAL",
  "KUBE-LOAD-BALANCER-FW",
  "KUBE-LOAD-BALANCER-SOURCE-CIDR",
  "KUBE-LOAD-BALANCER-SOURCE-IP",
  "KUBE-NODE-PORT-TCP",
  "KUBE-NODE-PORT-UDP",
  "KUBE-NODE-PORT-SCTP",
  "KUBE-NODE-PORT-SCTP-HASH",
  "KUBE-NODE-PORT-LOCAL-TCP",
  "KUBE-NODE-PORT-LOCAL-UDP",
  "KUBE-NODE-PORT-LOCAL-SCTP",
  "KUBE-NODE-PORT-LOCAL-SCTP-HASH",
  "KUBE-HEALTH-CHECK-NODE-PORT",
  "KUBE-IPVS-IPS",
];

/** kube-proxy's sets of both families. The IPv6 names are derived from the IPv4 names and truncated. */
export const KUBE_PROXY_IPSETS: ReadonlySet<string> = new Set(
  IPV4_NAMES.flatMap((name) => [name, name.replace("KUBE-", "KUBE-6-").slice(0, MAX_NAME_LENGTH)]),
);

export interface RemovalOptions {
  /**
   * How long to wait for rules to release a set: the kernel frees a deleted rule some time after its
   * deletion.
   */
  readonly patienceMs?: number;
  /** For tests. */
  readonly isLoaded?: () => boolean;
}

/** Releasing a set took 23 to 33 ms, on an idle machine and in an emulated one. */
const PATIENCE_MS = 2000;

const PAUSE_MS = 20;

/**
 * Removes the ipsets of kube-proxy's mode ipvs in both families, and no others. To be called after its rules
 * are gone. Does nothing on a kernel that does not support ipsets, or has not loaded them.
 * @param open opens a client for NETLINK_NETFILTER.
 * @returns names of the sets that rules or other sets still use. They remain.
 * @throws KernelError
 */
export async function removeKubeProxyIpsets(
  open: () => NetlinkClient,
  { patienceMs = PATIENCE_MS, isLoaded = isIpsetLoaded }: RemovalOptions = {},
): Promise<readonly string[]> {
  if (!isLoaded()) return [];
  using client = openIfPossible(open);
  if (client === undefined) return [];
  const sets = new Ipsets(client);
  const ofKubeProxy = (await sets.names()).filter((name) => KUBE_PROXY_IPSETS.has(name));
  let inUse = await sets.destroy(ofKubeProxy);
  const deadline = performance.now() + patienceMs;
  while (inUse.length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    inUse = await sets.destroy(inUse);
  }
  return inUse;
}

/** Names the ipsets of kube-proxy's mode ipvs that exist. */
export async function kubeProxyIpsets(open: () => NetlinkClient): Promise<readonly string[]> {
  if (!isIpsetLoaded()) return [];
  using client = openIfPossible(open);
  if (client === undefined) return [];
  return (await new Ipsets(client).names()).filter((name) => KUBE_PROXY_IPSETS.has(name));
}

/** @returns undefined on a kernel without nfnetlink, which cannot have ipsets. */
function openIfPossible(open: () => NetlinkClient): NetlinkClient | undefined {
  try {
    return open();
  } catch (error) {
    if (lacksNfnetlink(error)) return undefined;
    throw error;
  }
}

/** The ipsets of this network namespace. */
class Ipsets {
  readonly #client: NetlinkClient;

  constructor(client: NetlinkClient) {
    this.#client = client;
  }

  async names(): Promise<string[]> {
    try {
      const answers = await this.#client.dump("list the sets of ipset", writeListNames);
      return answers.map(({ payload }) =>
        attribute(payload, IPSET_ATTR_SETNAME, NFGENMSG_BYTES)?.string() ?? ""
      );
    } catch (error) {
      // nfnetlink's answer when the kernel lacks the subsystem.
      if (hasErrno(error, errnoOf("EINVAL"))) return [];
      throw translate(error);
    }
  }

  /** A missing set is no error. @returns the sets in use. */
  async destroy(names: readonly string[]): Promise<string[]> {
    const busy: string[] = [];
    for (const name of names) {
      const write = (message: MessageWriter, seq: number) => writeDestroy(message, seq, name);
      try {
        await this.#client.request(`destroy the set ${name} of ipset`, write, { ignore: ["ENOENT"] });
      } catch (error) {
        if (!hasErrno(error, IPSET_ERR_BUSY)) throw translate(error);
        busy.push(name);
      }
    }
    return busy;
  }
}

/** `ipset list -n` */
export function writeListNames(writer: MessageWriter, seq: number): void {
  begin(writer, IPSET_CMD_LIST, NLM_F_DUMP, seq);
  writer.attrU32be(IPSET_ATTR_FLAGS | NLA_F_NET_BYTEORDER, IPSET_FLAG_LIST_SETNAME);
  writer.end();
}

/** `ipset destroy NAME` */
export function writeDestroy(writer: MessageWriter, seq: number, name: string): void {
  begin(writer, IPSET_CMD_DESTROY, NLM_F_ACK, seq);
  writer.attrString(IPSET_ATTR_SETNAME, name);
  writer.end();
}

function begin(writer: MessageWriter, command: number, flags: number, seq: number): void {
  writer.begin(NFNL_SUBSYS_IPSET << 8 | command, NLM_F_REQUEST | flags, seq);
  nfgenmsg(writer, NFPROTO_IPV4, 0);
  writer.attrU8(IPSET_ATTR_PROTOCOL, IPSET_PROTOCOL_MIN);
}

function hasErrno(error: unknown, errno: number): boolean {
  return error instanceof KernelError && error.errno === errno;
}

/** Explains the one error of ipset's own that is no errno. */
function translate(error: unknown): unknown {
  if (!hasErrno(error, IPSET_ERR_PROTOCOL) || !(error instanceof KernelError)) return error;
  const extack = `this kernel does not support version ${IPSET_PROTOCOL_MIN} of the ipset protocol`;
  return new KernelError(error.operation, errnoOf("EPROTO"), { extack, cause: error });
}

/**
 * A request would load the module, and a module that is not loaded has no sets. True when /sys is not
 * mounted.
 */
function isIpsetLoaded(): boolean {
  return exists("/sys/module/ip_set") || !exists("/sys/module");
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
