import { KernelError } from "../../ffi/errors.ts";
import { attribute, messages, type NetlinkMessage } from "../../ffi/netlink/reader.ts";
import type { NetlinkTransport } from "../../ffi/netlink/transport.ts";
import * as nft from "./constants.ts";

const AFTER_ERROR_MS = 100;

/** Knows which of someone else's changes are to our objects. */
export interface TransactionReader {
  /** One change of a transaction. `type` is a NFT_MSG_ constant. */
  read(type: number, nfproto: number, payload: Uint8Array): void;
  /** The transaction is complete, and forgotten now: what it did to our objects, in words; undefined for nothing. */
  end(): string | undefined;
}

/**
 * Reads the kernel's notifications about nf_tables and calls back once for each transaction of someone else that
 * touched our objects.
 */
export class TransactionWatch implements Disposable {
  readonly #transport: NetlinkTransport;
  readonly #ownPortId: number;
  readonly #reader: TransactionReader;
  readonly #onForeignChange: (what: string) => void;
  #listening = false;
  #disposed = false;
  #endRest = () => {};

  /**
   * @param transport its own: it is closed with the watch.
   * @param ownPortId of the socket that our own transactions come from.
   */
  constructor(
    transport: NetlinkTransport,
    ownPortId: number,
    reader: TransactionReader,
    onForeignChange: (what: string) => void,
  ) {
    this.#transport = transport;
    this.#ownPortId = ownPortId;
    this.#reader = reader;
    this.#onForeignChange = onForeignChange;
    this.#run();
  }

  get isListening(): boolean {
    return this.#listening;
  }

  /** While anyone listens, every object of a transaction costs the kernel a notification. */
  pause(): void {
    if (this.#listening) this.#transport.leaveGroup(nft.NFNLGRP_NFTABLES);
    this.#listening = false;
  }

  resume(): void {
    if (!this.#listening && !this.#disposed) this.#transport.joinGroup(nft.NFNLGRP_NFTABLES);
    this.#listening = !this.#disposed;
  }

  /** What was found out in another way. */
  report(what: string): void {
    if (!this.#disposed) this.#onForeignChange(what);
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#endRest();
    this.#transport[Symbol.dispose]();
  }

  async #run(): Promise<void> {
    // Closing the transport ends the wait.
    while (!this.#disposed) {
      await this.#transport.readable(-1);
      if (this.#disposed || this.#readAll()) continue;
      // Were the socket broken for good, this would turn as fast as it can.
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, AFTER_ERROR_MS);
        this.#endRest = () => (clearTimeout(timer), resolve());
      });
    }
  }

  /** @returns false when something was lost. */
  #readAll(): boolean {
    try {
      for (let datagram; (datagram = this.#transport.receive()) !== undefined;) {
        for (const message of messages(datagram)) this.#read(message);
      }
      return true;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      // ENOBUFS: there was more than the socket holds. Whose it was cannot be told.
      this.#reader.end();
      this.report(`notifications of nf_tables were lost (${error.errnoName})`);
      return false;
    }
  }

  #read({ type, pid, payload }: NetlinkMessage): void {
    if (type >> 8 !== nft.NFNL_SUBSYS_NFTABLES || pid === this.#ownPortId) return;
    if ((type & 0xff) === nft.NFT_MSG_NEWGEN) return this.#endTransaction(payload);
    this.#reader.read(type & 0xff, payload[0] ?? nft.NFPROTO_UNSPEC, payload);
  }

  /** Every transaction ends with the new generation, which says who made it. */
  #endTransaction(payload: Uint8Array): void {
    const what = this.#reader.end();
    if (what === undefined) return;
    const name = attribute(payload, nft.NFTA_GEN_PROC_NAME, nft.NFGENMSG_LENGTH)?.string() ??
      "another process";
    const pid = attribute(payload, nft.NFTA_GEN_PROC_PID, nft.NFGENMSG_LENGTH)?.u32be() ?? 0;
    this.report(`${what} by ${name} (pid ${pid})`);
  }
}
