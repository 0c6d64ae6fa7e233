import type { FeatureGate } from "../../config/feature_gates.ts";
import type { DroppedLines } from "../log/output.ts";
import { addBuildMetrics } from "./build_metrics.ts";
import { ConntrackMetrics } from "./conntrack_metrics.ts";
import { HealthMetrics, ServiceLevelMetrics } from "./health_metrics.ts";
import { addProcessMetrics } from "./process.ts";
import { ProgramMetrics } from "./program_metrics.ts";
import { alpha, MetricRegistry } from "./registry/registry.ts";
import { RestClientMetrics } from "./rest_client_metrics.ts";
import { SyncMetrics } from "./sync_metrics.ts";
import { WatchMetrics } from "./watch_metrics.ts";

export interface MetricsOptions {
  readonly gates?: readonly FeatureGate[];
  /** Log lines dropped so far. */
  readonly droppedLines?: () => DroppedLines;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** The metrics of every mode, by subject. Times are in seconds, as usual in Prometheus. docs/metrics.md lists them. */
export class Metrics {
  readonly registry: MetricRegistry;
  readonly sync: SyncMetrics;
  readonly program: ProgramMetrics;
  readonly health: HealthMetrics;
  readonly conntrack: ConntrackMetrics;
  readonly restClient: RestClientMetrics;
  readonly watch: WatchMetrics;
  readonly serviceLevel = new ServiceLevelMetrics();

  constructor({ gates = [], droppedLines, now = Date.now }: MetricsOptions = {}) {
    const hasNativeHistograms = gates.find(({ name }) => name === "NativeHistograms")?.enabled ?? true;
    this.registry = new MetricRegistry(hasNativeHistograms);
    this.sync = new SyncMetrics(this.registry, now);
    this.program = new ProgramMetrics(this.registry);
    this.health = new HealthMetrics(this.registry);
    this.conntrack = new ConntrackMetrics(this.registry);
    this.restClient = new RestClientMetrics(this.registry);
    this.watch = new WatchMetrics(this.registry, now);
    if (droppedLines !== undefined) addLogMetrics(this.registry, droppedLines);
    addBuildMetrics(this.registry, gates);
    addProcessMetrics(this.registry);
  }
}

/** Not in kube-proxy. */
function addLogMetrics(registry: MetricRegistry, droppedLines: () => DroppedLines): void {
  registry.readCounter(
    alpha("log_lines_dropped_total", "Cumulative log lines that were not written"),
    ["reason"],
    () => Object.entries(droppedLines()).map(([reason, value]) => ({ labels: [reason], value })),
  );
}
