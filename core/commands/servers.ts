import type { Backend } from "../backend/contract.ts";
import type { ProxyConfig } from "../config/config.ts";
import type { ProxyHealth } from "../observe/health/health.ts";
import { apiRoutes } from "../observe/http/api_routes.ts";
import { healthRoutes, metricsRoutes } from "../observe/http/routes.ts";
import { serve } from "../observe/http/server.ts";
import type { DroppedLines } from "../observe/log/output.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics/metrics.ts";
import type { StatusSources } from "../observe/status/status.ts";
import { backendMetricsText, type SyncFailures } from "../observe/metrics/mode_metrics.ts";

export interface ServersOptions {
  readonly config: ProxyConfig;
  readonly backend: Backend;
  readonly health: ProxyHealth;
  readonly metrics: Metrics;
  readonly syncFailures: SyncFailures;
  readonly status: StatusSources;
  readonly log: Log;
  readonly droppedLines: () => DroppedLines;
}

/** Serves health and metrics on the configured addresses until the signal aborts. */
export async function serveHealthAndMetrics(options: ServersOptions, signal: AbortSignal): Promise<void> {
  const { config, backend, health, metrics, syncFailures, status, log, droppedLines } = options;
  const texts = [
    () => {
      metrics.logLinesDropped(droppedLines());
      return metrics.text();
    },
    () => syncFailures.text(),
    () => metricsTextOf(backend, log),
  ];
  const servers = [
    { name: "healthz", address: config.healthz, routes: healthRoutes(health, metrics), paths: "cleaned" },
    {
      name: "metrics",
      address: config.metrics,
      routes: { ...metricsRoutes(texts, config.document), ...apiRoutes(status) },
      paths: "exact",
    },
  ] as const;
  const hardFail = config.bindAddressHardFail;
  await Promise.all(
    servers.map(({ address, ...server }) =>
      address === undefined ? undefined : serve({ ...server, address, hardFail, log }, signal)
    ),
  );
}

/**
 * Returns the metrics that only this mode has. When reading them fails, the other metrics are still served.
 */
async function metricsTextOf(backend: Backend, log: Log): Promise<string> {
  try {
    return backendMetricsText(await backend.metrics?.() ?? []);
  } catch (error) {
    log.error("Reading the metrics of the mode failed", { mode: backend.mode, err: error });
    return "";
  }
}
