import type { OnForeignChange, Requirement, TransactionObserver } from "../../core/backend/contract.ts";
import { NetlinkClient } from "../../ffi/netlink/client.ts";
import { NETLINK_NETFILTER, NLM_F_ACK, NLM_F_REQUEST } from "../../ffi/netlink/constants.ts";
import {
  lacksNfnetlink,
  nfgenmsg,
  NFGENMSG_BYTES,
  NFNL_SUBSYS_NFTABLES,
  NFPROTO_UNSPEC,
} from "../../ffi/netlink/nfnetlink.ts";
import { errnoOf } from "../../ffi/errno.ts";
import { KernelError } from "../../ffi/errors.ts";
import type { Rejected } from "../../ffi/netlink/exchange.ts";
import { type Acknowledgement, attribute, messages } from "../../ffi/netlink/reader.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import type { OpenNetlink } from "../../ffi/netlink/transport.ts";
import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import { KeptClient } from "../kept_client.ts";
import { type Batch, type Table, TableBatch } from "./batch.ts";
import * as nft from "./constants.ts";
import { TABLE_FAMILIES, type TableFamily } from "./families.ts";
import { describeOwned, ownedTables } from "./owner.ts";
import { netfilterNotOpened, type Probe } from "./probe.ts";
import { readSchemas } from "./schema.ts";
import { type TransactionReader, TransactionWatch } from "./watch.ts";

/** A larger batch is sent with our watches paused: see `#commitLarge`. */
const LARGE_BYTES = 256 * 1024;

/** Receive buffer of a watch. Holds the notifications of one of our transactions that is just not large. */
const WATCH_BUFFER_BYTES = 8 * 1024 * 1024;

/** Makes the error of a rejected batch from the answer to its first rejected message. */
export type ExplainRejection = (batch: Uint8Array, answer: Rejected) => Error;

/** Access to nf_tables for one mode: transactions over one socket, and watches for foreign changes. */
export class NfTables implements Disposable {
  readonly #open: OpenNetlink;
  readonly #watches = new Set<TransactionWatch>();
  readonly #reader = new KeptClient(() => this.open());
  #client: NetlinkClient | undefined;
  #observer: TransactionObserver | undefined;
  #listens = false;

  /** @param open the seam for tests. */
  constructor(open: OpenNetlink = NetlinkSocket.open) {
    this.#open = open;
  }

  /** For transactions and requests. */
  get client(): NetlinkClient {
    return this.#client ??= this.open();
  }

  /** Opens a socket apart from that of the transactions. The caller closes it: see `KeptClient` for what that costs. */
  open(): NetlinkClient {
    return NetlinkClient.open(NETLINK_NETFILTER, this.#open);
  }

  /** Reads over a socket apart from that of the transactions, because one of them may be in flight. */
  read<Result>(read: (client: NetlinkClient) => Promise<Result>): Promise<Result> {
    return this.#reader.use(read);
  }

  /**
   * Reports whether the kernel has no nf_tables, so that nothing can be left in it.
   * @throws KernelError if that cannot be found out, such as EPERM without CAP_NET_ADMIN.
   */
  async isAbsent(): Promise<boolean> {
    try {
      await readGeneration(this.client);
      return false;
    } catch (error) {
      // nfnetlink answers EINVAL to a request for a subsystem that the kernel does not have.
      const lacksSubsystem = error instanceof KernelError && error.errnoName === "EINVAL";
      if (lacksSubsystem || lacksNfnetlink(error)) return true;
      throw error;
    }
  }

  /**
   * Lists the families in which a table exists: none if the kernel has no nf_tables. A change of the table in another
   * family may be rejected, because a kernel without IPv6 has no such tables.
   */
  async familiesOf(table: string): Promise<readonly TableFamily[]> {
    if (await this.isAbsent()) return [];
    const existing = await readSchemas(this.client, table);
    return TABLE_FAMILIES.filter(({ nfproto }) => existing.has(nfproto));
  }

  /** Runs a probe over a socket of its own. */
  async probe(probe: Probe): Promise<readonly Requirement[]> {
    let opened: NetlinkClient;
    try {
      opened = this.open();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return [netfilterNotOpened(error)];
    }
    using client = opened;
    return await probe(client, usableFamilies());
  }

  /** @param bytes expected size of a large batch. */
  begin<Kind extends Batch>(
    Kind: new (message: MessageWriter, firstSeq: number) => Kind,
    bytes?: number,
  ): Kind {
    const { message, firstSeq } = this.client.beginBatch(bytes);
    return new Kind(message, firstSeq);
  }

  /** Begins a batch of changes to a mode's tables. */
  beginTable(table: Table, bytes?: number): TableBatch {
    const { message, firstSeq } = this.client.beginBatch(bytes);
    return new TableBatch(table, message, firstSeq);
  }

  /**
   * Ends the batch and commits it.
   * @returns foreignChange: another process changed nf_tables while our watches were paused for this commit.
   * @throws the error that `explain` makes.
   */
  async commit(batch: Batch, explain: ExplainRejection): Promise<{ readonly foreignChange: boolean }> {
    const bytes = batch.end();
    this.client.endBatch(batch.count);
    const started = performance.now();
    let committed = false;
    try {
      const result = await this.#send(bytes, explain);
      committed = true;
      return result;
    } finally {
      const seconds = (performance.now() - started) / 1000;
      this.#observer?.transactionEnded({ seconds, bytes: bytes.length, committed });
    }
  }

  /** Reports the transactions to come. */
  observeTransactions(observer: TransactionObserver): void {
    this.#observer = observer;
  }

  async #send(
    bytes: Uint8Array<ArrayBuffer>,
    explain: ExplainRejection,
  ): Promise<{ readonly foreignChange: boolean }> {
    if (bytes.length > LARGE_BYTES) return await this.#commitLarge(bytes, explain);
    const [first] = await this.client.sendBatch(bytes);
    if (first !== undefined) throw explain(bytes, await this.#withOwner(bytes, first));
    return { foreignChange: false };
  }

  /** Adds to EPERM that another program owns the table, if that is the cause. */
  async #withOwner(batch: Uint8Array, answer: Acknowledgement): Promise<Rejected> {
    if (answer.errno !== errnoOf("EPERM")) return answer;
    for (const { seq, payload } of messages(batch)) {
      if (seq !== answer.seq) continue;
      // The first attribute of every change is the table's name.
      const name = attribute(payload, nft.NFTA_TABLE_NAME, NFGENMSG_BYTES)?.string() ?? "";
      using client = this.open();
      // Without CAP_NET_ADMIN tables cannot be listed either, and the missing capability is the cause.
      const owned = await ownedTables(client, [name]).catch(() => []);
      const table = owned.find(({ family }) => family.nfproto === payload[0]);
      return table === undefined ? answer : { ...answer, advice: describeOwned(table) };
    }
    return answer;
  }

