import { errnoOf } from "../../ffi/errno.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/constants.ts";
import { collectBatchErrors, dumpEach, refusal } from "../../ffi/netlink/request.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import type { NetlinkTransport } from "../../ffi/netlink/transport.ts";
import { MessageWriter } from "../../ffi/netlink/writer.ts";
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
 * @param open makes a socket of NETLINK_NETFILTER: the seam for tests.
 * @throws KernelError when it cannot be read: EPERM without CAP_NET_ADMIN, EINVAL without nf_conntrack_netlink.
 */
export async function sweepConntrack(
  filter: DumpFilter,
  isStale: (flow: Flow) => boolean,
  open: () => NetlinkTransport = openNetfilter,
): Promise<Sweep> {
  using reader = open();
  // A socket of its own: acknowledgements must not come between the answers to the dump.
  using deletions = new Deletions(open());
  let seen = 0;
  const request = new MessageWriter(REQUEST_BYTES);
  writeDump(request, 1, filter);
  await dumpEach(reader, request, "read the conntrack table", ({ type, payload }) => {
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

/** More than any request is long. */
const REQUEST_BYTES = 128;

/** Sends deletions as they come, many at a time, so that a table full of stale entries takes no memory. */
class Deletions implements Disposable {
  readonly #transport: NetlinkTransport;
  readonly #writer = new MessageWriter(DELETIONS_BYTES + 1024);
  #written = 0;
  done = 0;
  refused: string | undefined;

  constructor(transport: NetlinkTransport) {
    this.#transport = transport;
  }

  add(flow: Flow): void {
    writeDelete(this.#writer, ++this.#written, flow);
    if (this.#writer.length >= DELETIONS_BYTES) this.flush();
  }

  flush(): void {
    if (this.#written === 0) return;
    this.#transport.send(this.#writer.bytes());
    const errors = collectBatchErrors(this.#transport);
    this.done += this.#written - errors.length;
    for (const error of errors) {
      // It ended by itself meanwhile.
      if (error.errno === errnoOf("ENOENT")) continue;
      this.refused ??= refusal("delete a conntrack entry", error).message;
    }
    this.#written = 0;
    this.#writer.reset();
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }
}

function openNetfilter(): NetlinkTransport {
  return NetlinkSocket.open(NETLINK_NETFILTER);
}
