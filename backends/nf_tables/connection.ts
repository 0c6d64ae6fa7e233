import { NETLINK_NETFILTER } from "../../ffi/netlink/constants.ts";
import type { Acknowledgement } from "../../ffi/netlink/reader.ts";
import { collectBatchErrors } from "../../ffi/netlink/request.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import type { NetlinkTransport } from "../../ffi/netlink/transport.ts";
import { MessageWriter } from "../../ffi/netlink/writer.ts";
import type { Requirement } from "../../core/backend/contract.ts";
import type { Batch } from "./batch.ts";
import { tableFamilies, type TableFamily } from "./families.ts";
import { readGeneration } from "./generation.ts";
import { noNetfilter } from "./probe.ts";
import { type TransactionReader, TransactionWatch } from "./watch.ts";

/** Makes a socket of NETLINK_NETFILTER: the seam for tests. */
export type OpenTransport = (receiveBuffer?: number) => NetlinkTransport;

/** From here on a batch keeps the kernel busy for so long that it is sent off the main thread. */
const LARGE_BYTES = 256 * 1024;

/** A listener must hold the notifications of one transaction of ours that is just not large. */
const WATCH_BUFFER_BYTES = 8 * 1024 * 1024;

/** A mode's way to the kernel's nf_tables: transactions over one socket, and listeners that tell of other people's. */
export class NfTables implements Disposable {
  readonly #open: OpenTransport;
  readonly #watches = new Set<TransactionWatch>();
  #writer = new MessageWriter();
  #transport: NetlinkTransport | undefined;
  #seq = 1;
  #listens = false;

  constructor(open: OpenTransport = openNetfilter) {
    this.#open = open;
  }

  /** Of transactions and requests. */
  get transport(): NetlinkTransport {
    return this.#transport ??= this.#open();
  }

  /** Makes a socket apart from that of the transactions; it is the caller's to close. */
  open(receiveBuffer?: number): NetlinkTransport {
    return this.#open(receiveBuffer);
  }

  /** Asks the kernel what it has for the mode, by what `ask` tries on a socket of its own. */
  async probe(
    ask: (
      transport: NetlinkTransport,
      families: readonly TableFamily[],
      firstSeq: number,
    ) => Promise<readonly Requirement[]>,
  ): Promise<readonly Requirement[]> {
    let transport: NetlinkTransport;
    try {
      transport = this.#open();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return [noNetfilter(error.message)];
    }
    using socket = transport;
    return await ask(socket, usableFamilies(), 1);
  }

  /** The number of a request's message. */
  readonly nextSeq = (): number => this.#seq++;

  /** @param bytes about how many it will have, when they are many. */
  begin<Kind extends Batch>(
    make: new (writer: MessageWriter, firstSeq: number) => Kind,
    bytes?: number,
  ): Kind {
    return new make(bytes === undefined ? this.#writer : new MessageWriter(bytes), this.#seq);
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
    this.#seq += batch.count;
    if (bytes.length > LARGE_BYTES) return await this.#commitLarge(bytes, refused);
    this.transport.send(bytes);
    this.#checkTaken(bytes, refused);
    return { unheard: false };
  }

  /** From now on other people's transactions are heard. Before the first programming there is nothing to hear of. */
  listen(): void {
    this.#listens = true;
    for (const watch of this.#watches) watch.resume();
  }

  watch(reader: TransactionReader, onForeignChange: (what: string) => void): Disposable {
    const { portId } = this.transport;
    const watch = new TransactionWatch(this.#open(WATCH_BUFFER_BYTES), portId, reader, onForeignChange);
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

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.#watches.clear();
    this.#transport?.[Symbol.dispose]();
    this.#transport = undefined;
  }

  /** Off the main thread, and unheard: notifications would cost the kernel as much again, and overflow. */
  async #commitLarge(
    bytes: Uint8Array<ArrayBuffer>,
    refused: (bytes: Uint8Array, answer: Acknowledgement) => Error,
  ): Promise<{ readonly unheard: boolean }> {
    const listening = [...this.#watches].filter((watch) => watch.isListening);
    for (const watch of listening) watch.pause();
    const before = await readGeneration(this.transport, this.nextSeq());
    try {
      await this.transport.sendLarge(bytes);
      this.#checkTaken(bytes, refused);
    } finally {
      this.#release(bytes);
      for (const watch of listening) watch.resume();
    }
    const now = await readGeneration(this.transport, this.nextSeq());
    return { unheard: now !== (before + 1) >>> 0 };
  }

  #checkTaken(bytes: Uint8Array, refused: (bytes: Uint8Array, answer: Acknowledgement) => Error): void {
    const [first] = collectBatchErrors(this.transport);
    if (first !== undefined) throw refused(bytes, first);
  }

  /** Gives the memory back now; the collector would let megabytes wait for its next round. */
  #release(bytes: Uint8Array<ArrayBuffer>): void {
    bytes.buffer.transfer(0);
    this.#writer = new MessageWriter();
  }
}

function openNetfilter(receiveBuffer?: number): NetlinkTransport {
  return NetlinkSocket.open(NETLINK_NETFILTER, receiveBuffer === undefined ? {} : { receiveBuffer });
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
