import type { ConfigDocument } from "../../config/document/document.ts";
import { CONTENT_TYPE } from "../metrics/exposition.ts";
import type { ProxyHealth } from "../health/health.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Route } from "./server.ts";
import { json, text } from "./text.ts";

/**
 * Routes of the health server: for load balancers (/healthz) and the kubelet (/livez), docs/behaviour.md
 * §7.1.
 */
export function healthRoutes(health: ProxyHealth, metrics: Metrics): Readonly<Record<string, Route>> {
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

/**
 * Routes of the metrics server: for Prometheus and for people on the node, docs/behaviour.md §9.6.
 * @param sources each returns some of the metrics in the text format of Prometheus.
 */
export function metricsRoutes(
  sources: readonly (() => string | Promise<string>)[],
  document: ConfigDocument,
): Readonly<Record<string, Route>> {
  return {
    "/healthz": () => text("ok"),
    "/metrics": async () => {
      const texts = await Promise.all(sources.map((source) => source()));
      return new Response(texts.join(""), { headers: { "content-type": CONTENT_TYPE } });
    },
    "/proxyMode": () => text(document.mode),
    "/configz": () => json({ "kubeproxy.config.k8s.io": document }),
  };
}
