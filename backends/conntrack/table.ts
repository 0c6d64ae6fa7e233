import { errnoOf } from "../../ffi/errno.ts";
import { NetlinkClient } from "../../ffi/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/constants.ts";
import { rejectionError } from "../../ffi/netlink/exchange.ts";
import type { OpenNetlink } from "../../ffi/netlink/transport.ts";
import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import { KeptClient } from "../kept_client.ts";
import { CT_NEW } from "./ctnetlink.ts";
import { decodeFlow, type Flow } from "./flow.ts";
import { type DumpFilter, writeDelete, writeDump } from "./messages.ts";

/** Result of a sweep. */
export interface Sweep {
  /** Number of entries that the kernel's filter let through. */
  readonly examined: number;
  readonly deleted: number;
  /** Message of the first rejected deletion. */
  readonly rejection: string | undefined;
}

/** Size from which deletions are sent: about 300 of them. */
const DELETIONS_BYTES = 32 * 1024;

/** The conntrack table of this network namespace. */
export class ConntrackTable implements Disposable {
  readonly #reader: KeptClient;
  /** Deletions use their own socket, because their answers must not mix with the answers to the dump. */
  readonly #deleter: KeptClient;

  /** @param open the seam for tests. */
  constructor(open?: OpenNetlink) {
    this.#reader = new KeptClient(() => NetlinkClient.open(NETLINK_NETFILTER, open));
    this.#deleter = new KeptClient(() => NetlinkClient.open(NETLINK_NETFILTER, open));
  }

  /**
   * Removes the stale entries. The table may change while it is read, and the kernel does not report missed entries, so
   * some stale entries may remain.
   * @throws KernelError if the table cannot be read: EPERM without CAP_NET_ADMIN, EINVAL without nf_conntrack_netlink.
   */
  sweep(filter: DumpFilter, isStale: (flow: Flow) => boolean): Promise<Sweep> {
    return this.#reader.use((reader) =>
      this.#deleter.use((deleter) => sweep(reader, new Deletions(deleter), filter, isStale))
    );
  }

  [Symbol.dispose](): void {
    this.#reader[Symbol.dispose]();
    this.#deleter[Symbol.dispose]();
  }
}

/** Sweeps once: see `ConntrackTable.sweep`. */
export async function sweepConntrack(
  filter: DumpFilter,
  isStale: (flow: Flow) => boolean,
  open?: OpenNetlink,
): Promise<Sweep> {
  using table = new ConntrackTable(open);
  return await table.sweep(filter, isStale);
}

async function sweep(
  reader: NetlinkClient,
  deletions: Deletions,
  filter: DumpFilter,
  isStale: (flow: Flow) => boolean,
): Promise<Sweep> {
  let examined = 0;
  const write = (message: MessageWriter, seq: number) => writeDump(message, seq, filter);
  await reader.dumpEach("read the conntrack table", write, ({ type, payload }) => {
    if (type !== CT_NEW) return;
    examined++;
    const flow = decodeFlow(payload);
    // Old kernels ignore the filter.
    if (flow === undefined || (filter.protocol !== undefined && flow.protocol !== filter.protocol)) return;
    return isStale(flow) ? deletions.add(flow) : undefined;
  }, { inBackground: true });
  await deletions.flush();
  return { examined, deleted: deletions.done, rejection: deletions.rejection };
}

/** Sends deletions in batches as they are added, so that memory does not grow with the number of stale entries. */
class Deletions {
  readonly #client: NetlinkClient;
  #batch: { readonly message: MessageWriter; readonly firstSeq: number } | undefined;
  #written = 0;
  done = 0;
  rejection: string | undefined;

  constructor(client: NetlinkClient) {
    this.#client = client;
  }

  /** @returns a promise if deletions are sent now. Nothing may be added until it resolves. */
  add(flow: Flow): Promise<void> | undefined {
    const { message, firstSeq } = this.#batch ??= this.#client.beginBatch();
    writeDelete(message, firstSeq + this.#written++, flow);
    return message.length >= DELETIONS_BYTES ? this.flush() : undefined;
  }

  async flush(): Promise<void> {
    if (this.#batch === undefined) return;
    this.#client.endBatch(this.#written);
    const rejections = await this.#client.sendBatch(this.#batch.message.bytes());
    this.done += this.#written - rejections.length;
    for (const answer of rejections) {
      // The flow has ended meanwhile.
      if (answer.errno === errnoOf("ENOENT")) continue;
      this.rejection ??= rejectionError("delete a conntrack entry", answer).message;
    }
    this.#written = 0;
    this.#batch = undefined;
  }
}
