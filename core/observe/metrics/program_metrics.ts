import type { InForce, Transaction, TransactionObserver } from "../../backend/contract.ts";
import type { Family } from "../../net/protocol.ts";
import { planDifferences } from "../../plan/plan_differences.ts";
import { BoundedLabel } from "./registry/bounded_label.ts";
import { exponentialBuckets, type Histogram } from "./registry/histogram.ts";
import type { PromCounter } from "./registry/prom_client.ts";
import { alpha, type MetricRegistry } from "./registry/registry.ts";
import { SYNC_BUCKETS } from "./sync_metrics.ts";

/** 256 B to 16 MiB, each four times the one before. */
const SIZE_BUCKETS = exponentialBuckets(256, 4, 9);
/** Programs that have a label value of their own. */
const MAX_PROGRAMS = 16;

/** The reasons of the sync loop. Any other one describes a foreign change. */
const REASONS = ["start", "node settings changed", "repeated failures", "hourly"];
const FOREIGN_CHANGE = "foreign change";

type Part = "service port" | "frontend" | "endpoint";
type Change = "added" | "updated" | "removed";

/** Changes of the kernel, and their reasons. None of these metrics is in kube-proxy. */
export class ProgramMetrics implements TransactionObserver {
  readonly #changes: PromCounter<"ip_family" | "object" | "change">;
  readonly #fullSyncs: PromCounter<"reason">;
  readonly #repairs: PromCounter<"program">;
  readonly #differences: PromCounter<never>;
  readonly #seconds: Histogram<"result">;
  readonly #bytes: Histogram<"result">;
  readonly #programs = new BoundedLabel(MAX_PROGRAMS);

  constructor(registry: MetricRegistry) {
    this.#changes = registry.counter(
      alpha("programmed_changes_total", "Cumulative changes that were put in force"),
      "ip_family",
      "object",
      "change",
    );
    this.#fullSyncs = registry.counter(
      alpha("full_syncs_total", "Cumulative successful full syncs by reason"),
      "reason",
    );
    for (const reason of [...REASONS, FOREIGN_CHANGE]) this.#fullSyncs.inc({ reason }, 0);
    this.#repairs = registry.counter(
      alpha("repairs_total", "Cumulative repairs of changes that another program made to kernel objects"),
      "program",
    );
    this.#differences = registry.counter(
      alpha(
        "repaired_differences_total",
        "Cumulative kernel objects that a full sync found wrong or missing",
      ),
    );
    this.#seconds = registry.histogram(
      alpha("kernel_transaction_duration_seconds", "Duration of transactions with the kernel in seconds"),
      SYNC_BUCKETS,
      "result",
    );
    this.#bytes = registry.histogram(
      alpha("kernel_transaction_size_bytes", "Size of transactions with the kernel in bytes"),
      SIZE_BUCKETS,
      "result",
    );
  }

  /** Creates the values for a family, so that a rate includes the first change. */
  start(family: Family): void {
    for (const object of ["service port", "frontend", "endpoint"] as const) {
      for (const change of ["added", "removed"] as const) this.#count(family, object, change, 0);
    }
    this.#count(family, "service port", "updated", 0);
  }

  /** Counts the changes that a sync has put in force. */
  programmed({ changes }: Pick<InForce, "changes">): void {
    for (const { old, new: next } of changes) {
      const family = (next ?? old)?.family;
      if (family === undefined) continue;
      const kind = old === undefined ? "added" : next === undefined ? "removed" : "updated";
      this.#count(family, "service port", kind, 1);
      const { frontends, endpoints } = planDifferences(old, next);
      for (const change of ["added", "removed"] as const) {
        this.#count(family, "frontend", change, frontends[change]);
        this.#count(family, "endpoint", change, endpoints[change]);
      }
    }
  }

  /**
   * Counts a full sync that succeeded.
   * @param differences kernel objects that were wrong or missing.
   * @param programs whose changes it repaired.
   */
  fullSynced(
    { reason, differences, programs }: {
      readonly reason: string;
      readonly differences: number;
      readonly programs: readonly string[];
    },
  ): void {
    this.#fullSyncs.inc({ reason: REASONS.includes(reason) ? reason : FOREIGN_CHANGE });
    this.#differences.inc(differences);
    for (const program of programs) this.#repairs.inc({ program: this.#programs.of(program) });
  }

  transactionEnded({ seconds, bytes, committed }: Transaction): void {
    const result = committed ? "committed" : "rejected";
    this.#seconds.observe({ result }, seconds);
    this.#bytes.observe({ result }, bytes);
  }

  #count(ip_family: Family, object: Part, change: Change, by: number): void {
    this.#changes.inc({ ip_family, object, change }, by);
  }
}
