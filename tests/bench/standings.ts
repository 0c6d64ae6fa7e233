import type { Measurements } from "./contest.ts";
import { milliseconds, percentile } from "./report.ts";

/** Those of one kind. */
export type Samples = (of: Measurements) => readonly number[];

/** The results of a contest: ours held against theirs. */
export class Standings {
  readonly #theirs: Measurements;
  readonly #ours: Measurements;
  readonly #limitMs: number;

  /** @param limitMs what took longer was not waited for. */
  constructor([theirs, ours]: readonly [Measurements, Measurements], limitMs: number) {
    this.#theirs = theirs;
    this.#ours = ours;
    this.#limitMs = limitMs;
  }

  /** Theirs for each millisecond or megabyte of ours; at least that, when theirs hit the limit. */
  ratio(samples: Samples, share = 0.5): number {
    const theirs = Math.min(percentile(samples(this.#theirs), share), this.#limitMs);
    return theirs / percentile(samples(this.#ours), share);
  }

  ratioInWords(samples: Samples, share = 0.5): string {
    const ratio = this.ratio(samples, share);
    if (Number.isNaN(ratio)) return "";
    return `${percentile(samples(this.#theirs), share) === Infinity ? "> " : ""}${ratio.toFixed(1)}`;
  }

  /** Markdown: a column for each, and the ratio. */
  table(): string {
    return [
      `| | ${this.#theirs.name} | ${this.#ours.name} | ratio |`,
      "|---|---|---|---|",
      this.#row("process start to everything in force, median", (m) => m.first, 0.5),
      this.#row("CPU time until 6 s after that, with child processes, median", (m) => m.cpu, 0.5),
      this.#row("restart: process start to a change made meanwhile in force, median", (m) => m.restart, 0.5),
      this.#row("one endpoint change, sent by the API server to seen by a packet, p50", (m) => m.change, 0.5),
      this.#row("the same, p99", (m) => m.change, 0.99),
      this.#row("resident then, median", (m) => m.resident, 0.5, megabytes),
      this.#row("peak with child processes, median", (m) => m.peak, 0.5, megabytes),
    ].join("\n");
  }

  #row(what: string, samples: Samples, share: number, shown = milliseconds): string {
    const [theirs, ours] = [this.#theirs, this.#ours].map((of) => {
      const value = percentile(samples(of), share);
      if (Number.isNaN(value)) return "";
      return value === Infinity ? `> ${milliseconds(this.#limitMs)}` : shown(value);
    });
    return `| ${what} | ${theirs} | ${ours} | ${this.ratioInWords(samples, share)} |`;
  }
}

function megabytes(value: number): string {
  return `${value.toFixed(0)} MB`;
}
