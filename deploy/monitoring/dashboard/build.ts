import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  BigValueGraphMode,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  ReduceDataOptionsBuilder,
  SortOrder,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from "@grafana/grafana-foundation-sdk/common";
import {
  type Panel as PanelModel,
  type Threshold,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder } from "@grafana/grafana-foundation-sdk/prometheus";
import { PanelBuilder as StatBuilder } from "@grafana/grafana-foundation-sdk/stat";
import { PanelBuilder as PlotBuilder } from "@grafana/grafana-foundation-sdk/timeseries";
import type { Panel } from "./panel.ts";

/** The Prometheus that the variable of the dashboard selects. */
export const datasource = { type: "prometheus", uid: "${datasource}" };

/** @param id unique in the dashboard, from 1. */
export function buildPanel(panel: Panel, id: number): Builder<PanelModel> {
  const builder = panel.kind === "stat" ? stat(panel) : plot(panel);
  return builder.id(id).title(panel.title).description(panel.description).datasource(datasource)
    .unit(panel.unit);
}

function stat(panel: Panel): StatBuilder {
  const builder = new StatBuilder().thresholds(thresholds(panel)).graphMode(BigValueGraphMode.None)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(["lastNotNull"])).span(4).height(4);
  for (const target of targets(panel)) builder.withTarget(target.instant());
  return builder;
}

function plot(panel: Panel): PlotBuilder {
  const builder = new PlotBuilder().min(0).fillOpacity(10).span(8).height(8)
    .legend(new VizLegendOptionsBuilder().showLegend(true).calcs([]))
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending));
  if (panel.limits !== undefined) {
    const style = new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed);
    builder.thresholds(thresholds(panel)).thresholdsStyle(style);
  }
  for (const target of targets(panel)) builder.withTarget(target);
  return builder;
}

function targets({ queries }: Panel): DataqueryBuilder[] {
  return queries.map(({ expr, legend }, index) =>
    new DataqueryBuilder().refId(String.fromCharCode("A".charCodeAt(0) + index)).expr(expr).legendFormat(
      legend,
    )
  );
}

function thresholds({ limits }: Panel): ThresholdsConfigBuilder {
  const steps: Threshold[] = [{ value: null, color: limits === undefined ? "text" : "green" }];
  if (limits?.warning !== undefined) steps.push({ value: limits.warning, color: "yellow" });
  if (limits?.critical !== undefined) steps.push({ value: limits.critical, color: "red" });
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps);
}
