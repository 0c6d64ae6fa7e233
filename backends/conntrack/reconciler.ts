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
import { type Sweep, sweepConntrack } from "./table.ts";

export interface ConntrackOptions extends FollowerOptions {
  /** The kernel's table: the seam for tests. */
  readonly sweep?: (filter: DumpFilter, isStale: (flow: Flow) => boolean) => Promise<Sweep>;
}

/** A pass over a table that takes longer than this (milliseconds) is followed by a rest as long as itself. */
const SHORT_MS = 10;

/** A SYN is sent again after a second: what concerns TCP alone waits for more of its kind, so many milliseconds. */
const TCP_DELAY_MS = 100;

/**
 * Removes conntrack entries that keep packets from going where the rules now say (docs/conntrack.md). Works beside
 * the sync loop: one pass at a time, for all that changed since the last one.
 */
export class ConntrackReconciler implements Follower {
  readonly #log: Log;
  readonly #options: ConntrackOptions;
  readonly #sweep: NonNullable<ConntrackOptions["sweep"]>;
  #inForce: DesiredState = { settings: [], plans: new Map() };
  /** To be looked at in the next pass. */
  #affected = new Affected();
  /** All frontends are to be looked at: the kernel was not as we thought. */
  #isFull = false;
  /** A pass failed; the next one makes up for it. */
  #hasMissed = false;
  #passes: Promise<void> | undefined;
  /** Starts passes that wait for more to do. */
  #urgent = Promise.withResolvers<void>();
  #isOff = false;

  constructor(options: ConntrackOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#sweep = options.sweep ?? ((filter, isStale) => sweepConntrack(filter, isStale));
  }

  /** Something is in force. Returns at once. */
  synced({ desired, changes, full }: InForce): void {
    if (this.#isOff) return;
    this.#inForce = desired;
    this.#affected.addChanges(changes);
    if (!full && this.#affected.isEmpty) return;
    if (full || this.#hasMissed) this.#isFull = true;
    this.#passes ??= this.#passUntilClean();
    if (this.#isFull || this.#affected.hasUdp) this.#urgent.resolve();
  }

  /** Resolves when nothing is left to do. */
  async idle(): Promise<void> {
    await this.#passes;
  }

  async #passUntilClean(): Promise<void> {
    this.#urgent = Promise.withResolvers();
    const timer = setTimeout(this.#urgent.resolve, TCP_DELAY_MS);
    await this.#urgent.promise;
    clearTimeout(timer);
    while (!this.#isOff && (this.#isFull || !this.#affected.isEmpty)) {
      const started = performance.now();
      await this.#pass();
      const tookMs = performance.now() - started;
      if (tookMs > SHORT_MS) await new Promise((resolve) => setTimeout(resolve, tookMs));
    }
    this.#passes = undefined;
  }

  async #pass(): Promise<void> {
    const affected = this.#affected;
    this.#affected = new Affected();
    if (this.#isFull) {
      this.#isFull = false;
      this.#hasMissed = false;
      for (const plan of this.#inForce.plans.values()) affected.addPlan(plan);
    }
    for (const settings of this.#inForce.settings) {
      if (!this.#isOff) await this.#passOver(settings, affected);
    }
  }

  async #passOver(settings: NodeSettings, affected: Affected): Promise<void> {
    const { family } = settings;
    const wanted = dumps[family].filter(({ protocol }) => !affected.of(family, protocol).isEmpty);
    if (wanted.length === 0) return;
    const started = performance.now();
    const found: Record<Staleness, number> = { "endpoint gone": 0, untranslated: 0 };
    let deleted = 0;
    try {
      for (const { protocol, filter } of wanted) {
        const isStale = this.#judge(settings, affected.of(family, protocol), found);
        const sweep = await this.#sweep(filter, isStale);
        deleted += sweep.deleted;
        if (sweep.refused !== undefined) this.#failed(family, sweep.refused);
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      if (isHopeless(error)) return this.#giveUp(error);
      this.#failed(family, error.message);
    }
    const seconds = (performance.now() - started) / 1000;
    this.#options.observer.conntrackReconciled({ family, seconds, deleted });
    this.#log.info("Looked for stale conntrack entries", { family, seconds, deleted, ...found }, 4);
  }

  #judge(
    settings: NodeSettings,
    frontends: AffectedFrontends,
    found: Record<Staleness, number>,
  ): (flow: Flow) => boolean {
    const nodePortAddresses = frontends.hasNodePorts ? this.#nodePortAddresses(settings) : noAddresses;
    return (flow) => {
      const frontend = frontends.find(flow, nodePortAddresses);
      if (frontend === undefined) return false;
      // The plan of this moment, not that of the start of the pass: flows go on being made.
      const { holder } = frontend;
      const staleness = stalenessOf(flow, holder === undefined ? undefined : this.#inForce.plans.get(holder));
      if (staleness === undefined) return false;
      found[staleness]++;
      return true;
    };
  }

  #nodePortAddresses({ family, nodePorts }: NodeSettings): ReadonlySet<Address> {
    if (nodePorts !== "all") return new Set(nodePorts);
    const own = this.#options.nodeAddresses();
    return new Set(own.filter((address) => familyOf(address) === family && !isLoopback(address)));
  }

  #failed(family: Family, error: string): void {
    this.#hasMissed = true;
    this.#options.observer.conntrackFailed(family);
    this.#log.warn("Stale conntrack entries may be left; the next pass tries again", { family, error });
  }

  #giveUp(error: Error): void {
    this.#isOff = true;
    this.#log.warn(
      "Stale conntrack entries are not removed: UDP clients may stay with endpoints that are gone " +
        "(see docs/conntrack.md)",
      { error: error.message },
    );
  }
}

const noAddresses: ReadonlySet<Address> = new Set();

/** What concerns us of each family, as narrowly as the kernel filters. */
const dumps: Readonly<
  Record<Family, readonly { readonly protocol: "UDP" | "TCP"; readonly filter: DumpFilter }[]>
> = {
  IPv4: dumpsOf(FAMILY_NUMBERS.IPv4),
  IPv6: dumpsOf(FAMILY_NUMBERS.IPv6),
};

function dumpsOf(family: number) {
  return [
    { protocol: "UDP", filter: { family, protocol: IPPROTO_UDP } },
    // Of TCP only attempts that nobody answered can be stale.
    {
      protocol: "TCP",
      filter: { family, protocol: IPPROTO_TCP, status: { mask: IPS_SEEN_REPLY, value: 0 } },
    },
  ] as const;
}

/** Errors that will be the same next time: no privilege, or no nf_conntrack_netlink in the kernel. */
const hopeless: readonly string[] = ["EPERM", "EACCES", "EINVAL", "EOPNOTSUPP", "EPROTONOSUPPORT"];

function isHopeless(error: Error): boolean {
  return error instanceof KernelError && hopeless.includes(error.errnoName);
}
