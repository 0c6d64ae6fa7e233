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

export interface PrometheusOptions {
  /** Path of a rule file. */
  readonly rules?: string;
  /** Job that the proxy is scraped as. */
  readonly job?: string;
  readonly port?: number;
  /** Flags besides those that every test needs. */
  readonly flags?: readonly string[];
}

/**
 * Debian's Prometheus in the network namespace of this process. It scrapes the proxy there every second, and evaluates
 * a rule file.
 */
export class Prometheus implements AsyncDisposable {
  readonly #directory = Deno.makeTempDirSync({ prefix: "prometheus-" });
  readonly #address: string;
  readonly #job: string;
  readonly #process: Deno.ChildProcess;
  readonly #logged: Promise<string>;

  constructor({ rules, job = "proxy", port = 9090, flags = [] }: PrometheusOptions = {}) {
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
    const args = [
      `--config.file=${config}`,
      `--storage.tsdb.path=${this.#directory}/data`,
      `--web.listen-address=${this.#address}`,
      ...flags,
    ];
    this.#process = new Deno.Command("prometheus", { args, stdout: "null", stderr: "piped" }).spawn();
    this.#logged = new Response(this.#process.stderr).text();
  }

  /** Waits until it answers and has scraped the proxy. */
  async scrapes(): Promise<void> {
    const hasScraped = async () =>
      (await this.query(`up{job="${this.#job}"} == 1`).catch(() => [])).length > 0;
    await until(hasScraped, "Prometheus has scraped the proxy", 30_000 * slowness);
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
    await this.#logged;
    Deno.removeSync(this.#directory, { recursive: true });
  }

  async #get<Data>(path: string): Promise<Data> {
    const response = await fetch(`http://${this.#address}/api/v1/${path}`, {
      signal: AbortSignal.timeout(10_000),
    });
    const { data, error }: { data: Data; error?: string } = await response.json();
    if (error !== undefined) throw new Error(`${path}: ${error}`);
    return data;
  }
}
