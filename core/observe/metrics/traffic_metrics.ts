import type { MetricSource } from "./exposition.ts";
import type { PromMetric } from "./prom_client.ts";
import { alpha, sampledCounter } from "./registry.ts";
import { REFUSAL_REASONS, type ServiceTraffic, type TrafficCounters } from "../../backend/traffic.ts";
import type { Shared } from "../status/shared.ts";
import { type PlanKey, serviceNameOf, type ServicePortPlan } from "../../plan/plan.ts";

/** Where the traffic metrics come from. */
export interface TrafficSource {
  /** The plans in force. */
  plans(): ReadonlyMap<PlanKey, ServicePortPlan>;
  /** Reads the counters from the kernel. */
  readonly counters: Pick<Shared<TrafficCounters>, "get">;
}

/** The metrics of traffic, read anew for each scrape. */
export function trafficMetrics(source: TrafficSource, maxServices: number): MetricSource {
  const metrics = new TrafficMetrics(maxServices);
  return {
    name: "traffic",
    async read() {
      return metrics.of(await source.counters.get(), source.plans());
    },
  };
}

/** Label `service` of the services without metrics of their own. Their label `namespace` is empty. */
const OTHER = "other";

const LABELS = ["namespace", "service", "port_name", "protocol", "ip_family", "frontend"];

/** Metrics by service, and the labels that each has besides `LABELS`. */
const METRICS = {
  connections: {
    name: "service_connections_total",
    help: "New connections that were sent to an endpoint; for UDP, new flows",
    labels: [],
  },
  packets: {
    name: "service_packets_total",
    help: "Packets of connections to services",
    labels: ["direction"],
  },
  bytes: {
    name: "service_bytes_total",
    help: "Bytes of the packets of connections to services",
    labels: ["direction"],
  },
  refused: {
    name: "service_refused_packets_total",
    help: "Rejected and dropped packets of new connections to services",
    labels: ["reason"],
  },
} as const;

type MetricName = keyof typeof METRICS;

/** One value of a service port at its frontends of one kind. */
interface Sample {
  readonly metric: MetricName;
  readonly service: string;
  /** Identifies the sample among all samples. */
  readonly id: string;
  readonly labels: readonly string[];
  readonly value: number;
}

/** Turns the traffic counters into metrics of limited number. */
export class TrafficMetrics {
  readonly #maxServices: number;
  /** Values of the last reading, by sample. Empty while there are not more Services than may have metrics. */
  #last: ReadonlyMap<string, number> = new Map();
  /** Sums over the services without metrics of their own, by metric and labels. */
  readonly #others = new Map<string, { metric: MetricName; labels: readonly string[]; value: number }>();

  /**
   * @param maxServices number of Services with metrics of their own: those with the most connections. The others are
   * added up.
   */
  constructor(maxServices: number) {
    this.#maxServices = maxServices;
  }

  /** @param plans the plans in force. */
  of(
    { services, unallocated }: TrafficCounters,
    plans: ReadonlyMap<PlanKey, ServicePortPlan>,
  ): readonly PromMetric[] {
    const samples = services.flatMap((traffic) => samplesOf(traffic, plans.get(traffic.key)));
    const busiest = busiestServices(samples, this.#maxServices);
    const own = samples.filter(({ service }) => busiest === undefined || busiest.has(service));
    if (busiest !== undefined) {
      this.#addOthers(samples.filter(({ service }) => !busiest.has(service)));
      this.#last = new Map(samples.map(({ id, value }) => [id, value]));
    } else this.#last = new Map();
    const all = [...own, ...this.#others.values()];
    const byService = (Object.keys(METRICS) as MetricName[]).map((metricName) => {
      const { name, help, labels } = METRICS[metricName];
      const own = all.filter(({ metric }) => metric === metricName);
      return sampledCounter(alpha(name, help), [...LABELS, ...labels], () => own);
    });
    return [...byService, unallocatedMetric(unallocated)];
  }

  /**
   * Adds what has come since the last reading. A sum of the counters themselves would decrease whenever one of the
   * services becomes one of the busiest, and Prometheus would take that for a restart.
   */
  #addOthers(samples: readonly Sample[]): void {
    for (const { id, metric, labels, value } of samples) {
      const anonymous = ["", OTHER, "", ...labels.slice(3)];
      const key = [metric, ...anonymous].join("/");
      const sum = this.#others.get(key) ?? { metric, labels: anonymous, value: 0 };
      const last = this.#last.get(id) ?? 0;
      sum.value += value < last ? value : value - last;
      this.#others.set(key, sum);
    }
  }
}

function samplesOf(traffic: ServiceTraffic, plan: ServicePortPlan | undefined): readonly Sample[] {
  if (plan === undefined) return [];
  const { key, frontend = "", connections, toEndpoints, fromEndpoints, refused } = traffic;
  const identity = [plan.namespace, plan.name, plan.portName, plan.protocol, plan.family, frontend];
  const samples: Sample[] = [];
  const add = (metric: MetricName, value: number | undefined, ...labels: readonly string[]) => {
    if (value === undefined) return;
    const id = [metric, key, frontend, ...labels].join("/");
    samples.push({ metric, service: serviceNameOf(key), id, labels: [...identity, ...labels], value });
  };
  add("connections", connections);
  add("packets", toEndpoints?.packets, "to_endpoint");
  add("packets", fromEndpoints?.packets, "from_endpoint");
  add("bytes", toEndpoints?.bytes, "to_endpoint");
  add("bytes", fromEndpoints?.bytes, "from_endpoint");
  for (const reason of REFUSAL_REASONS) add("refused", refused[reason], reason.replaceAll("-", "_"));
  return samples;
}

/** The Services with the most connections; undefined if there are not more than `max`. */
function busiestServices(samples: readonly Sample[], max: number): ReadonlySet<string> | undefined {
  const connections = new Map<string, number>();
  for (const { metric, service, value } of samples) {
    connections.set(service, (connections.get(service) ?? 0) + (metric === "connections" ? value : 0));
  }
  if (connections.size <= max) return undefined;
  const sorted = [...connections].sort(([a, some], [b, others]) => others - some || (a < b ? -1 : 1));
  return new Set(sorted.slice(0, max).map(([service]) => service));
}

function unallocatedMetric(unallocated: TrafficCounters["unallocated"]): PromMetric {
  const help = "Dropped packets of new connections to addresses in a service range that no service has";
  const samples = Object.entries(unallocated).map(([family, value]) => ({ labels: [family], value }));
  return sampledCounter(
    alpha("unallocated_address_dropped_packets_total", help),
    ["ip_family"],
    () => samples,
  );
}
