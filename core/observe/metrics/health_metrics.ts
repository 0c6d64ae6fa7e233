import type { PromCounter, PromGauge } from "./registry/prom_client.ts";
import { addProcessStart } from "./process.ts";
import { alpha, MetricRegistry } from "./registry/registry.ts";

/** Answers of the health server, under kube-proxy's names. */
export class HealthMetrics {
  readonly #healthz: PromCounter<"code">;
  readonly #livez: PromCounter<"code">;

  constructor(registry: MetricRegistry) {
    this.#healthz = registry.counter(
      alpha("proxy_healthz_total", "Cumulative proxy healthz HTTP status"),
      "code",
    );
    this.#livez = registry.counter(alpha("proxy_livez_total", "Cumulative proxy livez HTTP status"), "code");
  }

  healthzAnswered(code: number): void {
    this.#healthz.inc({ code: String(code) });
  }

  livezAnswered(code: number): void {
    this.#livez.inc({ code: String(code) });
  }
}

/**
 * The metrics of /metrics/slis, under the names of k8s.io/component-base/metrics/prometheus/slis. As in kube-proxy they
 * are about the check "ping" of /healthz on the metrics server.
 */
export class ServiceLevelMetrics {
  readonly registry = new MetricRegistry();
  readonly #last: PromGauge<"name" | "type">;
  readonly #total: PromCounter<"name" | "type" | "status">;

  constructor() {
    this.#last = this.registry.gauge(
      {
        name: "kubernetes_healthcheck",
        help: "[STABLE] This metric records the result of a single healthcheck.",
      },
      "name",
      "type",
    );
    this.#total = this.registry.counter(
      {
        name: "kubernetes_healthchecks_total",
        help: "[STABLE] This metric records the results of all healthcheck.",
      },
      "name",
      "type",
      "status",
    );
    addProcessStart(this.registry, "[ALPHA] ");
  }

  /** Records that the check "ping" of /healthz succeeded, as it always does. */
  pinged(): void {
    const check = { name: "ping", type: "healthz" };
    this.#last.set(check, 1);
    this.#total.inc({ ...check, status: "success" });
  }

  /** Forgets all results (DELETE /metrics/slis). */
  reset(): void {
    this.#last.reset();
    this.#total.reset();
  }
}
