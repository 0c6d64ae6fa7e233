import type { Backend } from "../../backend/contract.ts";
import type { ProxyConfig } from "../../config/config.ts";
import { featureGates } from "../../config/feature_gates.ts";
import type { ProxyHealth } from "../../observe/health/health.ts";
import { apiRoutes, type Explainer } from "../../observe/http/api_routes.ts";
import { pageRoutes } from "../../observe/page/page_routes.ts";
import { debugFlagsRoutes } from "../../observe/http/debug_flags_routes.ts";
import { refusingForeignNames } from "../../observe/http/host_names.ts";
import { healthRoutes, metricsRoutes } from "../../observe/http/routes.ts";
import { profilingRoutes } from "../../observe/http/profiling_routes.ts";
import { type Route, serve } from "../../observe/http/server.ts";
import { zpageRoutes } from "../../observe/http/zpages.ts";
import type { Log } from "../../observe/log.ts";
import { backendMetrics } from "../../observe/metrics/backend_metrics.ts";
import { Exposition } from "../../observe/metrics/exposition/exposition.ts";
import type { Metrics } from "../../observe/metrics/metrics.ts";
import { trafficMetrics, type TrafficSource } from "../../observe/metrics/traffic_metrics.ts";
import type { StatusSources } from "../../observe/status/status.ts";

export interface ServersOptions {
  readonly config: ProxyConfig;
  readonly backend: Backend;
  readonly health: ProxyHealth;
  readonly metrics: Metrics;
  readonly traffic: TrafficSource;
  readonly status: StatusSources;
  readonly explainer: Explainer;
  readonly log: Log;
  /** Changes the verbosity of the log. */
  readonly setVerbosity: (verbosity: number) => void;
}

/** Serves health and metrics on the configured addresses until the signal aborts. */
export async function serveHealthAndMetrics(options: ServersOptions, signal: AbortSignal): Promise<void> {
  const { config, backend, health, metrics, traffic, status, explainer, log, setVerbosity } = options;
  const { registry, serviceLevel } = metrics;
  const sources = [backendMetrics(backend), trafficMetrics(traffic, config.trafficMetricsMaxServices)];
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
      routes: refusingForeignNames({
        ...withDebugPages(
          config,
          metricsRoutes({
            exposition: new Exposition({ registry, sources, log }),
            serviceLevel,
            serviceLevelExposition: new Exposition({ registry: serviceLevel.registry, sources: [], log }),
            document: config.document,
          }),
          setVerbosity,
        ),
        ...apiRoutes(status, explainer),
        ...config.document.statusPage ? pageRoutes() : {},
      }, status.node),
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

/** Adds /statusz, which lists the paths of kube-proxy, /flagz, and with `--profiling` profiles and /debug/flags. */
function withDebugPages(
  { document, modes, flags }: ProxyConfig,
  routes: Readonly<Record<string, Route>>,
  setVerbosity: ServersOptions["setVerbosity"],
): Readonly<Record<string, Route>> {
  const isOn = new Map(featureGates(document, modes).map(({ name, enabled }) => [name, enabled]));
  const zpages = zpageRoutes({
    hasStatusz: isOn.get("ComponentStatusz") === true,
    hasFlagz: isOn.get("ComponentFlagz") === true,
    flags,
    paths: Object.keys(routes),
  });
  const profiling = document.enableProfiling
    ? { ...profilingRoutes(), ...debugFlagsRoutes(setVerbosity) }
    : {};
  return { ...routes, ...zpages, ...profiling };
}
