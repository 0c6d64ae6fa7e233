import type { WatchObserver } from "../../kube/api/reflector.ts";
import type { PromCounter } from "./registry/prom_client.ts";
import { alpha, type MetricRegistry } from "./registry/registry.ts";

/** Lists and watches of the API server, by collection. Not in kube-proxy. */
export class WatchMetrics implements WatchObserver {
  readonly #lists: PromCounter<"resource">;
  readonly #watches: PromCounter<"resource">;
  readonly #failures: PromCounter<"resource">;
  /** Seconds since the epoch. A map, because a large list has a hundred thousand events. */
  readonly #heard = new Map<string, number>();
  readonly #waiting = new Set<string>();
  readonly #now: () => number;

  /** @param now returns milliseconds since the epoch. */
  constructor(registry: MetricRegistry, now: () => number) {
    this.#now = now;
    this.#lists = registry.counter(
      alpha("api_lists_total", "Cumulative complete lists of a collection"),
      "resource",
    );
    this.#watches = registry.counter(
      alpha("api_watches_total", "Cumulative watches of a collection that the API server accepted"),
      "resource",
    );
    this.#failures = registry.counter(
      alpha("api_watch_failures_total", "Cumulative lists and watches of a collection that failed or broke"),
      "resource",
    );
    registry.readGauge(
      alpha(
        "api_last_event_timestamp_seconds",
        "The last time that the API server sent an event or a bookmark of a collection",
      ),
      ["resource"],
      () => [...this.#heard].map(([resource, value]) => ({ labels: [resource], value })),
    );
  }

  started(resource: string): void {
    this.#lists.inc({ resource }, 0);
    this.#watches.inc({ resource }, 0);
    this.#failures.inc({ resource }, 0);
  }

  listed(resource: string): void {
    this.#lists.inc({ resource });
  }

  watching(resource: string): void {
    this.#watches.inc({ resource });
  }

  failed(resource: string): void {
    this.#failures.inc({ resource });
  }

  waiting(resource: string, isWaiting: boolean): void {
    if (isWaiting) this.#waiting.add(resource);
    else this.#waiting.delete(resource);
  }

  /** Number of collections that wait for their next list or watch. */
  get retrying(): number {
    return this.#waiting.size;
  }

  heard(resource: string): void {
    this.#heard.set(resource, this.#now() / 1000);
  }
}
