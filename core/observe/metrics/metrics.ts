import type { Family } from "../../net/protocol.ts";
import { Counter, exponentialBuckets, Gauge, Histogram, linearBuckets, type Metric } from "./exposition.ts";
import { alpha } from "./names.ts";
import { ProcessMetrics } from "./process.ts";

/** 1 ms to 16.4 s, each twice the one before. */
const SYNC_BUCKETS = exponentialBuckets(0.001, 2, 15);

/** Upstream's, with the 0 that its way of joining them puts in front. */
const PROGRAMMING_BUCKETS = [
  0,
  ...linearBuckets(0.25, 0.25, 2),
  ...linearBuckets(1, 1, 59),
  ...linearBuckets(60, 5, 12),
  ...linearBuckets(120, 30, 7),
];

/** What is counted and timed, under upstream's names (docs/behaviour.md §8). Times are in seconds, as Prometheus has them. */
export class Metrics {
  readonly #sync = histogram("sync_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds");
  readonly #fullSync = histogram(
    "sync_full_proxy_rules_duration_seconds",
    "SyncProxyRules latency in seconds for full resyncs",
  );
  readonly #partialSync = histogram(
    "sync_partial_proxy_rules_duration_seconds",
    "SyncProxyRules latency in seconds for partial resyncs",
  );
  readonly #lastSync = new Gauge(
    alpha(
      "sync_proxy_rules_last_timestamp_seconds",
      "The last time proxy rules were successfully synced",
      "ip_family",
    ),
  );
  readonly #lastQueued = new Gauge(
    alpha(
      "sync_proxy_rules_last_queued_timestamp_seconds",
      "The last time a sync of proxy rules was queued",
      "ip_family",
    ),
  );
  readonly #programming = histogram(
    "network_programming_duration_seconds",
    "In Cluster Network Programming Latency in seconds",
    PROGRAMMING_BUCKETS,
  );
  readonly #endpointChanges = changes("endpoint", "Endpoint");
  readonly #serviceChanges = changes("service", "Service");
  readonly #noLocalEndpoints = new Gauge(
    alpha(
      "sync_proxy_rules_no_local_endpoints_total",
      "Number of services with a Local traffic policy and no endpoints",
      "traffic_policy",
      "ip_family",
    ),
  );
  readonly #healthz = new Counter(
    alpha("proxy_healthz_total", "Cumulative proxy healthz HTTP status", "code"),
  );
  readonly #livez = new Counter(alpha("proxy_livez_total", "Cumulative proxy livez HTTP status", "code"));
  readonly #conntrack = histogram(
    "conntrack_reconciler_sync_duration_seconds",
    "ReconcileConntrackFlowsLatency latency in seconds",
  );
  readonly #conntrackDeleted = new Counter(
    alpha(
      "conntrack_reconciler_deleted_entries_total",
      "Cumulative conntrack flows deleted by conntrack reconciler",
      "ip_family",
    ),
  );
  readonly #conntrackFailures = new Counter(
    alpha(
      "conntrack_reconciler_failures_total",
      "Cumulative conntrack reconciler failures",
      "ip_family",
    ),
  );
  readonly #all: readonly Metric[] = [
    this.#sync,
    this.#fullSync,
    this.#partialSync,
    this.#lastSync,
    this.#lastQueued,
    this.#programming,
    this.#endpointChanges.pending,
    this.#endpointChanges.total,
    this.#serviceChanges.pending,
    this.#serviceChanges.total,
    this.#noLocalEndpoints,
    this.#healthz,
    this.#livez,
    this.#conntrack,
    this.#conntrackDeleted,
    this.#conntrackFailures,
    new ProcessMetrics(),
  ];
  readonly #now: () => number;

  /** `now`: milliseconds since the epoch. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** A successful sync. `full`: the whole table, not only what changed. */
  syncObserved(sync: { readonly family: Family; readonly seconds: number; readonly full: boolean }): void {
    const { family, seconds, full } = sync;
    this.#sync.observe(seconds, family);
    (full ? this.#fullSync : this.#partialSync).observe(seconds, family);
    this.#lastSync.set(this.#now() / 1000, family);
  }

  syncQueued(family: Family): void {
    this.#lastQueued.set(this.#now() / 1000, family);
  }

  /** From an endpoint change, at `triggeredAt` milliseconds since the epoch, to now, when it is in force. */
  networkProgrammed(family: Family, triggeredAt: number): void {
    this.#programming.observe((this.#now() - triggeredAt) / 1000, family);
  }

  serviceChanged(): void {
    this.#serviceChanges.total.increment(1);
  }

  endpointsChanged(): void {
    this.#endpointChanges.total.increment(1);
  }

  /** Changes seen and not yet in force. */
  changesPending(pending: { readonly services: number; readonly endpoints: number }): void {
    this.#serviceChanges.pending.set(pending.services);
    this.#endpointChanges.pending.set(pending.endpoints);
  }

  /** Service ports with policy Local and endpoints, but none on this node. */
  noLocalEndpoints(
    family: Family,
    servicePorts: { readonly internal: number; readonly external: number },
  ): void {
    this.#noLocalEndpoints.set(servicePorts.internal, "internal", family);
    this.#noLocalEndpoints.set(servicePorts.external, "external", family);
  }

  healthzAnswered(code: number): void {
    this.#healthz.increment(1, String(code));
  }

  livezAnswered(code: number): void {
    this.#livez.increment(1, String(code));
  }

  conntrackReconciled(
    run: { readonly family: Family; readonly seconds: number; readonly deleted: number },
  ): void {
    this.#conntrack.observe(run.seconds, run.family);
    this.#conntrackDeleted.increment(run.deleted, run.family);
  }

  /** By 0 at the start, so that the sample is there before the first failure. Upstream does not count them. */
  conntrackFailed(family: Family, times = 1): void {
    this.#conntrackFailures.increment(times, family);
  }

  /** Everything in the text format of Prometheus; see `CONTENT_TYPE`. */
  text(): string {
    return this.#all.map((metric) => metric.text()).join("");
  }
}

function histogram(name: string, help: string, buckets: readonly number[] = SYNC_BUCKETS): Histogram {
  return new Histogram({ ...alpha(name, help), labels: ["ip_family"] }, buckets);
}

function changes(name: string, word: string): { readonly pending: Gauge; readonly total: Counter } {
  return {
    pending: new Gauge(
      alpha(`sync_proxy_rules_${name}_changes_pending`, `Pending proxy rules ${word} changes`),
    ),
    total: new Counter(
      alpha(`sync_proxy_rules_${name}_changes_total`, `Cumulative proxy rules ${word} changes`),
    ),
  };
}
