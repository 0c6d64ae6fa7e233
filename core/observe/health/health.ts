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
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/**
 * Health of the proxy: whether changes are put in force in time. A lost source does not make the proxy
 * unhealthy. Its rules stay in force and are correct for everything that is known, and removing every node
 * from the load balancers because the API server is unreachable would turn a small failure into an outage.
 */
export class ProxyHealth {
  readonly #options: HealthOptions;
  readonly #now: () => number;
  readonly #updated = new Map<Family, number>();
  /** Time when the oldest change was queued that is not in force yet. */
  readonly #pendingSince = new Map<Family, number>();
  #eligible: boolean;
  #lostAt: number | undefined;

  constructor(options: HealthOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#eligible = options.eligible;
  }

  /** A change was queued. */
  queuedUpdate(family: Family): void {
    if (!this.#pendingSince.has(family)) this.#pendingSince.set(family, this.#now());
  }

  /** Everything queued is in force. Also called once when the sync loop starts. */
  updated(family: Family): void {
    this.#pendingSince.delete(family);
    this.#updated.set(family, this.#now());
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
   * True when everything queued is in force, or was queued within the timeout. Ignores families before their
   * first update.
   */
  get healthy(): boolean {
    return this.#options.families.every((family) => !this.#updated.has(family) || this.#isInTime(family));
  }

  healthz(): { readonly ok: boolean; readonly body: HealthBody } {
    const ok = this.healthy && this.#eligible;
    return { ok, body: this.#body(ok, { nodeEligible: this.#eligible }) };
  }

  livez(): { readonly ok: boolean; readonly body: HealthBody } {
    const ok = this.healthy;
    return { ok, body: this.#body(ok, {}) };
  }

  #isInTime(family: Family): boolean {
    const since = this.#pendingSince.get(family);
    return since === undefined || this.#now() - since < this.#options.timeoutMs;
  }

  #body(ok: boolean, eligibility: Pick<HealthBody, "nodeEligible">): HealthBody {
    const now = this.#now();
    const families = this.#options.families.filter((family) => this.#updated.has(family));
    const status = families.map((family) => [family, {
      lastUpdated: timestamp(this.#updated.get(family)),
      healthy: this.#isInTime(family),
    }]);
    return {
      // kube-proxy keeps lastUpdated recent as long as the status is 200, for clients that read only this
      // field.
      lastUpdated: timestamp(
        ok ? now : families.length > 0 ? Math.max(...this.#updated.values()) : undefined,
      ),
      currentTime: timestamp(now),
      ...eligibility,
      healthy: this.healthy,
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
