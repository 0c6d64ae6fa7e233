import { firstInOrder } from "../../async/first_in_order.ts";
import { eachInTurns } from "../../async/turns.ts";
import type { MetricSource } from "./exposition/exposition.ts";
import type { PromMetric } from "./registry/prom_client.ts";
import { alpha, type Sample, sampledCounter } from "./registry/registry.ts";
import {
  REFUSAL_REASONS,
  refusedPackets,
  type ServiceTraffic,
  type TrafficCounters,
} from "../../backend/traffic.ts";
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
      return await metrics.of(await source.counters.get(), source.plans());
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

/** The values of a service port at its frontends of one kind, with the label that each has besides `LABELS`. */
const VALUES: readonly {
  readonly metric: MetricName;
  readonly label: readonly string[];
  readonly of: (traffic: ServiceTraffic) => number | undefined;
}[] = [
  { metric: "connections", label: [], of: ({ connections }) => connections },
  { metric: "packets", label: ["to_endpoint"], of: ({ toEndpoints }) => toEndpoints?.packets },
  { metric: "packets", label: ["from_endpoint"], of: ({ fromEndpoints }) => fromEndpoints?.packets },
  { metric: "bytes", label: ["to_endpoint"], of: ({ toEndpoints }) => toEndpoints?.bytes },
  { metric: "bytes", label: ["from_endpoint"], of: ({ fromEndpoints }) => fromEndpoints?.bytes },
  ...REFUSAL_REASONS.map((reason) => ({
    metric: "refused" as const,
    label: [reason.replaceAll("-", "_")],
    of: ({ refused }: ServiceTraffic) => refused[reason],
  })),
];

/** One number per entry of VALUES. */
type Values = readonly (number | undefined)[];

/** Turns the traffic counters into metrics of limited number. */
class TrafficMetrics {
  readonly #maxServices: number;
  /**
   * Values of the last reading; undefined before the first one with values. Kept even while every Service has metrics
   * of its own, so that the connections of a Service that loses them are not counted again as those of the others.
   */
  #last: ReadonlyMap<string, Values> | undefined;
  /** Sums over the services without metrics of their own, by their labels. */
  readonly #others = new Map<
    string,
    { readonly identity: readonly string[]; readonly sums: (number | undefined)[] }
  >();

  /**
   * @param maxServices number of Services with metrics of their own: those with the most connections and refused
   * packets. The others are added up.
   */
  constructor(maxServices: number) {
    this.#maxServices = maxServices;
  }

  /** @param plans the plans in force. */
  async of(
    { services, unallocated }: TrafficCounters,
    plans: ReadonlyMap<PlanKey, ServicePortPlan>,
  ): Promise<readonly PromMetric[]> {
    const inForce = services.filter(({ key }) => plans.has(key));
    const busiest = await busiestServices(inForce, this.#maxServices);
    const samples = new Map(METRIC_NAMES.map((name) => [name, [] as Sample[]]));
    const last = new Map<string, Values>();
    // There may be ten thousand services, so labels are made for those with metrics of their own only.
    await eachInTurns(inForce, (traffic) => {
      const plan = plans.get(traffic.key);
      if (plan === undefined) return;
      const values = VALUES.map(({ of }) => of(traffic));
      last.set(idOf(traffic), values);
      if (busiest !== undefined && !busiest.has(serviceNameOf(traffic.key))) {
        this.#addToOthers(traffic, plan, values);
      } else {
        const { namespace, name, portName, protocol, family } = plan;
        addSamples(samples, [namespace, name, portName, protocol, family, traffic.frontend ?? ""], values);
      }
    });
    if (last.size > 0) this.#last = last;
    for (const { identity, sums } of this.#others.values()) addSamples(samples, identity, sums);
    const byService = METRIC_NAMES.map((metric) => {
      const { name, help, labels } = METRICS[metric];
      const own = samples.get(metric) ?? [];
      return sampledCounter(alpha(name, help), [...LABELS, ...labels], () => own);
    });
    return [...byService, unallocatedMetric(unallocated)];
  }

  /**
   * Adds what has come since the last reading. A sum of the counters themselves would decrease whenever one of the
   * services becomes one of the busiest, and Prometheus would take that for a restart. The first reading adds nothing,
   * because the counters may be older than this process.
   */
  #addToOthers(traffic: ServiceTraffic, { protocol, family }: ServicePortPlan, values: Values): void {
    const { frontend = "" } = traffic;
    const key = `${protocol} ${family} ${frontend}`;
    let others = this.#others.get(key);
    if (others === undefined) {
      others = { identity: ["", OTHER, "", protocol, family, frontend], sums: [] };
      this.#others.set(key, others);
    }
    // A service that the last reading did not have has had no traffic until then.
    const last = this.#last === undefined ? values : this.#last.get(idOf(traffic));
    for (const [index, value] of values.entries()) {
      if (value === undefined) continue;
      const before = last?.[index] ?? 0;
      others.sums[index] = (others.sums[index] ?? 0) + (value < before ? value : value - before);
    }
  }
}

const METRIC_NAMES = Object.keys(METRICS) as MetricName[];

function idOf({ key, frontend }: ServiceTraffic): string {
  return `${key} ${frontend}`;
}

function addSamples(
  samples: ReadonlyMap<MetricName, Sample[]>,
  identity: readonly string[],
  values: Values,
): void {
  for (const [index, { metric, label }] of VALUES.entries()) {
    const value = values[index];
    if (value !== undefined) samples.get(metric)?.push({ labels: [...identity, ...label], value });
  }
}

/** The Services with the most connections and refused packets; undefined if there are not more than `max`. */
async function busiestServices(
  services: readonly ServiceTraffic[],
  max: number,
): Promise<ReadonlySet<string> | undefined> {
  const totals = new Map<string, number>();
  await eachInTurns(services, ({ key, connections, refused }) => {
    const service = serviceNameOf(key);
    totals.set(service, (totals.get(service) ?? 0) + connections + refusedPackets(refused));
  });
  if (totals.size <= max) return undefined;
  const busiest = await firstInOrder(
    totals,
    max,
    ([a, some], [b, others]) => others - some || (a < b ? -1 : 1),
  );
  return new Set(busiest.map(([service]) => service));
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
