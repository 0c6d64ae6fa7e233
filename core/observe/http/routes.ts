import type { ConfigDocument } from "../../config/document/document.ts";
import type { ProxyHealth } from "../health/health.ts";
import type { Exposition } from "../metrics/exposition/exposition.ts";
import { CONTENT_TYPES, negotiateFormat } from "../metrics/exposition/format.ts";
import type { HealthMetrics, ServiceLevelMetrics } from "../metrics/health_metrics.ts";
import type { HttpRequest } from "./request.ts";
import type { Route } from "./server.ts";
import { json, text } from "./text.ts";

/**
 * Routes of the health server: for load balancers (/healthz) and the kubelet (/livez), docs/behaviour.md
 * §7.1.
 */
export function healthRoutes(health: ProxyHealth, metrics: HealthMetrics): Readonly<Record<string, Route>> {
  return {
    "/healthz": () => {
      const { ok, body } = health.healthz();
      const status = ok ? 200 : 503;
      metrics.healthzAnswered(status);
      return json(body, status);
    },
    "/livez": () => {
      const { ok, body } = health.livez();
      const status = ok ? 200 : 503;
      metrics.livezAnswered(status);
      return json(body, status);
    },
  };
}

export interface MetricsRoutesOptions {
  readonly exposition: Exposition;
  readonly serviceLevel: ServiceLevelMetrics;
  /** The metrics of `serviceLevel`. */
  readonly serviceLevelExposition: Exposition;
  readonly document: ConfigDocument;
}

/** Routes of the metrics server: for Prometheus and for people on the node, docs/behaviour.md §9.6. */
export function metricsRoutes(options: MetricsRoutesOptions): Readonly<Record<string, Route>> {
  const { exposition, serviceLevel, serviceLevelExposition, document } = options;
  return {
    "/healthz": () => {
      serviceLevel.pinged();
      return text("ok");
    },
    "/healthz/ping": () => text("ok"),
    "/metrics": (request) => expose(exposition, request),
    "/metrics/slis": (request) => {
      if (request.method !== "DELETE") return expose(serviceLevelExposition, request);
      serviceLevel.reset();
      return text("metrics reset\n");
    },
    "/proxyMode": () => text(document.mode),
    "/configz": () => json({ "kubeproxy.config.k8s.io": document }),
  };
}

async function expose(exposition: Exposition, { accept }: HttpRequest): Promise<Response> {
  const format = negotiateFormat(accept);
  const headers = {
    "content-type": CONTENT_TYPES[format],
    // Lets a scraper tell a restart (promhttp of client_golang).
    "process-start-time-unix": String(Math.round(performance.timeOrigin / 1000)),
  };
  return new Response(await exposition.body(format), { headers });
}
