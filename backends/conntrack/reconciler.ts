import { type Address, familyOf, isLoopback } from "../../core/net/address.ts";
import type { Family } from "../../core/net/protocol.ts";
import type { Follower, FollowerOptions } from "../../core/backend/follower.ts";
import type { DesiredState, NodeSettings } from "../../core/plan/plan.ts";
import type { Log } from "../../core/observe/log.ts";
import { KernelError } from "../../ffi/errors.ts";
import { IPPROTO_TCP, IPPROTO_UDP } from "../../ffi/inet.ts";
import { FAMILY_NUMBERS } from "../protocol_numbers.ts";
import type { InForce } from "../../core/backend/contract.ts";
import { Affected, type AffectedFrontends } from "./affected.ts";
import { IPS_SEEN_REPLY } from "./ctnetlink.ts";
import type { Flow } from "./flow.ts";
import type { DumpFilter } from "./messages.ts";
import { type Staleness, stalenessOf } from "./staleness.ts";
import { ConntrackTable, type Sweep } from "./table.ts";

export interface ConntrackOptions extends FollowerOptions {
  /** The seam for tests. */
  readonly sweep?: (filter: DumpFilter, isStale: (flow: Flow) => boolean) => Promise<Sweep>;
}

/** A pass that takes longer than this is followed by a pause as long as the pass. */
const SHORT_PASS_MS = 10;

/**
 * Removes conntrack entries that contradict the rules in force (docs/conntrack.md). Runs concurrently with the sync
 * loop: one pass at a time, for all changes since the previous one.
 */
export class ConntrackReconciler implements Follower, Disposable {
  readonly #log: Log;
  readonly #table = new ConntrackTable();
  readonly #options: ConntrackOptions;
  readonly #sweep: NonNullable<ConntrackOptions["sweep"]>;
  #inForce: DesiredState = { settings: [], plans: new Map() };
  /** Frontends that the next pass examines. */
  #affected = new Affected();
  /** The next pass examines all frontends, after a reconcile or a failed pass. */
  #isFull = false;
  /** A pass failed, so the next one examines all frontends. */
  #hasFailed = false;
  #passes: Promise<void> | undefined;
  /** Ends the delay before a pass. */
  #due = Promise.withResolvers<void>();
  /** Time at which it ends, as of performance.now(). */
  #dueAt = Infinity;
  #isDisabled = false;

  constructor(options: ConntrackOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#sweep = options.sweep ?? ((filter, isStale) => this.#table.sweep(filter, isStale));
  }

