import { delay } from "../../async/wakeup.ts";
import { isMapping } from "../../objects/parse/fields.ts";
import type { Log } from "../../observe/log.ts";
import { ApiError, errorOfStatus } from "./error.ts";
import type { ApiTiming } from "./timing.ts";
import { Backoff } from "./backoff.ts";
import { KnownObjects, metadataOf } from "./known_objects.ts";
import { LineSplitter } from "./lines.ts";
import { PageReader } from "./list_page.ts";
import type { Resource } from "./resources.ts";
import { SilenceError, streamResponse } from "./response_stream.ts";
import type { Sink } from "../../source.ts";
import type { Transport } from "./transport.ts";

export interface ReflectorOptions {
  readonly resource: Resource;
  readonly transport: Transport;
  readonly sink: Sink;
  readonly timing: ApiTiming;
  readonly log: Log;
  /** Called whenever all that exists has been handed to the sink, or is known not to be had (optional ones). */
  listed(): void;
  /** Called after every answer with undefined, after every failure with what is wrong. */
  contact(problem: string | undefined): void;
  /** The server did not accept our credentials. */
  unauthorized(): void;
}

/**
 * Keeps the sink equal to one collection of the API: lists it, watches it from there, and starts over when the
 * server no longer knows the version we are at.
 */
export class Reflector {
  readonly #resource: Resource;
  readonly #known: KnownObjects;
  readonly #backoff: Backoff;
  /** Where to resume watching; "" when everything has to be listed. */
  #version = "";
  /** Whether the server may know lists that come as watch events (sendInitialEvents, Kubernetes 1.32). */
  #canStreamList = true;
  #fieldSelector: string;
  /** Objects a page; 0 for all at once. */
  #pageSize = pageSize;
  #answerPatience: number;
  #mustRelist = false;
  #isStreaming = false;
  /** Ends the present request or pause. */
  #round = new AbortController();

  constructor(private readonly options: ReflectorOptions) {
    const { resource, sink, timing, log } = options;
    this.#resource = resource;
    this.#known = new KnownObjects(resource.kind, sink, log);
    this.#backoff = new Backoff(timing.firstRetry, timing.longestRetry);
    this.#fieldSelector = resource.fieldSelector;
    this.#answerPatience = timing.answer;
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = () => this.#round.abort();
    signal.addEventListener("abort", stop);
    while (!signal.aborted) {
      this.#round = new AbortController();
      if (this.#mustRelist) this.#version = "";
      this.#mustRelist = false;
      const pause = await this.#attempt(this.#round.signal);
      await delay(pause, this.#round.signal);
    }
    signal.removeEventListener("abort", stop);
  }

  /** Lists again. */
  relist(): void {
    this.#mustRelist = true;
    this.#round.abort();
  }

  /** The connection leads nowhere: what streams over it is to be had over a new one. */
  reconnect(): void {
    if (this.#isStreaming) this.#round.abort();
  }

  /** One request, or one list. Returns how long to wait before the next, in milliseconds. */
  async #attempt(signal: AbortSignal): Promise<number> {
    const progress: Progress = {
      started: performance.now(),
      accepted: false,
      events: 0,
      isListing: this.#version === "",
    };
    const mayStreamList = progress.isListing && this.#canStreamList;
    try {
      if (progress.isListing && !mayStreamList) {
        await this.#listPages(signal, progress);
        return 0;
      }
      await this.#watch(signal, progress);
    } catch (error) {
      if (signal.aborted) return 0;
      return this.#recover(error, progress, mayStreamList);
    } finally {
      this.#isStreaming = false;
    }
    if (isSteady(progress)) this.#backoff.reset();
    return this.#backoff.next();
  }

  /** Watches from the version we are at, or, while listing, from the beginning with all that exists first. */
  async #watch(signal: AbortSignal, progress: Progress): Promise<void> {
    const { timing } = this.options;
    const lasting = timing.shortestWatch + Math.random() * (timing.longestWatch - timing.shortestWatch);
    const query: Record<string, string> = {
      watch: "true",
      allowWatchBookmarks: "true",
      timeoutSeconds: String(Math.ceil(lasting / 1000)),
    };
    if (progress.isListing) {
      query.sendInitialEvents = "true";
      query.resourceVersionMatch = "NotOlderThan";
      this.#known.beginListing();
    } else query.resourceVersion = this.#version;
    const lines = new LineSplitter((line) => this.#event(JSON.parse(line), progress));
    await streamResponse(this.options.transport, this.#path(query), this.#patience(progress), signal, {
      accepted: () => this.#accepted(progress),
      chunk: (bytes) => lines.push(bytes),
    });
    if (progress.isListing) throw new Error("the watch ended before all initial events had come");
  }

  #event(event: unknown, progress: Progress): void {
    const { type, object } = isMapping(event) ? event : {};
    if (type === "ERROR") throw errorOfStatus(object);
    const metadata = metadataOf(object);
    if (type === "ADDED" || type === "MODIFIED") this.#known.upsert(object);
    else if (type === "DELETED") this.#known.delete(object);
    else if (type !== "BOOKMARK") throw new Error(`a watch event of unknown type ${JSON.stringify(type)}`);
    progress.events++;
    const isEndOfList = type === "BOOKMARK" && metadata.annotation("k8s.io/initial-events-end") === "true";
    if (progress.isListing && !isEndOfList) return;
    const version = metadata.resourceVersion;
    if (!progress.isListing && isOlder(version, this.#version)) {
      throw new ApiError(
        410,
        "Expired",
        `the server went back from version ${this.#version} to ${version}`,
        undefined,
      );
    }
    if (version !== "") this.#version = version;
    if (progress.isListing) {
      progress.isListing = false;
      this.#endListing();
    }
  }

  /** Lists in pages, so that neither side has to hold everything at once. */
  async #listPages(signal: AbortSignal, progress: Progress): Promise<void> {
    this.#known.beginListing();
    let version = "";
    let next = "";
    do {
      const query: Record<string, string> = {};
      if (this.#pageSize > 0) query.limit = String(this.#pageSize);
      if (next !== "") query.continue = next;
      const pages = new PageReader();
      await streamResponse(this.options.transport, this.#path(query), this.#patience(progress), signal, {
        accepted: () => this.#accepted(progress),
        chunk: (bytes) => pages.push(bytes),
      });
      const page = pages.end();
      for (const item of page.items) this.#known.upsert(item);
      if (version === "") version = page.version;
      next = page.next;
    } while (next !== "");
    this.#version = version;
    this.#pageSize = pageSize;
    this.#endListing();
  }

