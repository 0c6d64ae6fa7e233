/** A panel as data, from which `dashboard.ts` builds Grafana's model. */
export interface Panel {
  readonly title: string;
  /** Tells an operator what the panel shows, and what is unusual. */
  readonly description: string;
  /** One number, or a plot over time. */
  readonly kind: "stat" | "plot";
  /** Unit in Grafana's spelling (`@grafana/grafana-foundation-sdk/units`). */
  readonly unit: string;
  readonly queries: readonly Query[];
  /** Values from which on the panel is yellow and red. */
  readonly limits?: { readonly warning?: number; readonly critical?: number };
}

export interface Query {
  /** In PromQL, with the variables of the dashboard and `$__rate_interval`. */
  readonly expr: string;
  /** Name of a series, such as `{{instance}}`. */
  readonly legend: string;
}

export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

export function query(legend: string, expr: string): Query {
  return { legend, expr };
}

/** Selects the series of the proxies that the variables of the dashboard name. */
export function series(metric: string, ...matchers: readonly string[]): string {
  return `${metric}{${['job="$job"', 'instance=~"$instance"', ...matchers].join(", ")}}`;
}

/** Sums the rate per second of a counter. */
export function rate(by: string, metric: string, ...matchers: readonly string[]): string {
  return `sum by (${by}) (rate(${series(metric, ...matchers)}[$__rate_interval]))`;
}

/** Sums the growth of a counter in the interval of a point, for events that are rare. */
export function increase(by: string, metric: string, ...matchers: readonly string[]): string {
  return `sum by (${by}) (increase(${series(metric, ...matchers)}[$__rate_interval]))`;
}

/** A quantile of a histogram, over all proxies. */
export function quantile(q: number, metric: string, by = ""): string {
  return `histogram_quantile(${q}, ${rate(["le", by].filter(Boolean).join(", "), `${metric}_bucket`)})`;
}