  /** Starts to watch for foreign changes. Before the first programming there is nothing to watch. */
  listen(): void {
    this.#listens = true;
    for (const watch of this.#watches) watch.resume();
  }

  /** @param onMissed see `TransactionWatch`. */
  watch(reader: TransactionReader, onForeignChange: OnForeignChange, onMissed?: () => void): Disposable {
    const { portId } = this.client;
    const transport = this.#open(NETLINK_NETFILTER, { receiveBuffer: WATCH_BUFFER_BYTES });
    const watch = new TransactionWatch(transport, portId, reader, onForeignChange, onMissed);
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

  /** Reports a foreign change that no notification told us. */
  report(what: string, program?: string): void {
    for (const watch of this.#watches) watch.report(what, program);
  }

  /** Reports that an object which we programmed is missing or different. */
  reportDrift(what: string): void {
    this.report(`kernel state differs from what was last programmed: ${what}`);
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.#watches.clear();
    this.#reader[Symbol.dispose]();
    this.#client?.[Symbol.dispose]();
    this.#client = undefined;
  }

  /**
   * Runs with our watches paused: one notification per object would double the kernel's
   * work and overflow the buffers. The generation tells whether another process committed meanwhile.
   */
  async #commitLarge(
    bytes: Uint8Array<ArrayBuffer>,
    explain: ExplainRejection,
  ): Promise<{ readonly foreignChange: boolean }> {
    const { client } = this;
    const listening = [...this.#watches].filter((watch) => watch.isListening);
    for (const watch of listening) watch.pause();
    const before = await readGeneration(client);
    try {
      const [first] = await client.sendBatch(bytes);
      if (first !== undefined) throw explain(bytes, await this.#withOwner(bytes, first));
    } finally {
      client.releaseBatch(bytes);
      for (const watch of listening) watch.resume();
    }
    const now = await readGeneration(client);
    return { foreignChange: now !== (before + 1) >>> 0 };
  }
}

/** Both families, or IPv4 alone on a kernel without IPv6. */
function usableFamilies(): readonly TableFamily[] {
  try {
    Deno.statSync("/proc/net/if_inet6");
    return TABLE_FAMILIES;
  } catch {
    return TABLE_FAMILIES.filter(({ family }) => family === "IPv4");
  }
}

/** A 32-bit number that every transaction in this network namespace increments, whoever commits it. */
async function readGeneration(client: NetlinkClient): Promise<number> {
  const [answer] = await client.request("read the generation of nf_tables", (message, seq) => {
    message.begin(NFNL_SUBSYS_NFTABLES << 8 | nft.NFT_MSG_GETGEN, NLM_F_REQUEST | NLM_F_ACK, seq);
    nfgenmsg(message, NFPROTO_UNSPEC, 0);
    message.end();
  });
  if (answer === undefined) return 0;
  return attribute(answer.payload, nft.NFTA_GEN_ID, NFGENMSG_BYTES)?.u32be() ?? 0;
}