  /** Takes note of a sync, and starts a pass if one is needed. Does not wait for it. */
  synced({ desired, changes, full }: InForce): void {
    if (this.#isDisabled) return;
    this.#inForce = desired;
    this.#affected.addChanges(changes);
    if (!full && this.#affected.isEmpty) return;
    if (full || this.#hasFailed) this.#isFull = true;
    this.#passes ??= this.#runPasses();
    this.#beDueWithin(this.#isFull ? 0 : this.#affected.delayMs);
  }

  /** Resolves when no pass is running or pending. */
  async idle(): Promise<void> {
    await this.#passes;
  }

  [Symbol.dispose](): void {
    this.#isDisabled = true;
    this.#due.resolve();
    this.#table[Symbol.dispose]();
  }

  async #runPasses(): Promise<void> {
    this.#due = Promise.withResolvers();
    this.#dueAt = Infinity;
    await this.#due.promise;
    while (!this.#isDisabled && (this.#isFull || !this.#affected.isEmpty)) {
      const started = performance.now();
      await this.#pass();
      const tookMs = performance.now() - started;
      if (tookMs > SHORT_PASS_MS) await new Promise((resolve) => setTimeout(resolve, tookMs));
    }
    this.#passes = undefined;
  }

  /** Ends the delay before the next pass after this time, unless it ends earlier. */
  #beDueWithin(ms: number): void {
    const at = performance.now() + ms;
    if (at >= this.#dueAt) return;
    this.#dueAt = at;
    const due = this.#due;
    if (ms === 0) return due.resolve();
    const timer = setTimeout(due.resolve, ms);
    due.promise.then(() => clearTimeout(timer));
  }

  async #pass(): Promise<void> {
    const affected = this.#affected;
    this.#affected = new Affected();
    if (this.#isFull) {
      this.#isFull = false;
      this.#hasFailed = false;
      for (const plan of this.#inForce.plans.values()) affected.addPlan(plan);
    }
    for (const settings of this.#inForce.settings) {
      if (!this.#isDisabled) await this.#examineFamily(settings, affected);
    }
  }

  async #examineFamily(settings: NodeSettings, affected: Affected): Promise<void> {
    const { family } = settings;
    const affectedDumps = DUMPS[family].filter(({ protocol }) => !affected.of(family, protocol).isEmpty);
    if (affectedDumps.length === 0) return;
    const started = performance.now();
    const stale: Record<Staleness, number> = { "endpoint gone": 0, untranslated: 0 };
    let deleted = 0;
    try {
      for (const { protocol, filter } of affectedDumps) {
        const isStale = this.#staleIn(settings, affected.of(family, protocol), stale);
        const sweep = await this.#sweep(filter, isStale);
        deleted += sweep.deleted;
        if (sweep.rejection !== undefined) this.#passFailed(family, sweep.rejection);
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      if (isPermanent(error)) return this.#disable(error);
      this.#passFailed(family, error.message);
    }
    const seconds = (performance.now() - started) / 1000;
    this.#options.observer.conntrackReconciled({ family, seconds, deleted });
    this.#log.info("Checked conntrack for stale entries", { family, seconds, deleted, ...stale }, 4);
  }

  #staleIn(
    settings: NodeSettings,
    frontends: AffectedFrontends,
    stale: Record<Staleness, number>,
  ): (flow: Flow) => boolean {
    const nodePortAddresses = frontends.hasNodePorts ? this.#nodePortAddresses(settings) : NO_ADDRESSES;
    const relaySockets = this.#options.relaySockets();
    return (flow) => {
      const frontend = frontends.find(flow, nodePortAddresses);
      if (frontend === undefined) return false;
      // The plan in force now, not the one at the start of the pass, because new flows begin meanwhile.
      const { owner } = frontend;
      const plan = owner === undefined ? undefined : this.#inForce.plans.get(owner);
      const staleness = stalenessOf(flow, plan, relaySockets);
      if (staleness === undefined) return false;
      stale[staleness]++;
      return true;
    };
  }

  #nodePortAddresses({ family, nodePorts }: NodeSettings): ReadonlySet<Address> {
    if (nodePorts !== "all") return new Set(nodePorts);
    const own = this.#options.nodeAddresses();
    return new Set(own.filter((address) => familyOf(address) === family && !isLoopback(address)));
  }

  #passFailed(family: Family, error: string): void {
    this.#hasFailed = true;
    this.#options.observer.conntrackFailed(family);
    this.#log.warn("Stale conntrack entries may remain; the next pass retries", { family, error });
  }

  #disable(error: Error): void {
    this.#isDisabled = true;
    this.#log.warn(
      "Stale conntrack entries are not removed until the next start, so UDP clients may keep sending to endpoints " +
        "that are gone (see docs/conntrack.md)",
      { error: error.message },
    );
  }
}

const NO_ADDRESSES: ReadonlySet<Address> = new Set();

/** Dumps that contain the flows that can be stale, filtered as narrowly as the kernel can. */
const DUMPS: Readonly<
  Record<Family, readonly { readonly protocol: "UDP" | "TCP"; readonly filter: DumpFilter }[]>
> = {
  IPv4: dumpsOf(FAMILY_NUMBERS.IPv4),
  IPv6: dumpsOf(FAMILY_NUMBERS.IPv6),
};

function dumpsOf(family: number) {
  return [
    { protocol: "UDP", filter: { family, protocol: IPPROTO_UDP } },
    // Only unanswered TCP attempts can be stale.
    {
      protocol: "TCP",
      filter: { family, protocol: IPPROTO_TCP, status: { mask: IPS_SEEN_REPLY, value: 0 } },
    },
  ] as const;
}

/** Errors that a retry cannot fix: a missing privilege, or a kernel without nf_conntrack_netlink. */
const PERMANENT_ERRNOS: readonly string[] = ["EPERM", "EACCES", "EINVAL", "EOPNOTSUPP", "EPROTONOSUPPORT"];

function isPermanent(error: Error): boolean {
  return error instanceof KernelError && PERMANENT_ERRNOS.includes(error.errnoName);
}
