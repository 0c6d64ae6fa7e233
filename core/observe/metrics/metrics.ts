import type { Family } from "../../net/protocol.ts";
import type { DroppedLines } from "../log/output.ts";
import { Counter, exponentialBuckets, Gauge, Histogram, linearBuckets, type Metric } from "./exposition.ts";
import { ProcessMetrics } from "./process.ts";

/** 1 ms to 16.4 s, each twice the one before. */
const SYNC_BUCKETS = exponentialBuckets(0.001, 2, 15);

/** The buckets of kube-proxy. The leading 0 is an artefact of how kube-proxy merges them. */
const PROGRAMMING_BUCKETS = [
  0,
  ...linearBuckets(0.25, 0.25, 2),
  ...linearBuckets(1, 1, 59),
  ...linearBuckets(60, 5, 12),
  ...linearBuckets(120, 30, 7),
];

/**
 * The metrics of every mode, under kube-proxy's names (docs/behaviour.md §8). Times are in seconds, as usual
 * in Prometheus.
 */
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
  readonly #frontendConflicts = new Gauge(
    alpha(
      "sync_proxy_rules_frontend_conflicts",
      "Number of frontends that a service claims and another service has",
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
  readonly #droppedLines = new Counter(
    alpha("log_lines_dropped_total", "Cumulative log lines that were not written", "reason"),
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
    this.#frontendConflicts,
    this.#healthz,
    this.#livez,
    this.#conntrack,
    this.#conntrackDeleted,
    this.#conntrackFailures,
    this.#droppedLines,
    new ProcessMetrics(),
  ];
  readonly #now: () => number;

  /** @param now returns milliseconds since the epoch. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Records a successful sync. `full` is true for a reconcile. */
  syncObserved(sync: { readonly family: Family; readonly seconds: number; readonly full: boolean }): void {
    const { family, seconds, full } = sync;
    this.#sync.observe(seconds, family);
    (full ? this.#fullSync : this.#partialSync).observe(seconds, family);
    this.#lastSync.set(this.#now() / 1000, family);
  }

  syncQueued(family: Family): void {
    this.#lastQueued.set(this.#now() / 1000, family);
  }

  /** Records that an endpoint change, triggered at `triggeredAtMs` since the epoch, is now in force. */
  networkProgrammed(family: Family, triggeredAtMs: number): void {
    this.#programming.observe((this.#now() - triggeredAtMs) / 1000, family);
  }

  serviceChanged(): void {
    this.#serviceChanges.total.increment(1);
  }

  endpointsChanged(): void {
    this.#endpointChanges.total.increment(1);
  }

  /** Sets the number of changes that were received and are not yet in force. */
  changesPending(pending: { readonly services: number; readonly endpoints: number }): void {
    this.#serviceChanges.pending.set(pending.services);
    this.#endpointChanges.pending.set(pending.endpoints);
  }

  /** Sets the number of service ports with a Local policy and endpoints, but none on this node. */
  noLocalEndpoints(
    family: Family,
    servicePorts: { readonly internal: number; readonly external: number },
  ): void {
    this.#noLocalEndpoints.set(servicePorts.internal, "internal", family);
    this.#noLocalEndpoints.set(servicePorts.external, "external", family);
  }

  /** Sets the number of frontends that a service claims and another service has. Not in kube-proxy. */
  frontendConflicts(frontends: number): void {
    this.#frontendConflicts.set(frontends);
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

  /**
   * Counts failures. Called with 0 at the start, so that the sample exists before the first failure. Not in
   * kube-proxy.
   */
  conntrackFailed(family: Family, times = 1): void {
    this.#conntrackFailures.increment(times, family);
  }

  /** Sets the numbers of log lines dropped so far. Not in kube-proxy. */
  logLinesDropped(dropped: DroppedLines): void {
    for (const [reason, lines] of Object.entries(dropped)) this.#droppedLines.set(lines, reason);
  }

  /** All metrics in the text format of Prometheus; see `CONTENT_TYPE`. */
  text(): string {
    return this.#all.map((metric) => metric.text()).join("");
  }
}

/** Declares a metric the way Kubernetes marks those that may still change. */
export function alpha(name: string, help: string, ...labels: readonly string[]) {
  return { name: `kubeproxy_${name}`, help: `[ALPHA] ${help}`, ...(labels.length > 0 ? { labels } : {}) };
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
