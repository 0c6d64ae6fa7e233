import { NetlinkClient } from "../../ffi/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/constants.ts";
import type { Acknowledgement } from "../../ffi/netlink/reader.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import type { OpenNetlink } from "../../ffi/netlink/transport.ts";
import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import type { Requirement } from "../../core/backend/contract.ts";
import type { Batch } from "./batch.ts";
import { tableFamilies, type TableFamily } from "./families.ts";
import { readGeneration } from "./generation.ts";
import { noNetfilter, type Probe } from "./probe.ts";
import { type Table, TableBatch } from "./table_batch.ts";
import { type TransactionReader, TransactionWatch } from "./watch.ts";

/** From here on a batch keeps the kernel busy for so long that it is sent off the main thread. */
const LARGE_BYTES = 256 * 1024;

/** A listener must hold the notifications of one transaction of ours that is just not large. */
const WATCH_BUFFER_BYTES = 8 * 1024 * 1024;

/** A mode's way to the kernel's nf_tables: transactions over one socket, and listeners that tell of other people's. */
export class NfTables implements Disposable {
  readonly #open: OpenNetlink;
  readonly #watches = new Set<TransactionWatch>();
  #client: NetlinkClient | undefined;
  #listens = false;

  /** @param open the seam for tests. */
  constructor(open: OpenNetlink = NetlinkSocket.open) {
    this.#open = open;
  }

  /** For transactions and requests. */
  get client(): NetlinkClient {
    return this.#client ??= this.open();
  }

  /** Opens a socket apart from that of the transactions. The caller closes it. */
  open(): NetlinkClient {
    return NetlinkClient.open(NETLINK_NETFILTER, this.#open);
  }

  /** Asks the kernel what it has for the mode, by what `probe` tries on a socket of its own. */
  async probe(probe: Probe): Promise<readonly Requirement[]> {
    let opened: NetlinkClient;
    try {
      opened = this.open();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return [noNetfilter(error.message)];
    }
    using client = opened;
    return await probe(client, usableFamilies());
  }

  /** @param bytes about how many it will have, when they are many. */
  begin<Kind extends Batch>(
    make: new (writer: MessageWriter, firstSeq: number) => Kind,
    bytes?: number,
  ): Kind {
    const { message, firstSeq } = this.client.beginBatch(bytes);
    return new make(message, firstSeq);
  }

  /** Begins a batch of changes to a mode's tables. */
  beginTable(table: Table, bytes?: number): TableBatch {
    const { message, firstSeq } = this.client.beginBatch(bytes);
    return new TableBatch(table, message, firstSeq);
  }

  /**
   * Ends the batch and has the kernel take it, off the main thread when it is large.
   * @param refused makes the error of the first message that was refused.
   * @returns unheard: someone else changed nf_tables while our listeners were paused for this.
   */
  async commit(
    batch: Batch,
    refused: (bytes: Uint8Array, answer: Acknowledgement) => Error,
  ): Promise<{ readonly unheard: boolean }> {
    const bytes = batch.end();
    this.client.endBatch(batch.count);
    if (bytes.length > LARGE_BYTES) return await this.#commitLarge(bytes, refused);
    const [first] = this.client.sendBatch(bytes);
    if (first !== undefined) throw refused(bytes, first);
    return { unheard: false };
  }

  /** From now on other people's transactions are heard. Before the first programming there is nothing to hear of. */
  listen(): void {
    this.#listens = true;
    for (const watch of this.#watches) watch.resume();
  }

  watch(reader: TransactionReader, onForeignChange: (what: string) => void): Disposable {
    const { portId } = this.client;
    const transport = this.#open(NETLINK_NETFILTER, { receiveBuffer: WATCH_BUFFER_BYTES });
    const watch = new TransactionWatch(transport, portId, reader, onForeignChange);
    this.#watches.add(watch);
    if (this.#listens) watch.resume();
    return {
      [Symbol.dispose]: () => {
        this.#watches.delete(watch);
        watch[Symbol.dispose]();
      },
    };
  }

  get isWatched(): boolean {
    return this.#watches.size > 0;
  }

  /** A foreign change that was found out in another way than by listening. */
  report(what: string): void {
    for (const watch of this.#watches) watch.report(what);
  }

  /** Reports that an object which we programmed is missing or different. */
  reportDrift(what: string): void {
    this.report(`kernel state differs from what was last programmed: ${what}`);
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.#watches.clear();
    this.#client?.[Symbol.dispose]();
    this.#client = undefined;
  }

  /** Off the main thread, and unheard: notifications would cost the kernel as much again, and overflow. */
  async #commitLarge(
    bytes: Uint8Array<ArrayBuffer>,
    refused: (bytes: Uint8Array, answer: Acknowledgement) => Error,
  ): Promise<{ readonly unheard: boolean }> {
    const { client } = this;
    const listening = [...this.#watches].filter((watch) => watch.isListening);
    for (const watch of listening) watch.pause();
    const before = await readGeneration(client);
    try {
      const [first] = await client.sendLargeBatch(bytes);
      if (first !== undefined) throw refused(bytes, first);
    } finally {
      client.releaseBatch(bytes);
      for (const watch of listening) watch.resume();
    }
    const now = await readGeneration(client);
    return { unheard: now !== (before + 1) >>> 0 };
  }
}

/** Without IPv6 in the kernel there is no IPv6 to proxy. */
function usableFamilies(): readonly TableFamily[] {
  try {
    Deno.statSync("/proc/net/if_inet6");
    return tableFamilies;
  } catch {
    return tableFamilies.filter(({ family }) => family === "IPv4");
  }
}
