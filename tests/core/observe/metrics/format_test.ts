import assert from "node:assert/strict";
import { negotiateFormat } from "../../../../core/observe/metrics/exposition/format.ts";

Deno.test("the answer has the format that the scraper prefers", () => {
  const protobuf =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.8";
  const cases: readonly (readonly [accept: string, expected: string])[] = [
    ["", "text"],
    ["*/*", "text"],
    ["text/html,*/*;q=0.5", "text"],
    ["text/plain;version=0.0.4", "text"],
    ["application/json", "text"],
    // Prometheus 2.42, without and with --enable-feature=native-histograms.
    [
      "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75," +
      "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
      "openmetrics",
    ],
    [
      "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited," +
      "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
      "protobuf",
    ],
    // Prometheus 3, which escapes names that this program does not have.
    [
      "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," +
      "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4," +
      "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
      "openmetrics",
    ],
    [`text/plain;q=0.5, ${protobuf}`, "protobuf"],
    [`text/plain;q=0.9, ${protobuf}`, "text"],
    [`${protobuf.replace("delimited", "text")}, application/openmetrics-text; q=0.1`, "openmetrics"],
    ["application/openmetrics-text; version=2.0.0, text/plain", "text"],
    ["application/openmetrics-text; q=0, */*; q=nonsense", "text"],
    [";;==,q=1;q", "text"],
  ];
  for (const [accept, expected] of cases) assert.equal(negotiateFormat(accept), expected, accept);
});
