import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  VariableRefresh,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { buildPanel, datasource } from "./build.ts";
import { overview } from "./overview.ts";
import type { Row } from "./panel.ts";
import { apiServer, foreignChanges, nodes } from "./surroundings.ts";
import { syncs } from "./syncs.ts";
import { traffic } from "./traffic.ts";

const rows: readonly Row[] = [overview, traffic, syncs, foreignChanges, apiServer, nodes];

/** The dashboard in Grafana's classic model, which Grafana 10 and later read. */
export function dashboard(): Dashboard {
  const builder = new DashboardBuilder("Proxy")
    .uid("service-proxy")
    .description("The service proxy of the nodes of a Kubernetes cluster (docs/operations.md#monitoring)")
    .tags(["kubernetes", "proxy"])
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: "now-1h", to: "now" })
    .refresh("30s")
    .withVariable(new DatasourceVariableBuilder("datasource").label("Data source").type("prometheus"))
    .withVariable(
      variable("job", "label_values(kubeproxy_sync_proxy_rules_duration_seconds_count, job)").label("Job"),
    )
    .withVariable(
      variable("instance", 'label_values(up{job="$job"}, instance)').label("Instance").multi(true)
        .includeAll(true).allValue(".*").current({ text: "All", value: "$__all" }),
    );
  let id = 1;
  for (const { title, panels } of rows) {
    builder.withRow(new RowBuilder(title).id(id++));
    for (const panel of panels) builder.withPanel(buildPanel(panel, id++));
  }
  return builder.build();
}

function variable(name: string, values: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name).query(values).datasource(datasource)
    .refresh(VariableRefresh.OnTimeRangeChanged);
}
