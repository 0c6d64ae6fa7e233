import { errnoOf } from "../../ffi/errno.ts";
import { NetlinkClient } from "../../ffi/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/constants.ts";
import { rejectionError } from "../../ffi/netlink/exchange.ts";
import type { OpenNetlink } from "../../ffi/netlink/transport.ts";
import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import { CT_NEW } from "./ctnetlink.ts";
import { type Flow, flowOf } from "./flow.ts";
import { type DumpFilter, writeDelete, writeDump } from "./messages.ts";

/** What became of a sweep. */
export interface Sweep {
  /** Entries looked at: what the kernel's filter let through. */
  readonly seen: number;
  readonly deleted: number;
  /** Why entries that were to go did not, in the kernel's words; the first of them. */
  readonly refused: string | undefined;
}

/** Deletions are sent off when they are this long: some 300 of them. */
const DELETIONS_BYTES = 32 * 1024;

/**
 * Removes the entries that `isStale` picks from this network namespace's conntrack table. Entries come and go while
 * it is read, and the kernel may not say which were missed: a table that changes is swept as far as it was seen.
 * @param open the seam for tests.
 * @throws KernelError when it cannot be read: EPERM without CAP_NET_ADMIN, EINVAL without nf_conntrack_netlink.
 */
export async function sweepConntrack(
  filter: DumpFilter,
  isStale: (flow: Flow) => boolean,
  open?: OpenNetlink,
): Promise<Sweep> {
  using reader = NetlinkClient.open(NETLINK_NETFILTER, open);
  // A socket of its own: acknowledgements must not come between the answers to the dump.
  using deletions = new Deletions(NetlinkClient.open(NETLINK_NETFILTER, open));
  let seen = 0;
  const write = (message: MessageWriter, seq: number) => writeDump(message, seq, filter);
  await reader.dumpEach("read the conntrack table", write, ({ type, payload }) => {
    if (type !== CT_NEW) return;
    seen++;
    const flow = flowOf(payload);
    // An older kernel sends what the filter does not want.
    if (flow === undefined || (filter.protocol !== undefined && flow.protocol !== filter.protocol)) return;
    if (isStale(flow)) deletions.add(flow);
  }, { inBackground: true });
  deletions.flush();
  return { seen, deleted: deletions.done, refused: deletions.refused };
}

/** Sends deletions as they come, many at a time, so that a table full of stale entries takes no memory. */
class Deletions implements Disposable {
  readonly #client: NetlinkClient;
  #batch: { readonly message: MessageWriter; readonly firstSeq: number } | undefined;
  #written = 0;
  done = 0;
  refused: string | undefined;

  constructor(client: NetlinkClient) {
    this.#client = client;
  }

  add(flow: Flow): void {
    const { message, firstSeq } = this.#batch ??= this.#client.beginBatch();
    writeDelete(message, firstSeq + this.#written++, flow);
    if (message.length >= DELETIONS_BYTES) this.flush();
  }

  flush(): void {
    if (this.#batch === undefined) return;
    this.#client.endBatch(this.#written);
    const errors = this.#client.sendBatch(this.#batch.message.bytes());
    this.done += this.#written - errors.length;
    for (const error of errors) {
      // It ended by itself meanwhile.
      if (error.errno === errnoOf("ENOENT")) continue;
      this.refused ??= rejectionError("delete a conntrack entry", error).message;
    }
    this.#written = 0;
    this.#batch = undefined;
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}
