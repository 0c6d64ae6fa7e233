import { query, rate, type Row } from "./panel.ts";

/** Limits a plot to the services with the highest values at each time. */
const busiest = (expr: string) => `topk(10, ${expr})`;

export const traffic: Row = {
  title: "Traffic",
  panels: [
    {
      title: "Connections, busiest Services",
      description:
        "New connections that were sent to an endpoint; for UDP, new flows. The Service other stands for all whose " +
        "nodes have more Services than --traffic-metrics-max-services.",
      kind: "plot",
      unit: "cps",
      queries: [
        query(
          "{{namespace}}/{{service}}",
          busiest(rate("namespace, service", "kubeproxy_service_connections_total")),
        ),
      ],
    },
    {
      title: "Connections by frontend",
      description: "By the kind of address that clients use.",
      kind: "plot",
      unit: "cps",
      queries: [query("{{frontend}}", rate("frontend", "kubeproxy_service_connections_total"))],
    },
    {
      title: "Refused packets",
      description:
        "Packets of new connections that were rejected or dropped. A client that repeats its attempt counts each time. " +
        "proxy explain NAMESPACE/SERVICE says what to do.",
      kind: "plot",
      unit: "pps",
      queries: [
        query(
          "{{namespace}}/{{service}} {{reason}}",
          busiest(rate("namespace, service, reason", "kubeproxy_service_refused_packets_total")),
        ),
        query(
          "unallocated address, {{instance}}",
          rate("instance", "kubeproxy_unallocated_address_dropped_packets_total"),
        ),
      ],
    },
    {
      title: "Throughput, busiest Services",
      description:
        "With --traffic-metrics=full, in modes that count packets (docs/traffic.md): length of the IP packets to the " +
        "endpoints and back.",
      kind: "plot",
      unit: "Bps",
      queries: [
        query(
          "{{namespace}}/{{service}} {{direction}}",
          busiest(rate("namespace, service, direction", "kubeproxy_service_bytes_total")),
        ),
      ],
    },
  ],
};
