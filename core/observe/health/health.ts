import type { Family } from "../../net/protocol.ts";

/** The JSON that /healthz and /livez answer with (docs/behaviour.md §7.1). Times are RFC 3339. */
export interface HealthBody {
  readonly lastUpdated: string;
  readonly currentTime: string;
  /** On /healthz only. */
  readonly nodeEligible?: boolean;
  readonly healthy: boolean;
  readonly status: Readonly<
    Partial<Record<Family, { readonly lastUpdated: string; readonly healthy: boolean }>>
  >;
  /** Ours: whether the API server (or the directory of manifests) can be reached, and if not, since when. */
  readonly source: { readonly connected: boolean; readonly lostAt?: string };
}

export interface HealthOptions {
  readonly families: readonly Family[];
  /** How long a change may wait to be in force: twice the sync period, in milliseconds. */
  readonly timeoutMs: number;
  /** Whether the node takes traffic before anything is known of it: not when a Node object is still to come. */
  readonly eligible: boolean;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/**
 * Whether the node keeps up with what it is told. A lost source does not make it unhealthy: its rules stay in force and
 * right for all that is known, and to take every node out of the load balancers because the API server is away would
 * turn a small failure into an outage.
 */
export class ProxyHealth {
  readonly #options: HealthOptions;
  readonly #now: () => number;
  readonly #updated = new Map<Family, number>();
  /** When the oldest change that is not in force was queued. */
  readonly #pendingSince = new Map<Family, number>();
  #eligible: boolean;
  #lostAt: number | undefined;

  constructor(options: HealthOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#eligible = options.eligible;
  }

  /** A change waits to be made real. */
  queuedUpdate(family: Family): void {
    if (!this.#pendingSince.has(family)) this.#pendingSince.set(family, this.#now());
  }

  /** All that was queued is in force; also called once when the sync loop starts. */
  updated(family: Family): void {
    this.#pendingSince.delete(family);
    this.#updated.set(family, this.#now());
  }

  /** Of the own Node: neither being deleted nor about to be removed by the autoscaler. */
  setEligible(eligible: boolean): void {
    this.#eligible = eligible;
  }

  /** Contact with the source was lost (false) or regained. */
  setConnected(connected: boolean): void {
    this.#lostAt = connected ? undefined : this.#lostAt ?? this.#now();
  }

  /** Everything queued is in force, or was queued a short time ago. Before its first update a family is not judged. */
  get healthy(): boolean {
    return this.#options.families.every((family) => !this.#updated.has(family) || this.#keepsUp(family));
  }

  healthz(): { readonly ok: boolean; readonly body: HealthBody } {
    const ok = this.healthy && this.#eligible;
    return { ok, body: this.#body(ok, { nodeEligible: this.#eligible }) };
  }

  livez(): { readonly ok: boolean; readonly body: HealthBody } {
    const ok = this.healthy;
    return { ok, body: this.#body(ok, {}) };
  }

  #keepsUp(family: Family): boolean {
    const since = this.#pendingSince.get(family);
    return since === undefined || this.#now() - since < this.#options.timeoutMs;
  }

  #body(ok: boolean, eligibility: Pick<HealthBody, "nodeEligible">): HealthBody {
    const now = this.#now();
    const families = this.#options.families.filter((family) => this.#updated.has(family));
    const status = families.map((family) => [family, {
      lastUpdated: timestamp(this.#updated.get(family)),
      healthy: this.#keepsUp(family),
    }]);
    return {
      // Upstream's promise to clients that look at this alone: recent as long as the answer is a good one.
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

/** Undefined is Go's zero time, which upstream shows for "never". */
function timestamp(ms: number | undefined): string {
  return ms === undefined ? "0001-01-01T00:00:00Z" : new Date(ms).toISOString();
}
