import type { OnForeignChange } from "../../core/backend/contract.ts";
import {
  NFGENMSG_BYTES,
  NFNL_SUBSYS_NFTABLES,
  NFNLGRP_NFTABLES,
  NFPROTO_UNSPEC,
} from "../../ffi/netlink/nfnetlink.ts";
import { Notifications } from "../../ffi/netlink/notifications.ts";
import { attribute, type NetlinkMessage } from "../../ffi/netlink/reader.ts";
import type { NetlinkTransport } from "../../ffi/netlink/transport.ts";
import { processOfThread } from "../../ffi/system/process.ts";
import * as nft from "./constants.ts";
import { tableFamilyOfProtocol } from "./families.ts";

/** Recognises foreign changes of our objects. */
export interface TransactionReader {
  /** Reads one change of a transaction. `type` is a NFT_MSG_ constant. */
  read(type: number, nfproto: number, payload: Uint8Array): void;
  /** Ends the transaction. @returns what it did to our objects; undefined if nothing. */
  end(findAuthor?: () => Author): string | undefined;
}

/** The process that made a transaction. */
export interface Author {
  readonly name: string;
  readonly pid: number;
}

export function describeAuthor({ name, pid }: Author): string {
  return `${name} (pid ${pid})`;
}

/**
 * Reads notifications about nf_tables, and calls back once per foreign transaction that changed our objects.
 */
export class TransactionWatch implements Disposable {
  readonly #transport: NetlinkTransport;
  readonly #ownPortId: number;
  readonly #reader: TransactionReader;
  readonly #onForeignChange: OnForeignChange;
  readonly #onMissed: () => void;
  #listening = false;
  readonly #notifications: Notifications;

  /**
   * @param transport closed together with the watch.
   * @param ownPortId netlink port id of the socket for our own transactions.
   * @param onMissed called before a report that notifications were missed, which may not concern our objects.
   */
  constructor(
    transport: NetlinkTransport,
    ownPortId: number,
    reader: TransactionReader,
    onForeignChange: OnForeignChange,
    onMissed: () => void = () => {},
  ) {
    this.#transport = transport;
    this.#ownPortId = ownPortId;
    this.#reader = reader;
    this.#onForeignChange = onForeignChange;
    this.#onMissed = onMissed;
    this.#notifications = new Notifications(transport, {
      each: (message) => this.#read(message),
      missed: ({ errnoName }) => {
        this.#reader.end();
        this.#onMissed();
        this.report(`missed notifications about nf_tables (${errnoName})`);
      },
    });
  }

  get isListening(): boolean {
    return this.#listening;
  }

  /**
   * Leaves the multicast group: while it has a member, every object of a transaction costs the kernel a
   * notification.
   */
  pause(): void {
    if (this.#listening) this.#transport.leaveGroup(NFNLGRP_NFTABLES);
    this.#listening = false;
  }

  resume(): void {
    if (!this.#listening && !this.#notifications.isDisposed) this.#transport.joinGroup(NFNLGRP_NFTABLES);
    this.#listening = !this.#notifications.isDisposed;
  }

  /** Reports a change that no notification told us. */
  report(what: string, program?: string): void {
    if (!this.#notifications.isDisposed) this.#onForeignChange(what, program);
  }

  [Symbol.dispose](): void {
    this.#notifications[Symbol.dispose]();
  }

  #read({ type, pid, payload }: NetlinkMessage): void {
    if (type >> 8 !== NFNL_SUBSYS_NFTABLES || pid === this.#ownPortId) return;
    if ((type & 0xff) === nft.NFT_MSG_NEWGEN) return this.#endTransaction(payload);
    this.#reader.read(type & 0xff, payload[0] ?? NFPROTO_UNSPEC, payload);
  }

  /** Every transaction ends with a new generation, whose notification names the thread. */
  #endTransaction(payload: Uint8Array): void {
    const threadName = attribute(payload, nft.NFTA_GEN_PROC_NAME, NFGENMSG_BYTES)?.string() ??
      "another process";
    const thread = attribute(payload, nft.NFTA_GEN_PROC_PID, NFGENMSG_BYTES)?.u32be() ?? 0;
    // Most transactions do not concern us, so their process is not looked up.
    const findAuthor = () => processOfThread(threadName, thread);
    const what = this.#reader.end(findAuthor);
    if (what === undefined) return;
    const author = findAuthor();
    this.report(`${what} by ${describeAuthor(author)}`, author.name);
  }
}

/** Recognises changes of the tables with one name. */
export class TableReader implements TransactionReader {
  readonly #table: string;
  /** With the NUL that ends it in a notification. */
  readonly #tableBytes: Uint8Array;
  /** State by family. */
  readonly #changes = new Map<string, "changed" | "deleted">();

  constructor(table: string) {
    this.#table = table;
    this.#tableBytes = new TextEncoder().encode(`${table}\0`);
  }

  read(type: number, nfproto: number, payload: Uint8Array): void {
    // The first attribute of every notification is the table's name. It is not decoded, because foreign tables can have
    // hundreds of thousands of elements.
    const name = attribute(payload, nft.NFTA_TABLE_NAME, NFGENMSG_BYTES)?.bytes;
    if (name === undefined || !sameBytes(name, this.#tableBytes)) return;
    const family = tableFamilyOfProtocol(nfproto);
    if (family === undefined) return;
    // A deleted table is notified after its contents.
    if (type === nft.NFT_MSG_DELTABLE || !this.#changes.has(family.keyword)) {
      this.#changes.set(family.keyword, type === nft.NFT_MSG_DELTABLE ? "deleted" : "changed");
    }
  }

  end(): string | undefined {
    if (this.#changes.size === 0) return undefined;
    const what = [...this.#changes].map(([keyword, how]) => `table ${keyword} ${this.#table} ${how}`);
    this.#changes.clear();
    return what.join(", ");
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
