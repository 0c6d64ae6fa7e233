import type { Family } from "../../net/protocol.ts";

/** The JSON body of /healthz and /livez (docs/behaviour.md §7.1). Times are RFC 3339. */
export interface HealthBody {
  readonly lastUpdated: string;
  readonly currentTime: string;
  /** Only in the body of /healthz. */
  readonly nodeEligible?: boolean;
  readonly healthy: boolean;
  readonly status: Readonly<
    Partial<Record<Family, { readonly lastUpdated: string; readonly healthy: boolean }>>
  >;
  /**
   * Not in kube-proxy: whether the API server (or the directory of manifests) is reachable, and if not, since
   * when.
   */
  readonly source: { readonly connected: boolean; readonly lostAt?: string };
}

export interface HealthOptions {
  readonly families: readonly Family[];
  /** Maximum time from a change until it is in force: twice the sync period. */
  readonly timeoutMs: number;
  /** Eligibility before the Node object is known: false when one is expected. */
  readonly eligible: boolean;
  /**
   * Time since which the kernel rejects a service port of this family, in milliseconds of `monotonic`;
   * undefined when it rejects none.
   */
  readonly rejectedSince: (family: Family) => number | undefined;
  /** Milliseconds since the epoch, for the times in the body. */
  readonly now?: () => number;
  /** Milliseconds that no correction of the wall clock changes, for the timeout. */
  readonly monotonic?: () => number;
}

/**
 * Health of the proxy: whether what is desired is put in force in time. It is unhealthy once the two have
 * differed for longer than the timeout, whatever the reason: a sync fails, hangs, or the kernel rejects a
 * service port. A lost source does not make the proxy unhealthy. Its rules stay in force and are correct for everything that is known, and removing every node
 * from the load balancers because the API server is unreachable would turn a small failure into an outage.
 */
export class ProxyHealth {
  readonly #options: HealthOptions;
  readonly #now: () => number;
  readonly #monotonic: () => number;
  readonly #updated = new Map<Family, number>();
  /** Monotonic time when the oldest change was queued that no sync has taken yet. */
  readonly #pendingSince = new Map<Family, number>();
  /** Monotonic time when the oldest change was queued that a sync took and has not put in force yet. */
  readonly #takenSince = new Map<Family, number>();
  #eligible: boolean;
  #lostAt: number | undefined;

  constructor(options: HealthOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#monotonic = options.monotonic ?? (() => performance.now());
    this.#eligible = options.eligible;
  }

  /** A change was queued. */
  queuedUpdate(family: Family): void {
    if (!this.#pendingSince.has(family)) this.#pendingSince.set(family, this.#monotonic());
  }

  /** A sync began. It takes what was queued, and what earlier syncs failed to put in force. */
  syncStarted(family: Family): void {
    if (!this.#takenSince.has(family)) {
      this.#takenSince.set(family, this.#pendingSince.get(family) ?? this.#monotonic());
    }
    this.#pendingSince.delete(family);
  }

  /**
   * Everything that the sync took is in force, except for what the kernel rejected. Also called once before
   * the first sync.
   */
  updated(family: Family): void {
    this.#takenSince.delete(family);
    if (this.#options.rejectedSince(family) === undefined) this.#updated.set(family, this.#now());
  }

  /**
   * Sets whether the own Node is eligible: neither being deleted nor about to be removed by the autoscaler.
   */
  setEligible(eligible: boolean): void {
    this.#eligible = eligible;
  }

  /** Contact with the source was lost (false) or regained. */
  setConnected(connected: boolean): void {
    this.#lostAt = connected ? undefined : this.#lostAt ?? this.#now();
  }

  /**
   * True when everything desired is in force, or has been desired for less than the timeout. Ignores families
   * before their first update.
   */
  get healthy(): boolean {
    return this.#started.every((family) => this.#isInTime(family));
  }

  healthz(): { readonly ok: boolean; readonly body: HealthBody } {
    const ok = this.healthy && this.#eligible;
    const isInTime = (family: Family) => this.#isInTime(family);
    return { ok, body: this.#body(ok, this.healthy, isInTime, { nodeEligible: this.#eligible }) };
  }

  /** Health of the process: whether syncs get done. A restart would not make the kernel accept anything. */
  livez(): { readonly ok: boolean; readonly body: HealthBody } {
    const isAlive = (family: Family) => this.#isWithinTimeout(this.#unsyncedSince(family));
    const ok = this.#started.every(isAlive);
    return { ok, body: this.#body(ok, ok, isAlive, {}) };
  }

  get #started(): readonly Family[] {
    return this.#options.families.filter((family) => this.#updated.has(family));
  }

  #isInTime(family: Family): boolean {
    const rejectedSince = this.#options.rejectedSince(family) ?? Infinity;
    return this.#isWithinTimeout(Math.min(this.#unsyncedSince(family), rejectedSince));
  }

  /** Time when the oldest change was queued that no sync has completed yet; Infinity for none. */
  #unsyncedSince(family: Family): number {
    return Math.min(
      this.#takenSince.get(family) ?? Infinity,
      this.#pendingSince.get(family) ?? Infinity,
    );
  }

  #isWithinTimeout(since: number): boolean {
    return this.#monotonic() - since < this.#options.timeoutMs;
  }

  #body(
    ok: boolean,
    healthy: boolean,
    isHealthy: (family: Family) => boolean,
    eligibility: Pick<HealthBody, "nodeEligible">,
  ): HealthBody {
    const now = this.#now();
    const families = this.#started;
    const status = families.map((family) => [family, {
      lastUpdated: timestamp(this.#updated.get(family)),
      healthy: isHealthy(family),
    }]);
    return {
      // kube-proxy keeps lastUpdated recent as long as the status is 200, for clients that read only this
      // field.
      lastUpdated: timestamp(
        ok ? now : families.length > 0 ? Math.max(...this.#updated.values()) : undefined,
      ),
      currentTime: timestamp(now),
      ...eligibility,
      healthy,
      status: Object.fromEntries(status),
      source: this.#lostAt === undefined
        ? { connected: true }
        : { connected: false, lostAt: timestamp(this.#lostAt) },
    };
  }
}

/** Formats a time. Undefined becomes Go's zero time, which kube-proxy shows for "never". */
function timestamp(ms: number | undefined): string {
  return ms === undefined ? "0001-01-01T00:00:00Z" : new Date(ms).toISOString();
}
