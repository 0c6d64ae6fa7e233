import { milliseconds, percentile } from "../report.ts";
import type { Measurements } from "./comparison.ts";

/** Selects the samples of one kind. */
export type Samples = (measurements: Measurements) => readonly number[];

/** Result of a comparison of kube-proxy with this proxy. */
export class Summary {
  readonly #kubeProxy: Measurements;
  readonly #proxy: Measurements;
  readonly #limitMs: number;

  /** @param limitMs time limit of the comparison; longer times are recorded as Infinity. */
  constructor(
    [kubeProxy, proxy]: readonly [kubeProxy: Measurements, proxy: Measurements],
    limitMs: number,
  ) {
    this.#kubeProxy = kubeProxy;
    this.#proxy = proxy;
    this.#limitMs = limitMs;
  }

  /** Value of kube-proxy divided by that of this proxy; a lower bound if kube-proxy reached the time limit. */
  ratio(samples: Samples, share = 0.5): number {
    const kubeProxy = Math.min(percentile(samples(this.#kubeProxy), share), this.#limitMs);
    return kubeProxy / percentile(samples(this.#proxy), share);
  }

  /** The ratio as text: "> " marks a lower bound; "" if it was not measured. */
  formatRatio(samples: Samples, share = 0.5): string {
    const ratio = this.ratio(samples, share);
    if (Number.isNaN(ratio)) return "";
    const isLowerBound = percentile(samples(this.#kubeProxy), share) === Infinity;
    return `${isLowerBound ? "> " : ""}${ratio.toFixed(1)}`;
  }

  /** Markdown table with a column per subject and the ratio. */
  table(): string {
    return [
      `| | ${this.#kubeProxy.name} | ${this.#proxy.name} | ratio |`,
      "|---|---|---|---|",
      this.#row("process start to everything in force, median", (m) => m.first, 0.5),
      this.#row("CPU time until 6 s after that, with child processes, median", (m) => m.cpu, 0.5),
      this.#row("restart: process start to a change made meanwhile in force, median", (m) => m.restart, 0.5),
      this.#row("one endpoint change, sent by the API server to seen by a packet, p50", (m) => m.change, 0.5),
      this.#row("the same, p99", (m) => m.change, 0.99),
      this.#row("resident memory at that point, median", (m) => m.resident, 0.5, megabytes),
      this.#row("peak memory with child processes, median", (m) => m.peak, 0.5, megabytes),
    ].join("\n");
  }

  #row(name: string, samples: Samples, share: number, format = milliseconds): string {
    const [kubeProxy, proxy] = [this.#kubeProxy, this.#proxy].map((measurements) => {
      const value = percentile(samples(measurements), share);
      if (Number.isNaN(value)) return "";
      return value === Infinity ? `> ${milliseconds(this.#limitMs)}` : format(value);
    });
    return `| ${name} | ${kubeProxy} | ${proxy} | ${this.formatRatio(samples, share)} |`;
  }
}

function megabytes(value: number): string {
  return `${value.toFixed(0)} MB`;
}
