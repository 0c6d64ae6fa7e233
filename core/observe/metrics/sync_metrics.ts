import type { FailureMetric } from "../../backend/mode.ts";
import type { Family } from "../../net/protocol.ts";
import { exponentialBuckets, type Histogram, linearBuckets } from "./registry/histogram.ts";
import type { PromCounter, PromGauge } from "./registry/prom_client.ts";
import { alpha, type MetricRegistry } from "./registry/registry.ts";

/** 1 ms to 16.4 s, each twice the one before. */
export const SYNC_BUCKETS = exponentialBuckets(0.001, 2, 15);

/** The buckets of kube-proxy. The leading 0 is an artefact of how kube-proxy merges them. */
const PROGRAMMING_BUCKETS = [
  0,
  ...linearBuckets(0.25, 0.25, 2),
  ...linearBuckets(1, 1, 59),
  ...linearBuckets(60, 5, 12),
  ...linearBuckets(120, 30, 7),
];

type ByFamily = "ip_family";

/** Syncs, and the changes that lead to them, under kube-proxy's names (docs/behaviour.md §8). */
export class SyncMetrics {
  readonly #sync: Histogram<ByFamily>;
  readonly #fullSync: Histogram<ByFamily>;
  readonly #partialSync: Histogram<ByFamily>;
  readonly #lastSync: PromGauge<ByFamily>;
  readonly #lastQueued: PromGauge<ByFamily>;
  readonly #programming: Histogram<ByFamily>;
  readonly #endpointChanges: Changes;
  readonly #serviceChanges: Changes;
  readonly #noLocalEndpoints: PromGauge<"traffic_policy" | ByFamily>;
  readonly #frontendConflicts: PromGauge<never>;
  readonly #now: () => number;

  /** @param now returns milliseconds since the epoch. */
  constructor(registry: MetricRegistry, now: () => number) {
    this.#now = now;
    const duration = (name: string, help: string) =>
      registry.histogram(alpha(name, help), SYNC_BUCKETS, "ip_family");
    this.#sync = duration("sync_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds");
    this.#fullSync = duration(
      "sync_full_proxy_rules_duration_seconds",
      "SyncProxyRules latency in seconds for full resyncs",
    );
    this.#partialSync = duration(
      "sync_partial_proxy_rules_duration_seconds",
      "SyncProxyRules latency in seconds for partial resyncs",
    );
    this.#lastSync = registry.gauge(
      alpha(
        "sync_proxy_rules_last_timestamp_seconds",
        "The last time proxy rules were successfully synced",
      ),
      "ip_family",
    );
    this.#lastQueued = registry.gauge(
      alpha(
        "sync_proxy_rules_last_queued_timestamp_seconds",
        "The last time a sync of proxy rules was queued",
      ),
      "ip_family",
    );
    this.#programming = registry.histogram(
      alpha("network_programming_duration_seconds", "In Cluster Network Programming Latency in seconds"),
      PROGRAMMING_BUCKETS,
      "ip_family",
    );
    this.#endpointChanges = new Changes(registry, "endpoint", "Endpoint");
    this.#serviceChanges = new Changes(registry, "service", "Service");
    this.#noLocalEndpoints = registry.gauge(
      alpha(
        "sync_proxy_rules_no_local_endpoints_total",
        "Number of services with a Local traffic policy and no endpoints",
      ),
      "traffic_policy",
      "ip_family",
    );
    this.#frontendConflicts = registry.gauge(
      alpha(
        "sync_proxy_rules_frontend_conflicts",
        "Number of frontends that a service claims and another service has",
      ),
    );
  }

  /** Records a successful sync. `full` is true for a reconcile. */
  synced(sync: { readonly family: Family; readonly seconds: number; readonly full: boolean }): void {
    const { family, seconds, full } = sync;
    this.#sync.observe({ ip_family: family }, seconds);
    (full ? this.#fullSync : this.#partialSync).observe({ ip_family: family }, seconds);
  }

  /** Records that what was queued is in force, also when it led to no change of the kernel. */
  settled(family: Family): void {
    this.#lastSync.set({ ip_family: family }, this.#now() / 1000);
  }

  queued(family: Family): void {
    this.#lastQueued.set({ ip_family: family }, this.#now() / 1000);
  }

  /** Records that an endpoint change, triggered at `triggeredAtMs` since the epoch, is now in force. */
  networkProgrammed(family: Family, triggeredAtMs: number): void {
    this.#programming.observe({ ip_family: family }, (this.#now() - triggeredAtMs) / 1000);
  }

  serviceChanged(): void {
    this.#serviceChanges.total.inc();
  }

  endpointsChanged(): void {
    this.#endpointChanges.total.inc();
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
    const { internal, external } = servicePorts;
    this.#noLocalEndpoints.set({ traffic_policy: "internal", ip_family: family }, internal);
    this.#noLocalEndpoints.set({ traffic_policy: "external", ip_family: family }, external);
  }

  /** Sets the number of frontends that a service claims and another service has. Not in kube-proxy. */
  frontendConflicts(frontends: number): void {
    this.#frontendConflicts.set(frontends);
  }
}

/** Changes of objects of one kind. */
class Changes {
  readonly pending: PromGauge<never>;
  readonly total: PromCounter<never>;

  constructor(registry: MetricRegistry, name: string, word: string) {
    this.pending = registry.gauge(
      alpha(`sync_proxy_rules_${name}_changes_pending`, `Pending proxy rules ${word} changes`),
    );
    this.total = registry.counter(
      alpha(`sync_proxy_rules_${name}_changes_total`, `Cumulative proxy rules ${word} changes`),
    );
  }
}

/** Counts failed syncs under the names of a mode. Every value exists from the start, so that a rate sees the first one. */
export class SyncFailures {
  readonly #counters: readonly {
    readonly counts: FailureMetric["counts"];
    readonly counter: PromCounter<ByFamily>;
  }[];

  constructor(registry: MetricRegistry, metrics: readonly FailureMetric[], families: readonly Family[]) {
    this.#counters = metrics.map(({ name, help, counts }) => {
      const counter = registry.counter(alpha(name, help), "ip_family");
      for (const family of families) counter.inc({ ip_family: family }, 0);
      return { counts, counter };
    });
  }

  /** @param full true for a full sync, false for a partial one. */
  count(family: Family, full: boolean): void {
    for (const { counts, counter } of this.#counters) {
      if (counts === "all" || counts === "partial" && !full) counter.inc({ ip_family: family });
    }
  }
}
