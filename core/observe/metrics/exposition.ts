import { Attempt, DeadlineError } from "../../async/attempt.ts";
import { delay } from "../../async/wakeup.ts";
import { Mutex } from "../../async/mutex.ts";
import type { Log } from "../log.ts";
import { CONTENT_TYPES, type Format } from "./format.ts";
import { encodeMetricFamily } from "./metric_family.ts";
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

async function encode({ metrics, histograms }: CollectedMetrics, format: Format): Promise<Body> {
  if (format === "protobuf") return await encodeProtobuf({ metrics, histograms });
  if (format === "text") {
    const registry = new PromRegistry();
    for (const metric of metrics) registry.registerMetric(metric);
    return await registry.metrics();
  }
  const registry = new PromRegistry<typeof CONTENT_TYPES.openmetrics>();
  registry.setContentType(CONTENT_TYPES.openmetrics);
  // The registry renames counters, which has to leave the metrics themselves as they are.
  for (const metric of metrics) registry.registerMetric(Object.create(metric));
  return await registry.metrics();
}

async function encodeProtobuf({ metrics, histograms }: CollectedMetrics): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new ProtobufWriter(64 * 1024);
  for (const metric of metrics) {
    const { name, help, type, values } = await metric.get();
    const histogram = histograms.get(name);
    const native = (labels: Readonly<Record<string, string | number | undefined>>) =>
      histogram?.native(labels)?.data;
    stream.delimited(encodeMetricFamily({ name, help, type: String(type), values, native }));
  }
  return stream.bytes;
}
