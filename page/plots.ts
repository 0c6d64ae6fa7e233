import uPlot from "uplot";
import { readableNumber, readableSeconds } from "../core/observe/status/readable.ts";
import type { HistoryBucket } from "../core/observe/status/history.ts";
import type { Status } from "../core/observe/status/status.ts";
import { byId, element } from "./dom.ts";

const HOUR_SECONDS = 3600;
/** A process that is younger than an hour fills the plot with what there is, but with no less than this. */
const MIN_SECONDS = 300;
const HEIGHT = 140;

interface Measure {
  readonly title: string;
  readonly valueOf: (bucket: HistoryBucket) => number | undefined;
  readonly format: (value: number) => string;
}

const measures: readonly Measure[] = [
  { title: "Longest sync", valueOf: ({ syncSeconds }) => syncSeconds, format: readableSeconds },
  { title: "Latency", valueOf: ({ lagSeconds }) => lagSeconds, format: readableSeconds },
  { title: "Changes per 10 s", valueOf: ({ changes }) => changes, format: readableNumber },
];

/** Plots of the last hour, one per measure. */
export class Plots {
  #plots: readonly OnePlot[] = [];

  constructor() {
    this.#draw();
    // Colours are drawn on a canvas, which the style sheet does not reach.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    addEventListener("resize", () => this.#fit());
  }

  show({ history, now, startedAt }: Status): void {
    const end = Date.parse(now) / 1000;
    const age = end - Date.parse(startedAt) / 1000;
    const start = end - Math.min(HOUR_SECONDS, Math.max(MIN_SECONDS, age));
    for (const plot of this.#plots) plot.show(history.buckets, start, end);
  }

  #draw(): void {
    byId("plots").replaceChildren();
    this.#plots = measures.map((measure) => new OnePlot(measure));
    // The frames have their widths only when all of them are there.
    this.#fit();
  }

  #fit(): void {
    for (const plot of this.#plots) plot.fit();
  }
}

class OnePlot {
  readonly #measure: Measure;
  readonly #plot: uPlot;
  readonly #frame: HTMLElement;
  readonly #note: HTMLElement;
  #summary = "";

  constructor(measure: Measure) {
    this.#measure = measure;
    this.#note = element("p");
    this.#frame = element(
      "figure",
      { class: "plot", "aria-label": measure.title },
      element("header", {}, element("h3", {}, measure.title), this.#note),
    );
    byId("plots").append(this.#frame);
    this.#plot = new uPlot(this.#options(), [[], []], this.#frame);
  }

  fit(): void {
    this.#plot.setSize({ width: this.#width, height: HEIGHT });
  }

  /** Shows the buckets between two times in seconds since the epoch. */
  show(buckets: readonly HistoryBucket[], start: number, end: number): void {
    const { valueOf, format } = this.#measure;
    const values = buckets.map((bucket) => valueOf(bucket) ?? null);
    this.#plot.setData([buckets.map(({ at }) => at), values], false);
    const known = values.filter((value) => value !== null);
    const top = Math.max(...known, 0);
    this.#plot.setScale("x", { min: start, max: end + 10 });
    this.#plot.setScale("y", { min: 0, max: top === 0 ? 1 : top * 1.15 });
    this.#summary = known.length === 0
      ? "nothing yet"
      : `last ${format(known.at(-1) ?? 0)}, max ${format(top)}`;
    if (this.#plot.cursor.idx === null || this.#plot.cursor.idx === undefined) {
      this.#note.textContent = this.#summary;
    }
  }

  get #width(): number {
    return Math.max(200, this.#frame.clientWidth - 24);
  }

  #options(): uPlot.Options {
    const style = getComputedStyle(document.documentElement);
    const [accent, muted, line] = ["--accent", "--muted", "--line"].map((name) =>
      style.getPropertyValue(name)
    );
    const axis = {
      stroke: muted ?? "gray",
      font: "12px system-ui, sans-serif",
      grid: { stroke: line ?? "gray", width: 1 },
      ticks: { show: false },
    };
    const { format } = this.#measure;
    const { bars } = uPlot.paths;
    return {
      width: this.#width,
      height: HEIGHT,
      legend: { show: false },
      padding: [8, 4, 0, 0],
      cursor: { y: false, drag: { setScale: false }, points: { show: false } },
      scales: { x: { time: true, auto: false }, y: { auto: false } },
      series: [{}, {
        stroke: accent ?? "blue",
        fill: accent ?? "blue",
        points: { show: false },
        ...(bars === undefined ? {} : { paths: bars({ size: [1, 6, 2], align: 1 }) }),
      }],
      axes: [
        {
          ...axis,
          size: 28,
          space: 60,
          incrs: [60, 120, 300, 600, 1200],
          values: (_, splits) => splits.map(clock),
        },
        {
          ...axis,
          size: 62,
          space: 32,
          values: (_, splits) => splits.map((value) => value === 0 ? "0" : format(value)),
        },
      ],
      hooks: { setCursor: [(plot) => this.#tell(plot)] },
    };
  }

  /** Names the bucket under the pointer. */
  #tell({ data, cursor: { idx } }: uPlot): void {
    const at = idx === null || idx === undefined ? undefined : data[0][idx];
    const value = idx === null || idx === undefined ? undefined : data[1]?.[idx];
    this.#note.textContent = at === undefined || value === undefined || value === null
      ? this.#summary
      : `${clock(at, true)}: ${this.#measure.format(value)}`;
  }
}

function clock(seconds: number, withSeconds: unknown = false): string {
  const time = new Date(seconds * 1000).toTimeString();
  return time.slice(0, withSeconds === true ? 8 : 5);
}
