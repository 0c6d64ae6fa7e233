import type { ConntrackObserver } from "../../backend/follower.ts";
import type { Family } from "../../net/protocol.ts";
import type { Histogram } from "./registry/histogram.ts";
import type { PromCounter } from "./registry/prom_client.ts";
import { alpha, type MetricRegistry, type Sample } from "./registry/registry.ts";
import { SYNC_BUCKETS } from "./sync_metrics.ts";

/** The conntrack reconciler under kube-proxy's names (docs/behaviour.md §8), and the size of the kernel's table. */
export class ConntrackMetrics implements ConntrackObserver {
  readonly #passes: Histogram<"ip_family">;
  readonly #deleted: PromCounter<"ip_family">;
  readonly #failures: PromCounter<"ip_family">;

  /** @param directory of the kernel's settings of conntrack. */
  constructor(registry: MetricRegistry, directory = "/proc/sys/net/netfilter") {
    this.#passes = registry.histogram(
      alpha(
        "conntrack_reconciler_sync_duration_seconds",
        "ReconcileConntrackFlowsLatency latency in seconds",
      ),
      SYNC_BUCKETS,
      "ip_family",
    );
    this.#deleted = registry.counter(
      alpha(
        "conntrack_reconciler_deleted_entries_total",
        "Cumulative conntrack flows deleted by conntrack reconciler",
      ),
      "ip_family",
    );
    this.#failures = registry.counter(
      alpha("conntrack_reconciler_failures_total", "Cumulative conntrack reconciler failures"),
      "ip_family",
    );
    registry.readGauge(
      alpha("conntrack_entries", "Number of conntrack entries in this network namespace"),
      [],
      () => readNumber(`${directory}/nf_conntrack_count`),
    );
    registry.readGauge(
      alpha(
        "conntrack_entries_limit",
        "Number of conntrack entries from which on new connections are dropped",
      ),
      [],
      () => readNumber(`${directory}/nf_conntrack_max`),
    );
  }

  conntrackReconciled(
    pass: { readonly family: Family; readonly seconds: number; readonly deleted: number },
  ): void {
    this.#passes.observe({ ip_family: pass.family }, pass.seconds);
    this.#deleted.inc({ ip_family: pass.family }, pass.deleted);
  }

  /** Counts failures. Called with 0 at the start, so that a rate includes the first one. Not in kube-proxy. */
  conntrackFailed(family: Family, times = 1): void {
    this.#failures.inc({ ip_family: family }, times);
  }
}

/** Reads a number; none when the kernel has no conntrack, or no file descriptor is free. */
function readNumber(path: string): readonly Sample[] {
  try {
    return [{ labels: [], value: Number(Deno.readTextFileSync(path)) }];
  } catch {
    return [];
  }
}
