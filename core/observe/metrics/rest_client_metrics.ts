import type { EndedRequest, ReadAnswer, RequestObserver } from "../../kube/api/transport.ts";
import type { Histogram } from "./registry/histogram.ts";
import type { PromCounter } from "./registry/prom_client.ts";
import type { MetricRegistry } from "./registry/registry.ts";

/** Buckets of k8s.io/component-base/metrics/prometheus/restclient. */
const DURATION_BUCKETS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];
/** 64 B to 16 MiB. */
const SIZE_BUCKETS = [64, 256, 512, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216];

/** Requests to the API server, under the names of client-go. */
export class RestClientMetrics implements RequestObserver {
  readonly #requests: PromCounter<"code" | "method" | "host">;
  readonly #durations: Histogram<"verb" | "host">;
  readonly #sizes: Histogram<"verb" | "host">;
  readonly #answerSizes: Histogram<"verb" | "host">;

  constructor(registry: MetricRegistry) {
    this.#durations = registry.histogram(
      {
        name: "rest_client_request_duration_seconds",
        help: "[ALPHA] Request latency in seconds. Broken down by verb, and host.",
      },
      DURATION_BUCKETS,
      "verb",
      "host",
    );
    this.#sizes = registry.histogram(
      {
        name: "rest_client_request_size_bytes",
        help: "[ALPHA] Request size in bytes. Broken down by verb and host.",
      },
      SIZE_BUCKETS,
      "verb",
      "host",
    );
    this.#answerSizes = registry.histogram(
      {
        name: "rest_client_response_size_bytes",
        help: "[ALPHA] Response size in bytes. Broken down by verb and host.",
      },
      SIZE_BUCKETS,
      "verb",
      "host",
    );
    this.#requests = registry.counter(
      {
        name: "rest_client_requests_total",
        help: "[ALPHA] Number of HTTP requests, partitioned by status code, method, and host.",
      },
      "code",
      "method",
      "host",
    );
  }

  requestEnded({ method, host, status, seconds, bytes }: EndedRequest): void {
    // client-go has the same word for a request without an answer.
    this.#requests.inc({ code: status === undefined ? "<error>" : String(status), method, host });
    this.#durations.observe({ verb: method, host }, seconds);
    if (bytes > 0) this.#sizes.observe({ verb: method, host }, bytes);
  }

  answerRead({ method, host, bytes }: ReadAnswer): void {
    this.#answerSizes.observe({ verb: method, host }, bytes);
  }
}