  #endListing(): void {
    this.#known.endListing();
    this.#backoff.reset();
    this.options.listed();
  }

  #accepted(progress: Progress): void {
    progress.accepted = true;
    this.#isStreaming = true;
    this.#answerPatience = this.options.timing.answer;
    this.options.contact(undefined);
  }

  /** Decides what to do differently after a failure. Returns how long to wait. */
  #recover(error: unknown, progress: Progress, streamedList: boolean): number {
    const { timing, log } = this.options;
    const { plural } = this.#resource;
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof ApiError) {
      if (error.isExpired || isAheadOfServer(error)) {
        log.info(
          `${plural}: listing again, the server no longer has version ${this.#version} (${message})`,
          {},
          1,
        );
        this.#version = "";
        // A list that expires between two pages is not given a second chance to.
        if (progress.isListing) this.#pageSize = 0;
        return this.#backoff.next();
      }
      if (error.status === 400 && this.#fieldSelector !== "" && /field label|field selector/i.test(message)) {
        log.info(`${plural}: the server cannot select ${this.#fieldSelector}; watching all`, {}, 1);
        this.#fieldSelector = "";
        return 0;
      }
      if (streamedList && refusesStreamedList.has(error.status)) return this.#streamNoLists(message);
      if (error.status === 401) this.options.unauthorized();
      if (!this.#resource.isRequired && (error.status === 403 || error.status === 404)) {
        log.info(`${plural} are not to be had: ${message}; doing without`);
        this.options.listed();
        return timing.unavailableRetry * (0.9 + 0.2 * Math.random());
      }
      this.options.contact(this.#explain(error));
      return (error.retryAfter ?? 0) + this.#backoff.next();
    }
    if (error instanceof SilenceError && !progress.accepted) {
      this.#answerPatience = Math.min(2 * this.#answerPatience, timing.longestAnswer);
    }
    if (error instanceof SilenceError && progress.accepted && streamedList && progress.isListing) {
      return this.#streamNoLists(message);
    }
    // A watch that worked and broke off is resumed; only when that fails something is wrong.
    if (progress.events > 0 || isSteady(progress)) {
      log.info(`${plural}: resuming the watch, which broke off: ${message}`, {}, 1);
      this.#backoff.reset();
    } else this.options.contact(`${plural}: ${message}`);
    return this.#backoff.next();
  }

  #streamNoLists(message: string): number {
    this.options.log.info(
      `${this.#resource.plural}: no streaming list (${message}); listing in pages`,
      {},
      1,
    );
    this.#canStreamList = false;
    return 0;
  }

  #explain(error: ApiError): string {
    const { plural, apiGroup } = this.#resource;
    switch (error.status) {
      case 401:
        return `${plural}: the server does not accept our credentials (${error.message})`;
      case 403:
        return `${plural}: we may not list and watch them (${error.message}); bind us to ClusterRole ` +
          `system:node-proxier, or grant verbs list and watch on ${plural} in API group "${apiGroup}"`;
      default:
        return `${plural}: ${error.message}`;
    }
  }

  #path(query: Record<string, string>): string {
    const { labelSelector, path } = this.#resource;
    const parameters = new URLSearchParams(query);
    if (labelSelector !== "") parameters.set("labelSelector", labelSelector);
    if (this.#fieldSelector !== "") parameters.set("fieldSelector", this.#fieldSelector);
    return `${path}?${parameters}`;
  }

  #patience(progress: Progress) {
    const { timing } = this.options;
    return {
      answer: this.#answerPatience,
      get silence() {
        return progress.isListing ? timing.listSilence : timing.watchSilence;
      },
    };
  }
}

/** What has become of an attempt so far. */
interface Progress {
  readonly started: number;
  accepted: boolean;
  events: number;
  /** Not everything that exists has been handed on yet. */
  isListing: boolean;
}

const pageSize = 500;
/** A watch that lasted so long, in milliseconds, was no failure. */
const steadyAfter = 1000;

function isSteady(progress: Progress): boolean {
  return progress.accepted && performance.now() - progress.started >= steadyAfter;
}

/** Unknown parameters, forbidden combinations, unknown method: what servers without streaming lists answer. */
const refusesStreamedList = new Set([400, 405, 415, 422, 501]);

/** The server was restored from a backup and has not reached our version yet, or never will. */
function isAheadOfServer(error: ApiError): boolean {
  return error.status === 504 && /too large resource version/i.test(error.message);
}

/**
 * Versions of one collection are ordered (Kubernetes 1.35 promises it, it was always so): a watch that goes back
 * speaks to a server restored from a backup, which will not repeat what we have missed.
 */
function isOlder(version: string, than: string): boolean {
  if (!/^\d+$/.test(version) || !/^\d+$/.test(than)) return false;
  return version.length === than.length ? version < than : version.length < than.length;
}
