import {
  NFGENMSG_BYTES,
  NFNL_SUBSYS_NFTABLES,
  NFNLGRP_NFTABLES,
  NFPROTO_UNSPEC,
} from "../../ffi/netlink/nfnetlink.ts";
import { Notifications } from "../../ffi/netlink/notifications.ts";
import { attribute, type NetlinkMessage } from "../../ffi/netlink/reader.ts";
import type { NetlinkTransport } from "../../ffi/netlink/transport.ts";
import * as nft from "./constants.ts";
import { tableFamilyOfProtocol } from "./families.ts";

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
  readonly #notifications: Notifications;

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
    this.#notifications = new Notifications(transport, {
      each: (message) => this.#read(message),
      missed: ({ errnoName }) => {
        this.#reader.end();
        this.report(`notifications of nf_tables were lost (${errnoName})`);
      },
    });
  }

  get isListening(): boolean {
    return this.#listening;
  }

  /** While anyone listens, every object of a transaction costs the kernel a notification. */
  pause(): void {
    if (this.#listening) this.#transport.leaveGroup(NFNLGRP_NFTABLES);
    this.#listening = false;
  }

  resume(): void {
    if (!this.#listening && !this.#notifications.isDisposed) this.#transport.joinGroup(NFNLGRP_NFTABLES);
    this.#listening = !this.#notifications.isDisposed;
  }

  /** What was found out in another way. */
  report(what: string): void {
    if (!this.#notifications.isDisposed) this.#onForeignChange(what);
  }

  [Symbol.dispose](): void {
    this.#notifications[Symbol.dispose]();
  }

  #read({ type, pid, payload }: NetlinkMessage): void {
    if (type >> 8 !== NFNL_SUBSYS_NFTABLES || pid === this.#ownPortId) return;
    if ((type & 0xff) === nft.NFT_MSG_NEWGEN) return this.#endTransaction(payload);
    this.#reader.read(type & 0xff, payload[0] ?? NFPROTO_UNSPEC, payload);
  }

  /** Every transaction ends with the new generation, which says who made it. */
  #endTransaction(payload: Uint8Array): void {
    const what = this.#reader.end();
    if (what === undefined) return;
    const name = attribute(payload, nft.NFTA_GEN_PROC_NAME, NFGENMSG_BYTES)?.string() ??
      "another process";
    const pid = attribute(payload, nft.NFTA_GEN_PROC_PID, NFGENMSG_BYTES)?.u32be() ?? 0;
    this.report(`${what} by ${name} (pid ${pid})`);
  }
}

/** Sees what a transaction of someone else does to the tables of one name. */
export class TableReader implements TransactionReader {
  readonly #table: string;
  /** By family. */
  readonly #touched = new Map<string, "changed" | "deleted">();

  constructor(table: string) {
    this.#table = table;
  }

  read(type: number, nfproto: number, payload: Uint8Array): void {
    // The first attribute of every notification is the table's name.
    if (attribute(payload, nft.NFTA_TABLE_NAME, NFGENMSG_BYTES)?.string() !== this.#table) return;
    const family = tableFamilyOfProtocol(nfproto);
    if (family === undefined) return;
    // A deleted table is notified after its contents.
    if (type === nft.NFT_MSG_DELTABLE || !this.#touched.has(family.keyword)) {
      this.#touched.set(family.keyword, type === nft.NFT_MSG_DELTABLE ? "deleted" : "changed");
    }
  }

  end(): string | undefined {
    if (this.#touched.size === 0) return undefined;
    const what = [...this.#touched].map(([keyword, how]) => `table ${keyword} ${this.#table} ${how}`).join(
      ", ",
    );
    this.#touched.clear();
    return what;
  }
}
