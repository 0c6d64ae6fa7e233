import { EventRing, shortened } from "./events.ts";
import { History } from "./history.ts";
import { InvalidObjects } from "./invalid_objects.ts";
import type { ObjectRef } from "../../objects/objects.ts";

/** A sync that succeeded. */
export interface RecordedSync {
  readonly full: boolean;
  readonly seconds: number;
  readonly changes: number;
  /** Reason of a full sync. */
  readonly reason?: string | undefined;
  /** The foreign change that it repaired, if that is why it was a full one. */
  readonly repaired?: string | undefined;
  /** Trigger times of the endpoint changes that are in force now, in milliseconds since the epoch. */
  readonly triggerTimes: readonly { readonly time: number }[];
}

export interface LastSync {
  /** RFC 3339. */
  readonly at: string;
  readonly seconds: number;
  readonly full: boolean;
  readonly changes: number;
  readonly reason?: string;
}

/** A moment and what happened then. */
export interface Occurrence {
  /** RFC 3339. */
  readonly at: string;
  readonly text: string;
}

/** Network programming latency: the time from the change of an endpoint until it is in force. */
export interface Lag {
  /** RFC 3339. */
  readonly at: string;
  /** The largest one of the last sync that put endpoint changes in force. */
  readonly maxSeconds: number;
  readonly changes: number;
}

/** Repairs that are listed. */
const MAX_REPAIRS = 10;

/** Records what the sync loop and the source did, in bounded memory, for the status, the page and `proxy status`. */
export class Activity {
  readonly events: EventRing;
  readonly history = new History();
  readonly invalidObjects = new InvalidObjects();
  readonly startedAt: string;
  readonly #now: () => number;
  #lastSync: LastSync | undefined;
  #lag: Lag | undefined;
  #failure: Occurrence | undefined;
  #repairs: readonly Occurrence[] = [];
  #repairCount = 0;
  #isConnected: boolean | undefined;

  /** @param now returns milliseconds since the epoch. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
    this.events = new EventRing(now);
    this.startedAt = this.#timestamp();
  }

  synced({ full, seconds, changes, reason, repaired, triggerTimes }: RecordedSync): void {
    const at = this.#timestamp();
    const lags = triggerTimes.map(({ time }) => Math.max(0, (this.#now() - time) / 1000));
    const lagSeconds = lags.length === 0 ? undefined : lags.reduce((a, b) => Math.max(a, b));
    if (lagSeconds !== undefined) this.#lag = { at, maxSeconds: lagSeconds, changes: lags.length };
    this.history.add({ full, seconds, changes, lagSeconds }, this.#now());
    this.#lastSync = {
      at,
      seconds,
      full,
      changes,
      ...(reason === undefined ? {} : { reason: shortened(reason) }),
    };
    this.#failure = undefined;
    if (repaired !== undefined) this.#repaired(at, repaired, seconds);
    else if (full) this.events.add("full sync", "info", `${took(seconds)}; reason: ${reason ?? "none"}`);
  }

  failed(problem: string): void {
    const text = shortened(problem);
    // A sync that fails again in the same way is one event.
    if (this.#failure?.text !== text) this.events.add("failure", "error", text);
    this.#failure = { at: this.#timestamp(), text };
  }

  rejected(servicePort: string, reason: string): void {
    this.events.add("rejection", "error", `${servicePort}: ${reason}`);
  }

  invalid(ref: ObjectRef, why: string): void {
    this.invalidObjects.add(ref, why, this.#timestamp());
  }

  corrected(ref: ObjectRef): void {
    this.invalidObjects.remove(ref);
  }

  connected(connected: boolean): void {
    if (connected && this.#isConnected === false) {
      this.events.add("source", "info", "The source of objects is reachable again");
    }
    this.#isConnected = connected;
  }

  get lastSync(): LastSync | undefined {
    return this.#lastSync;
  }

  get lag(): Lag | undefined {
    return this.#lag;
  }

  /** The failure of the last sync; undefined if it succeeded. */
  get failure(): Occurrence | undefined {
    return this.#failure;
  }

  get repairs(): { readonly count: number; readonly last: readonly Occurrence[] } {
    return { count: this.#repairCount, last: this.#repairs };
  }

  #repaired(at: string, what: string, seconds: number): void {
    this.#repairCount++;
    this.#repairs = [{ at, text: shortened(what) }, ...this.#repairs].slice(0, MAX_REPAIRS);
    this.events.add("repair", "warning", `${what}; repaired in ${took(seconds)}`);
  }

  #timestamp(): string {
    return new Date(this.#now()).toISOString();
  }
}

function took(seconds: number): string {
  return seconds < 1 ? `${(seconds * 1000).toFixed(1)} ms` : `${seconds.toFixed(2)} s`;
}
