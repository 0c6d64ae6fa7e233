import assert from "node:assert/strict";
import { backendMetricsText } from "../../../core/observe/metrics/backend.ts";

Deno.test("a mode's own metrics are marked and labelled as upstream's", () => {
  const text = backendMetricsText([
    {
      name: "dropped_total",
      help: "packets dropped",
      type: "counter",
      labels: [],
      samples: [{ labels: [], value: 3 }],
    },
    {
      name: "rules",
      help: "Number of rules",
      type: "gauge",
      labels: ["table", "ip_family"],
      samples: [{ labels: ["nat", "IPv4"], value: 7 }, { labels: ["filter", "IPv4"], value: 2 }],
    },
  ]);
  assert.equal(
    text,
    "# HELP kubeproxy_dropped_total [ALPHA] packets dropped\n" +
      "# TYPE kubeproxy_dropped_total counter\n" +
      "kubeproxy_dropped_total 3\n" +
      "# HELP kubeproxy_rules [ALPHA] Number of rules\n" +
      "# TYPE kubeproxy_rules gauge\n" +
      'kubeproxy_rules{table="nat",ip_family="IPv4"} 7\n' +
      'kubeproxy_rules{table="filter",ip_family="IPv4"} 2\n',
  );
});
