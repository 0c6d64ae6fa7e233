/** A row of docs/metrics.md. */
export interface DocumentedMetric {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  /** Modes that alone have the metric; empty for all. */
  readonly modes: readonly string[];
}

/** Reads the tables of docs/metrics.md. */
export function documentedMetrics(): readonly DocumentedMetric[] {
  const page = Deno.readTextFileSync(new URL("../../../../docs/metrics.md", import.meta.url));
  const row = /^\| `([a-z_:]+)` \| (counter|gauge|histogram) \| ([^|]*)\| ([^|]*)\|$/gm;
  return [...page.matchAll(row)].map(([, name = "", type = "", labels = "", meaning = ""]) => ({
    name,
    type,
    labels: [...labels.matchAll(/`([a-z_]+)`/g)].map(([, label = ""]) => label),
    modes: [
      .../(?:^|, )modes? ([a-z, ]+?)(?: with |:)/.exec(meaning)?.[1]?.matchAll(
        /nftables|iptables|ipvs|ebpf|userspace/g,
      ) ?? [],
    ]
      .map(([mode]) => mode),
  }));
}

/** A metric of a scrape, with the labels of its first value; undefined without values. */
export interface ScrapedMetric {
  readonly type: string;
  readonly labels: readonly string[] | undefined;
}

/** Reads the text format. */
export function scrapedMetrics(text: string): ReadonlyMap<string, ScrapedMetric> {
  const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
  return new Map(types.map(([, name = "", type = ""]) => {
    const value = new RegExp(`^${name}(?:_bucket)?(?:\\{(.*)\\})? `, "m").exec(text);
    const labels = [...(value?.[1] ?? "").matchAll(/([a-z_]+)="/g)].map(([, label = ""]) => label);
    return [name, { type, labels: value === null ? undefined : labels.filter((label) => label !== "le") }];
  }));
}
