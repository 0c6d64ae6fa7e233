import { KernelError } from "../../ffi/errors.ts";
import { attribute, messages, type NetlinkMessage } from "../../ffi/netlink/reader.ts";
import type { NetlinkTransport } from "../../ffi/netlink/transport.ts";
import { tableFamilyOfProtocol } from "../nf_tables/families.ts";
import { TABLE } from "./names.ts";
import * as nft from "../nf_tables/constants.ts";

const AFTER_ERROR_MS = 100;

/**
 * Reads the kernel's notifications about nf_tables and calls back once for each transaction of someone else that
 * touched our tables.
 */
export class TableWatch implements Disposable {
  readonly #transport: NetlinkTransport;
  readonly #ownPortId: number;
  readonly #onForeignChange: (what: string) => void;
  #listening = false;
  #disposed = false;
  #endRest = () => {};
  /** What the transaction that is being notified did to our tables, by family. */
  readonly #touched = new Map<string, "changed" | "deleted">();

  /**
   * @param transport its own: it is closed with the watch.
   * @param ownPortId of the socket that our own transactions come from.
   */
  constructor(transport: NetlinkTransport, ownPortId: number, onForeignChange: (what: string) => void) {
    this.#transport = transport;
    this.#ownPortId = ownPortId;
    this.#onForeignChange = onForeignChange;
    this.#run();
  }

  get isListening(): boolean {
    return this.#listening;
  }

  /** While anyone listens, every element of a transaction costs the kernel a notification. */
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
      this.#touched.clear();
      this.report(`notifications of nf_tables were lost (${error.errnoName})`);
      return false;
    }
  }

  #read({ type, pid, payload }: NetlinkMessage): void {
    if (type >> 8 !== nft.NFNL_SUBSYS_NFTABLES || pid === this.#ownPortId) return;
    if ((type & 0xff) === nft.NFT_MSG_NEWGEN) return this.#endTransaction(payload);
    // The first attribute of every other notification is the table's name.
    if (attribute(payload, nft.NFTA_TABLE_NAME, nft.NFGENMSG_LENGTH)?.string() !== TABLE) return;
    const family = tableFamilyOfProtocol(payload[0] ?? nft.NFPROTO_UNSPEC);
    if (family === undefined) return;
    const deleted = (type & 0xff) === nft.NFT_MSG_DELTABLE;
    // A deleted table is notified after its contents.
    if (deleted || !this.#touched.has(family.keyword)) {
      this.#touched.set(family.keyword, deleted ? "deleted" : "changed");
    }
  }

  /** Every transaction ends with the new generation, which says who made it. */
  #endTransaction(payload: Uint8Array): void {
    if (this.#touched.size === 0) return;
    const what = [...this.#touched].map(([keyword, how]) => `table ${keyword} ${TABLE} ${how}`).join(", ");
    this.#touched.clear();
    const name = attribute(payload, nft.NFTA_GEN_PROC_NAME, nft.NFGENMSG_LENGTH)?.string() ??
      "another process";
    const pid = attribute(payload, nft.NFTA_GEN_PROC_PID, nft.NFGENMSG_LENGTH)?.u32be() ?? 0;
    this.report(`${what} by ${name} (pid ${pid})`);
  }
}
