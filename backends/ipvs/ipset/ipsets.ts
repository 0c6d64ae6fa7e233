import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NLA_F_NET_BYTEORDER, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST } from "../../../ffi/netlink/constants.ts";
import { nfgenmsg, NFGENMSG_BYTES, NFNL_SUBSYS_IPSET, NFPROTO_IPV4 } from "../../../ffi/netlink/nfnetlink.ts";
import { attribute } from "../../../ffi/netlink/reader.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import * as ipset from "./constants.ts";
import { upstreamSets } from "./kube_proxy_sets.ts";

export interface RemovalOptions {
  /** How long to wait for rules to let go of a set: the kernel destroys a deleted rule some time after it is gone. */
  readonly patienceMs?: number;
  /** For tests. */
  readonly isLoaded?: () => boolean;
}

/** Generous: it was 23 to 33 ms, on an idle machine and in an emulated one. */
const PATIENCE_MS = 2000;

const PAUSE_MS = 20;

/**
 * Removes the sets of `ipset` that upstream has in mode ipvs, of both families, and no others. To be called when its
 * rules are gone. A kernel that has no sets, or has not loaded them, has none of upstream's.
 * @param client for NETLINK_NETFILTER.
 * @returns the names of those that rules, or other sets, still use: they stay.
 * @throws KernelError
 */
export async function removeUpstreamSets(
  client: NetlinkClient,
  { patienceMs = PATIENCE_MS, isLoaded = isIpSetLoaded }: RemovalOptions = {},
): Promise<readonly string[]> {
  if (!isLoaded()) return [];
  const sets = new IpSets(client);
  const ofUpstream = (await sets.names()).filter((name) => upstreamSets.has(name));
  let inUse = await sets.destroy(ofUpstream);
  const deadline = performance.now() + patienceMs;
  while (inUse.length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    inUse = await sets.destroy(inUse);
  }
  return inUse;
}

/** The sets of this network namespace. */
class IpSets {
  readonly #client: NetlinkClient;

  constructor(client: NetlinkClient) {
    this.#client = client;
  }

  /** All of them. */
  async names(): Promise<string[]> {
    try {
      const answers = await this.#client.dump("list the sets of ipset", writeListNames);
      return answers.map(({ payload }) =>
        attribute(payload, ipset.IPSET_ATTR_SETNAME, NFGENMSG_BYTES)?.string() ?? ""
      );
    } catch (error) {
      // What nfnetlink answers for a subsystem that the kernel does not have.
      if (isRefusal(error, errnoOf("EINVAL"))) return [];
      throw inWords(error);
    }
  }

  /** Those that are not there are no error. @returns those in use. */
  async destroy(names: readonly string[]): Promise<string[]> {
    const busy: string[] = [];
    for (const name of names) {
      const write = (message: MessageWriter, seq: number) => writeDestroy(message, seq, name);
      try {
        await this.#client.request(`destroy the set ${name} of ipset`, write, { ignore: ["ENOENT"] });
      } catch (error) {
        if (!isRefusal(error, ipset.IPSET_ERR_BUSY)) throw inWords(error);
        busy.push(name);
      }
    }
    return busy;
  }
}

/** `ipset list -n` */
export function writeListNames(writer: MessageWriter, seq: number): void {
  begin(writer, ipset.IPSET_CMD_LIST, NLM_F_DUMP, seq);
  writer.attrU32be(ipset.IPSET_ATTR_FLAGS | NLA_F_NET_BYTEORDER, ipset.IPSET_FLAG_LIST_SETNAME);
  writer.end();
}

/** `ipset destroy NAME` */
export function writeDestroy(writer: MessageWriter, seq: number, name: string): void {
  begin(writer, ipset.IPSET_CMD_DESTROY, NLM_F_ACK, seq);
  writer.attrString(ipset.IPSET_ATTR_SETNAME, name);
  writer.end();
}

function begin(writer: MessageWriter, command: number, flags: number, seq: number): void {
  writer.begin(NFNL_SUBSYS_IPSET << 8 | command, NLM_F_REQUEST | flags, seq);
  nfgenmsg(writer, NFPROTO_IPV4, 0);
  writer.attrU8(ipset.IPSET_ATTR_PROTOCOL, ipset.IPSET_PROTOCOL_MIN);
}

function isRefusal(error: unknown, errno: number): boolean {
  return error instanceof KernelError && error.errno === errno;
}

/** Sets have errors of their own, which are no errno. */
function inWords(error: unknown): unknown {
  if (!(error instanceof KernelError) || error.errno !== ipset.IPSET_ERR_PROTOCOL) return error;
  const extack = `this kernel does not speak version ${ipset.IPSET_PROTOCOL_MIN} of ipset's protocol`;
  return new KernelError(error.operation, errnoOf("EPROTO"), { extack, cause: error });
}

/** Asking for sets would load the module; one that is not loaded has none. Without /sys we cannot tell. */
function isIpSetLoaded(): boolean {
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
