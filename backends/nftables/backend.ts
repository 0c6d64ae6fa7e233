import type { DesiredState, NodeSettings, PlanKey, ServicePortPlan } from "../../core/model/plan.ts";
import { errnoOf } from "../../ffi/errno.ts";
import { KernelError } from "../../ffi/errors.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/constants.ts";
import type { Acknowledgement } from "../../ffi/netlink/reader.ts";
import { collectBatchErrors, refusal } from "../../ffi/netlink/request.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import type { NetlinkTransport } from "../../ffi/netlink/transport.ts";
import { MessageWriter } from "../../ffi/netlink/writer.ts";
import {
  type Backend,
  BackendError,
  type PlanChange,
  type ReconcileReport,
  type Requirement,
  type TrafficCounters,
} from "../backend.ts";
import { TableBatch } from "./batch.ts";
import { tableFamilies, type TableFamily, tableFamilyOf } from "../nf_tables/families.ts";
import { readGeneration } from "../nf_tables/generation.ts";
import { asBackendError, inOperatorsWords } from "./operators_words.ts";
import { noNetfilter, probeKernel } from "./probe.ts";
import { batchBytes, differencesOf, isIntact, type Refill, refillOf, writeRefill } from "./refill.ts";
import { culpritsOf, inWords, refusedOf } from "./refused.ts";
import { ENDPOINTS } from "./sets.ts";
import { readShapes, type TableShape } from "./shape.ts";
import type { TableState } from "./table_state.ts";
import { writeUpdate } from "./update.ts";
import { TableWatch } from "./watch.ts";

/** From here on a batch keeps the kernel busy for so long that it is sent off the main thread. */
const LARGE_BYTES = 256 * 1024;

/** A listener must hold the notifications of one transaction of ours that is just not large. */
const WATCH_BUFFER_BYTES = 8 * 1024 * 1024;

/**
 * Services by nf_tables: one table a family. Services are elements of verdict maps, endpoints are elements of data
 * maps, and chains exist for each number of endpoints in use, not for each service (see docs/nftables.md).
 */
export class NftablesBackend implements Backend {
  readonly mode = "nftables";
  readonly #open: (receiveBuffer?: number) => NetlinkTransport;
  #writer = new MessageWriter();
  readonly #watches = new Set<TableWatch>();
  #transport: NetlinkTransport | undefined;
  #seq = 1;
  /** The tables as they are in force; empty before the first reconcile. */
  #tables: readonly TableState[] = [];

  /** @param open makes a socket of NETLINK_NETFILTER: the seam for tests. */
  constructor(open: (receiveBuffer?: number) => NetlinkTransport = openNetfilter) {
    this.#open = open;
  }

  async probe(): Promise<readonly Requirement[]> {
    let transport: NetlinkTransport;
    try {
      transport = this.#open();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return [noNetfilter(error.message)];
    }
    using socket = transport;
    return await probeKernel(socket, usableFamilies(), 1);
  }

