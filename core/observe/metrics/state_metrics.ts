import { alpha, type MetricRegistry } from "./registry/registry.ts";

/** Sources of the values at the moment of a scrape. */
export interface State {
  /** Known objects by kind. */
  readonly objects: () => Readonly<Record<string, number>>;
  /** Service ports in force. */
  readonly servicePorts: () => number;
  /** Retries that are to come, by what was tried. */
  readonly retries: () => Readonly<Record<string, number>>;
}

/** Adds the numbers of known objects and of waiting retries. Not in kube-proxy. */
export function addStateMetrics(registry: MetricRegistry, { objects, servicePorts, retries }: State): void {
  const byLabel = (read: () => Readonly<Record<string, number>>) => () =>
    Object.entries(read()).map(([label, value]) => ({ labels: [label], value }));
  registry.readGauge(alpha("objects", "Number of known objects by kind"), ["kind"], byLabel(objects));
  registry.readGauge(
    alpha("service_ports", "Number of service ports in force, each family counted"),
    [],
    () => [{ labels: [], value: servicePorts() }],
  );
  registry.readGauge(
    alpha("retries_waiting", "Number of retries that are to come, by what is tried again"),
    ["what"],
    byLabel(retries),
  );
}
