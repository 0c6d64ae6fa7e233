import type { Backend } from "../backend/contract.ts";
import type { ProxyConfig } from "../config/config.ts";
import type { ProxyHealth } from "../observe/health/health.ts";
import { apiRoutes, type Explainer } from "../observe/http/api_routes.ts";
import { pageRoutes } from "../observe/page/page_routes.ts";
import { healthRoutes, metricsRoutes } from "../observe/http/routes.ts";
import { serve } from "../observe/http/server.ts";
import type { Log } from "../observe/log.ts";
import { backendMetrics } from "../observe/metrics/backend_metrics.ts";
import { Exposition } from "../observe/metrics/exposition.ts";
import type { Metrics } from "../observe/metrics/metrics.ts";
import type { StatusSources } from "../observe/status/status.ts";

export interface ServersOptions {
  readonly config: ProxyConfig;
  readonly backend: Backend;
  readonly health: ProxyHealth;
  readonly metrics: Metrics;
  readonly status: StatusSources;
  readonly explainer: Explainer;
  readonly log: Log;
}

/** Serves health and metrics on the configured addresses until the signal aborts. */
export async function serveHealthAndMetrics(options: ServersOptions, signal: AbortSignal): Promise<void> {
  const { config, backend, health, metrics, status, explainer, log } = options;
  const { registry, serviceLevel } = metrics;
  const servers = [
    {
      name: "healthz",
      address: config.healthz,
      routes: healthRoutes(health, metrics.health),
      paths: "cleaned",
    },
    {
      name: "metrics",
      address: config.metrics,
      routes: {
        ...metricsRoutes({
          exposition: new Exposition({ registry, sources: [backendMetrics(backend)], log }),
          serviceLevel,
          serviceLevelExposition: new Exposition({ registry: serviceLevel.registry, sources: [], log }),
          document: config.document,
        }),
        ...apiRoutes(status, explainer),
        ...config.document.statusPage ? pageRoutes() : {},
      },
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
