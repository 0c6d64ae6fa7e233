import { Attempt, DeadlineError } from "../../../async/attempt.ts";
import { delay } from "../../../async/wakeup.ts";
import { turns } from "../../../async/turns.ts";
import { Mutex } from "../../../async/mutex.ts";
import type { Log } from "../../log.ts";
import { CONTENT_TYPES, type Format } from "./format.ts";
import { writeFamilyHead, writeFamilyValues } from "./metric_family.ts";
import { PromHistogram, type PromMetric, PromRegistry } from "../registry/prom_client.ts";
import { ProtobufWriter } from "./protobuf_writer.ts";
import type { CollectedMetrics } from "../registry/registry.ts";

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
/** Values that are encoded before other work of the process may have a turn. */
const VALUES_AT_ONCE = 50;

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

async function encodeText({ metrics }: CollectedMetrics, format: TextFormat): Promise<string> {
  const texts: string[] = [];
  for (const metric of metrics) texts.push(await metricText(metric, format));
  return format === "text" ? texts.join("\n") : texts.join("") + END_OF_OPENMETRICS;
}

type TextFormat = "text" | "openmetrics";

async function metricText(metric: PromMetric, format: TextFormat): Promise<string> {
  let text = "";
  for await (const part of partsOf(metric)) {
    const registry = new PromRegistry<(typeof CONTENT_TYPES)[TextFormat]>();
    registry.setContentType(CONTENT_TYPES[format]);
    registry.registerMetric(part);
    const lines = (await registry.metrics()).slice(
      0,
      format === "text" ? undefined : -END_OF_OPENMETRICS.length,
    );
    // Every part has the two comments of the metric.
    text += text === "" ? lines : lines.slice(lines.indexOf("\n", lines.indexOf("\n") + 1) + 1);
  }
  return text;
}

/**
 * The metric in parts of its values, each in the form of a metric, in turns. A histogram, whose values belong together,
 * is one part.
 */
async function* partsOf(metric: PromMetric): AsyncGenerator<PromMetric> {
  // A copy, because the registry renames counters.
  if (metric instanceof PromHistogram) yield Object.create(metric);
  else {
    const { values, ...others } = await metric.get();
    for (let start = 0; start === 0 || start < values.length; start += VALUES_AT_ONCE) {
      const part = Object.create(metric);
      const own = { ...others, values: values.slice(start, start + VALUES_AT_ONCE) };
      part.get = () => Promise.resolve({ ...own, name: part.name });
      yield part;
      if (turns.isOver) await turns.next();
    }
  }
  if (turns.isOver) await turns.next();
}

async function encodeProtobuf({ metrics, histograms }: CollectedMetrics): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new ProtobufWriter(64 * 1024);
  for (const metric of metrics) {
    const family = new ProtobufWriter();
    for await (const part of partsOf(metric)) {
      const { name, help, type, values } = await part.get();
      const histogram = histograms.get(name);
      const native = (labels: Readonly<Record<string, string | number | undefined>>) =>
        histogram?.native(labels)?.data;
      if (family.bytes.length === 0) writeFamilyHead(family, { name, help, type: String(type) });
      writeFamilyValues(family, { name, type: String(type), values, native });
    }
    stream.delimited((element) => element.append(family.bytes));
  }
  return stream.bytes;
}
