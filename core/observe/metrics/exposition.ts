import { Attempt, DeadlineError } from "../../async/attempt.ts";
import { delay } from "../../async/wakeup.ts";
import { yieldToEventLoop } from "../../async/yield.ts";
import { Mutex } from "../../async/mutex.ts";
import type { Log } from "../log.ts";
import { CONTENT_TYPES, type Format } from "./format.ts";
import { writeMetricFamily } from "./metric_family.ts";
import { type PromMetric, PromRegistry } from "./prom_client.ts";
import { ProtobufWriter } from "./protobuf_writer.ts";
import type { CollectedMetrics } from "./registry.ts";

/** Metrics that exist only at the moment of a scrape. */
export interface MetricSource {
  /** Name of the source in messages: "mode nftables". */
  readonly name: string;
  read(): Promise<readonly PromMetric[]>;
}

export interface ExpositionOptions {
  readonly registry: CollectedMetrics;
  readonly sources: readonly MetricSource[];
  readonly log: Log;
  /** Deadline for a source. */
  readonly sourceMs?: number;
}

export type Body = string | Uint8Array<ArrayBuffer>;

/** Prometheus waits 10 s by default. */
const SOURCE_MS = 5000;
/** The part of the time that expositions may use. */
const MAX_SHARE = 1 / 10;
const MAX_PAUSE_MS = 1000;
/** Time of the encoding before other work of the process has a turn. One metric is encoded in one go. */
const TURN_MS = 3;

/**
 * Makes the answers to scrapes. Scrapes that come while others wait share one answer, and making answers uses at most
 * 10 % of the time, so that any number of scrapers leaves the rest to the sync loop.
 */
export class Exposition {
  readonly #options: ExpositionOptions;
  readonly #turn = new Mutex();
  /** Answers that are not begun yet. */
  readonly #waiting = new Map<Format, Promise<Body>>();
  #restUntil = 0;

  constructor(options: ExpositionOptions) {
    this.#options = options;
  }

  /** All metrics at a moment after the call. When a source fails, the others are still there. */
  body(format: Format): Promise<Body> {
    let waiting = this.#waiting.get(format);
    if (waiting === undefined) {
      waiting = this.#turn.run(() => this.#make(format));
      this.#waiting.set(format, waiting);
    }
    return waiting;
  }

  async #make(format: Format): Promise<Body> {
    await delay(this.#restUntil - performance.now(), new AbortController().signal);
    this.#waiting.delete(format);
    const started = performance.now();
    const { registry, sources } = this.#options;
    const more = await Promise.all(sources.map((source) => this.#read(source)));
    const metrics = [...registry.metrics, ...more.flat()];
    const body = await encode({ ...registry, metrics }, format);
    const now = performance.now();
    this.#restUntil = now + Math.min((now - started) * (1 / MAX_SHARE - 1), MAX_PAUSE_MS);
    return body;
  }

  async #read({ name, read }: MetricSource): Promise<readonly PromMetric[]> {
    const { log, sourceMs = SOURCE_MS } = this.#options;
    try {
      using attempt = new Attempt(new AbortController().signal);
      attempt.within(sourceMs, () => new DeadlineError(`no result within ${sourceMs / 1000} s`));
      return await attempt.wait(read());
    } catch (error) {
      log.error("Reading metrics failed; the others are served", { source: name, err: error });
      return [];
    }
  }
}

async function encode(collected: CollectedMetrics, format: Format): Promise<Body> {
  return format === "protobuf" ? await encodeProtobuf(collected) : await encodeText(collected, format);
}

const END_OF_OPENMETRICS = "# EOF\n";

async function encodeText({ metrics }: CollectedMetrics, format: "text" | "openmetrics"): Promise<string> {
  const texts: string[] = [];
  await inTurns(metrics, async (metric) => {
    const registry = new PromRegistry<(typeof CONTENT_TYPES)[typeof format]>();
    registry.setContentType(CONTENT_TYPES[format]);
    // The registry renames counters, which has to leave the metrics themselves as they are.
    registry.registerMetric(Object.create(metric));
    texts.push(await registry.metrics());
  });
  if (format === "text") return texts.join("\n");
  return texts.map((text) => text.slice(0, -END_OF_OPENMETRICS.length)).join("") + END_OF_OPENMETRICS;
}

async function encodeProtobuf({ metrics, histograms }: CollectedMetrics): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new ProtobufWriter(64 * 1024);
  await inTurns(metrics, async (metric) => {
    const { name, help, type, values } = await metric.get();
    const histogram = histograms.get(name);
    const native = (labels: Readonly<Record<string, string | number | undefined>>) =>
      histogram?.native(labels)?.data;
    stream.delimited((family) =>
      writeMetricFamily(family, { name, help, type: String(type), values, native })
    );
  });
  return stream.bytes;
}

/** Works on one metric after the other. Other work of the process has a turn when a few of them took long. */
async function inTurns(
  metrics: readonly PromMetric[],
  work: (metric: PromMetric) => Promise<void>,
): Promise<void> {
  let turnEnds = performance.now() + TURN_MS;
  for (const metric of metrics) {
    await work(metric);
    if (performance.now() < turnEnds) continue;
    await yieldToEventLoop();
    turnEnds = performance.now() + TURN_MS;
  }
}
