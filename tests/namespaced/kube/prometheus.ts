import { slowness } from "../../lab/pace.ts";
import { until } from "./proxy_process.ts";

/** A value at a time in seconds since the epoch, as the API of Prometheus has it. */
export type Sample = readonly [number, string];

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: Sample;
}

interface RuleState {
  readonly name: string;
  readonly health: string;
  readonly lastError?: string;
}

/** A network namespace, by how programs are started and addresses are requested in it. */
export interface Place {
  spawn(command: readonly string[]): Deno.ChildProcess;
  /** @returns the body of the answer */
  get(url: string): Promise<string>;
}

/** The network namespace of this process. */
const HERE: Place = {
  spawn: ([program = "", ...args]) =>
    new Deno.Command(program, { args, stdout: "null", stderr: "null" }).spawn(),
  async get(url) {
    return await (await fetch(url, { signal: AbortSignal.timeout(10_000) })).text();
  },
};

export interface PrometheusOptions {
  /** Path of a rule file. */
  readonly rules?: string;
  /** Job that the proxy is scraped as. */
  readonly job?: string;
  readonly port?: number;
  /** Flags besides those that every test needs. */
  readonly flags?: readonly string[];
  /** Network namespace; default: that of this process. */
  readonly place?: Place;
}

/** Time until each query has a result. */
const PATIENCE_MS = 40_000 * slowness;

/** Directory of the alerts and of the dashboard. */
export const monitoring = new URL("../../../deploy/monitoring/", import.meta.url).pathname;

interface Query {
  readonly title: string;
  readonly expr: string;
}

/** The queries of the dashboard, with values for its variables. Ten scrapes are in an interval. */
export function dashboardQueries(): readonly Query[] {
  const { panels }: {
    panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[];
  } = JSON.parse(Deno.readTextFileSync(`${monitoring}dashboard.json`));
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({
      title,
      expr: expr.replaceAll("$__rate_interval", "10s").replaceAll("$job", "proxy").replaceAll(
        "$instance",
        ".*",
      ),
    }))
  );
}

/** Debian's Prometheus in a network namespace. It scrapes the proxy there every second, and evaluates a rule file. */
export class Prometheus implements AsyncDisposable {
  readonly #directory = Deno.makeTempDirSync({ prefix: "prometheus-" });
  readonly #address: string;
  readonly #job: string;
  readonly #process: Deno.ChildProcess;
  readonly #place: Place;

  constructor({ rules, job = "proxy", port = 9090, flags = [], place = HERE }: PrometheusOptions = {}) {
    this.#place = place;
    this.#address = `127.0.0.1:${port}`;
    this.#job = job;
    const config = `${this.#directory}/prometheus.yaml`;
    Deno.writeTextFileSync(
      config,
      JSON.stringify({
        global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
        rule_files: rules === undefined ? [] : [rules],
        scrape_configs: [{ job_name: job, static_configs: [{ targets: ["127.0.0.1:10249"] }] }],
      }),
    );
    this.#process = place.spawn([
      "prometheus",
      `--config.file=${config}`,
      `--storage.tsdb.path=${this.#directory}/data`,
      `--web.listen-address=${this.#address}`,
      ...flags,
    ]);
  }

  /** Waits until it answers and has scraped the proxy. */
  async scrapes(): Promise<void> {
    const hasScraped = async () =>
      (await this.query(`up{job="${this.#job}"} == 1`).catch(() => [])).length > 0;
    await until(hasScraped, "Prometheus has scraped the proxy", 30_000 * slowness);
  }

  /** Waits until each query has had a number as its result. */
  async hasData(queries: readonly Query[]): Promise<void> {
    let without = queries;
    const answered = async () => {
      const results = await Promise.all(without.map(({ expr }) => this.query(expr)));
      without = without.filter((_, index) =>
        !results[index]?.some(({ value: [, value] }) => Number.isFinite(Number(value)))
      );
      return without.length === 0;
    };
    await until(answered, "data of every query", PATIENCE_MS, () => JSON.stringify(without, null, 2));
  }

  /** Evaluates a query now. @returns the series of the vector */
  async query(query: string): Promise<readonly Series[]> {
    const { result } = await this.#get<{ result: readonly Series[] }>(
      `query?${new URLSearchParams({ query })}`,
    );
    return result;
  }

  /** Results of the last evaluation of all alerts of the rule file. */
  async rules(): Promise<readonly RuleState[]> {
    const { groups } = await this.#get<{ groups: readonly { rules: readonly RuleState[] }[] }>("rules");
    return groups.flatMap(({ rules }) => rules);
  }

  /** Names of the alerts whose condition is true, whether their time has come or not. */
  async alerts(): Promise<readonly string[]> {
    const { alerts } = await this.#get<{ alerts: readonly { labels: { alertname: string } }[] }>("alerts");
    return alerts.map(({ labels }) => labels.alertname);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
    Deno.removeSync(this.#directory, { recursive: true });
  }

  async #get<Data>(path: string): Promise<Data> {
    const answer = await this.#place.get(`http://${this.#address}/api/v1/${path}`);
    const { data, error }: { data: Data; error?: string } = JSON.parse(answer);
    if (error !== undefined) throw new Error(`${path}: ${error}`);
    return data;
  }
}