  async reconcile(desired: DesiredState): Promise<ReconcileReport> {
    return await inOperatorsWords(async () => {
      const shapes = await readShapes(this.#socket(), () => this.#seq++);
      const refills = desired.settings.map((settings) => {
        const family = tableFamilyOf(settings.family);
        const found = shapes.get(family.nfproto);
        return { family, settings, found, refill: refillOf(family, settings, found) };
      });
      const unwanted = tableFamilies.filter((family) =>
        shapes.has(family.nfproto) && refills.every((refill) => refill.family !== family)
      );
      try {
        await this.#program(desired, refills, unwanted);
      } catch (error) {
        const canReplace = refills.some(({ refill }) => refill.how === "refill");
        if (!(error instanceof BackendError) || !canReplace) throw error;
        // It changed since it was read, or holds something that is in the way: a new table does not mind.
        const replacing = refills.map(({ family, settings }) => ({ family, settings, refill: replace }));
        await this.#program(desired, replacing, unwanted);
      }
      return reportOf(refills);
    });
  }

  async apply(changes: readonly PlanChange[]): Promise<void> {
    await inOperatorsWords(async () => {
      if (this.#tables.length === 0) throw new Error("nftables: apply before the first reconcile");
      const batch = this.#begin();
      const accept: (() => void)[] = [];
      for (const state of this.#tables) {
        const own = changes.filter((change) => (change.new ?? change.old)?.family === state.family.family);
        if (own.length > 0) accept.push(writeUpdate(batch, state, own));
      }
      if (batch.count === 1) return;
      await this.#commit(batch, this.#tables, () => plansOf(changes));
      for (const done of accept) done();
    });
  }

  watch(onForeignChange: (what: string) => void): Disposable {
    const { portId } = this.#socket();
    const watch = new TableWatch(this.#openSocket(WATCH_BUFFER_BYTES), portId, onForeignChange);
    this.#watches.add(watch);
    if (this.#tables.length > 0) watch.resume();
    return {
      [Symbol.dispose]: () => {
        this.#watches.delete(watch);
        watch[Symbol.dispose]();
      },
    };
  }

  traffic(): Promise<ReadonlyMap<PlanKey, TrafficCounters>> {
    return Promise.resolve(new Map());
  }

  async cleanup(): Promise<void> {
    await inOperatorsWords(async () => {
      const shapes = await readShapes(this.#socket(), () => this.#seq++);
      for (const family of tableFamilies) {
        if (!shapes.has(family.nfproto)) continue;
        const batch = this.#begin();
        // It may go meanwhile, and then there is one to delete.
        batch.addTable(family);
        batch.deleteTable(family);
        await this.#commit(batch, [], () => []);
      }
    });
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.#watches.clear();
    this.#transport?.[Symbol.dispose]();
    this.#transport = undefined;
  }

  /** Writes all tables in one transaction. */
  async #program(
    desired: DesiredState,
    refills: readonly { family: TableFamily; settings: NodeSettings; refill: Refill }[],
    unwanted: readonly TableFamily[],
  ): Promise<void> {
    const batch = this.#begin(new MessageWriter(batchBytes(desired.plans.values())));
    for (const family of unwanted) {
      batch.addTable(family);
      batch.deleteTable(family);
    }
    const tables = refills.map(({ family, settings, refill }) =>
      writeRefill(batch, family, settings, desired.plans.values(), refill)
    );
    await this.#commit(batch, tables, () => desired.plans.values());
    for (const watch of this.#watches) watch.resume();
  }

  /** Nobody listened during our transaction: when ours was not the only one, the tables are looked at. */
  async #checkUnheard(generationBefore: number): Promise<void> {
    const now = await readGeneration(this.#socket(), this.#seq++);
    if (this.#watches.size === 0 || now === (generationBefore + 1) >>> 0) return;
    const shapes: ReadonlyMap<number, TableShape> = await readShapes(this.#socket(), () => this.#seq++);
    for (const state of this.#tables) {
      if (isIntact(state, shapes.get(state.family.nfproto))) continue;
      for (const watch of this.#watches) {
        watch.report(`table ${state.family.keyword} kube-proxy changed while it was written`);
      }
    }
  }

  #begin(writer: MessageWriter = this.#writer): TableBatch {
    return new TableBatch(writer, this.#seq);
  }

  /**
   * @param tables in force once it is committed.
   * @param plans those a refusal may be about.
   * @throws BackendError when the kernel refuses the batch.
   */
  async #commit(
    batch: TableBatch,
    tables: readonly TableState[],
    plans: () => Iterable<ServicePortPlan>,
  ): Promise<void> {
    const bytes = batch.end();
    this.#seq += batch.count;
    if (bytes.length > LARGE_BYTES) return await this.#commitLarge(bytes, tables, plans);
    this.#socket().send(bytes);
    this.#checkTaken(bytes, tables, plans);
    this.#tables = tables;
  }

  /** Off the main thread, and unheard: notifications would cost the kernel as much again, and overflow. */
  async #commitLarge(
    bytes: Uint8Array<ArrayBuffer>,
    tables: readonly TableState[],
    plans: () => Iterable<ServicePortPlan>,
  ): Promise<void> {
    const listening = [...this.#watches].filter((watch) => watch.isListening);
    for (const watch of listening) watch.pause();
    const before = await readGeneration(this.#socket(), this.#seq++);
    try {
      await this.#socket().sendLarge(bytes);
      this.#checkTaken(bytes, tables, plans);
      this.#tables = tables;
    } finally {
      this.#release(bytes);
      for (const watch of listening) watch.resume();
    }
    await this.#checkUnheard(before);
  }

  #checkTaken(
    bytes: Uint8Array,
    tables: readonly TableState[],
    plans: () => Iterable<ServicePortPlan>,
  ): void {
    const [first] = collectBatchErrors(this.#socket());
    if (first !== undefined) throw this.#refusalError(bytes, first, tables, plans());
  }

  /** Gives the memory back now; the collector would let megabytes wait for its next round. */
  #release(bytes: Uint8Array<ArrayBuffer>): void {
    bytes.buffer.transfer(0);
    this.#writer = new MessageWriter();
  }

  /** The kernel reports every refused message; the first one is what the others often follow from. */
  #refusalError(
    bytes: Uint8Array,
    answer: Acknowledgement,
    tables: readonly TableState[],
    plans: Iterable<ServicePortPlan>,
  ): BackendError {
    const refused = refusedOf(bytes, answer);
    if (refused === undefined) return asBackendError(refusal("change nf_tables", answer));
    const settingsOf = (family: TableFamily) => tables.find((table) => table.family === family)?.settings;
    // What is not there is nobody's fault: the kernel holds something else than we believe.
    const astray = answer.errno === errnoOf("ENOENT");
    const culprits = culpritsOf(refused, plans, settingsOf);
    const error = refusal(inWords(refused, culprits), answer);
    if (astray) {
      for (const watch of this.#watches) {
        watch.report(`a change met something else than we wrote: ${error.message}`);
      }
    }
    return asBackendError(error, astray ? [] : [...new Set(culprits.map(({ key }) => key))]);
  }

  #socket(): NetlinkTransport {
    return this.#transport ??= this.#openSocket();
  }

  #openSocket(receiveBuffer?: number): NetlinkTransport {
    try {
      return this.#open(receiveBuffer);
    } catch (error) {
      if (error instanceof KernelError) throw asBackendError(error);
      if (error instanceof Error) throw new BackendError(`nftables: ${error.message}`, [], { cause: error });
      throw error;
    }
  }
}

const replace: Refill = { how: "replace" };

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

function plansOf(changes: readonly PlanChange[]): ServicePortPlan[] {
  return changes.flatMap((change) => [change.old, change.new]).filter((plan) => plan !== undefined);
}

function reportOf(
  refills: readonly { family: TableFamily; settings: NodeSettings; found: TableShape | undefined }[],
): ReconcileReport {
  const there = refills.flatMap(({ family, settings, found }) =>
    found === undefined ? [] : [{ family, settings, found }]
  );
  if (there.length === 0) return { action: "created", differences: [] };
  // Upstream's table has our name, but not this map.
  if (there.some(({ found }) => !found.sets.has(ENDPOINTS))) return { action: "took over", differences: [] };
  const differences = there.flatMap(({ family, settings, found }) => differencesOf(family, settings, found));
  return { action: "refilled", differences };
}
