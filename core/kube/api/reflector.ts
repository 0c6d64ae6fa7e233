import { delay } from "../../async/wakeup.ts";
import { isMapping } from "../../objects/parse/fields.ts";
import type { Log } from "../../observe/log.ts";
import { ApiError, errorOfStatus } from "./error.ts";
import type { ApiTiming } from "./timing.ts";
import { Backoff } from "./backoff.ts";
import { KnownObjects, metadataOf } from "./known_objects.ts";
import { LineSplitter } from "./lines.ts";
import { PageReader, parseJson } from "./list_page.ts";
import type { Resource } from "./resources.ts";
import { SilenceError, streamResponse } from "./response_stream.ts";
import type { Sink } from "../../source.ts";
import type { Transport } from "./transport.ts";

/** Observes the collections, for metrics. A resource is the plural of a kind: "services". */
export interface WatchObserver {
  started(resource: string): void;
  /** A list is complete. */
  listed(resource: string): void;
  /** The API server accepted a watch. */
  watching(resource: string): void;
  /** An event or a bookmark arrived. */
  heard(resource: string): void;
  /** A list or a watch failed or broke. */
  failed(resource: string): void;
  /** A delay before the next attempt begins, or ends. */
  waiting(resource: string, isWaiting: boolean): void;
}

export interface ReflectorOptions {
  readonly resource: Resource;
  readonly transport: Transport;
  readonly sink: Sink;
  readonly timing: ApiTiming;
  readonly log: Log;
  readonly observer?: WatchObserver;
  /** Called after each complete list, and when an optional collection is found to be unavailable. */
  listed(): void;
  /**
   * Called with undefined once the collection is followed (a complete list, an event, a watch that stays open), and with
   * the problem after each failure.
   */
  contact(problem: string | undefined): void;
  /** Called when the server rejected the credentials (401). */
  unauthorized(): void;
}

/**
 * Keeps the sink equal to one collection of the API. Lists the collection, watches it from the version of the list, and
 * lists again when the server no longer has that version.
 */
export class Reflector {
  readonly #resource: Resource;
  readonly #known: KnownObjects;
  readonly #backoff: Backoff;
  /** Resource version to resume the watch from; "" when a list is needed. */
  #version = "";
  /** True when the server has just named `#version`, or a newer one, as its own. */
  #isVersionProven = false;
  /** False once the server has rejected streaming lists (sendInitialEvents, Kubernetes 1.32). */
  #canStreamList = true;
  #fieldSelector: string;
  /** Objects per page; 0 for a list without pages. */
  #pageSize = PAGE_SIZE;
  #answerTimeoutMs: number;
  #mustRelist = false;
  #isStreaming = false;
  /** Aborts the current request or delay. */
  #round = new AbortController();

  readonly #options: ReflectorOptions;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    const { resource, sink, timing, log } = options;
    this.#resource = resource;
    this.#known = new KnownObjects(resource.kind, sink, log);
    this.#backoff = new Backoff(timing.firstRetryMs, timing.maxRetryMs);
    this.#fieldSelector = resource.fieldSelector;
    this.#answerTimeoutMs = timing.answerMs;
  }

  /** Runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = () => this.#round.abort();
    signal.addEventListener("abort", stop);
    const { observer } = this.#options;
    observer?.started(this.#resource.plural);
    while (!signal.aborted) {
      this.#round = new AbortController();
      if (this.#mustRelist) this.#version = "";
      this.#mustRelist = false;
      const pause = await this.#attempt(this.#round.signal);
      observer?.waiting(this.#resource.plural, pause > 0);
      await delay(pause, this.#round.signal);
      observer?.waiting(this.#resource.plural, false);
    }
    signal.removeEventListener("abort", stop);
  }

  /** Starts over with a list. */
  relist(): void {
    this.#mustRelist = true;
    this.#round.abort();
  }

  /** Aborts a request that is streaming over a dead connection, so that the next attempt opens a new one. */
  reconnect(): void {
    if (this.#isStreaming) this.#round.abort();
  }

  /** Makes one watch request or one list. @returns the delay before the next attempt, in milliseconds. */
  async #attempt(signal: AbortSignal): Promise<number> {
    const progress: Progress = {
      accepted: false,
      isListing: this.#version === "",
      worksSince: undefined,
    };
    const mayStreamList = progress.isListing && this.#canStreamList;
    try {
      if (progress.isListing && !mayStreamList) {
        await this.#listPages(signal, progress);
        return 0;
      }
      if (!progress.isListing && !this.#isVersionProven) await this.#proveVersion(signal, progress);
      await this.#watch(signal, progress);
    } catch (error) {
      if (signal.aborted) return 0;
      this.#options.observer?.failed(this.#resource.plural);
      this.#resetBackoffAfter(progress);
      return this.#recover(error, progress, mayStreamList);
    } finally {
      this.#isStreaming = false;
    }
    this.#resetBackoffAfter(progress);
    if (progress.worksSince === undefined) {
      this.#options.contact(`${this.#resource.plural}: the watch ended at once, without an event`);
    }
    return this.#backoff.next();
  }

  /**
   * Checks that the server has our version. A server that was restored from a backup does not have it, but accepts a
   * watch from it and stays silent until its own versions have caught up.
   * @throws ApiError "Expired" when the server is behind
   */
  async #proveVersion(signal: AbortSignal, progress: Progress): Promise<void> {
    const reader = new PageReader();
    await streamResponse(
      this.#options.transport,
      this.#path({ limit: "1" }),
      { ...this.#timeouts(progress), silenceMs: this.#options.timing.listSilenceMs },
      signal,
      { accepted() {}, chunk: (bytes) => reader.push(bytes) },
    );
    const { version } = reader.end();
    if (isOlder(version, this.#version)) {
      throw new ApiError(410, "Expired", `the server is at the older version ${version}`, undefined);
    }
    this.#isVersionProven = true;
  }

  /** Watches from `#version`, or, when that is "", from a streaming list. */
  async #watch(signal: AbortSignal, progress: Progress): Promise<void> {
    const { timing } = this.#options;
    const durationMs = timing.minWatchMs + Math.random() * (timing.maxWatchMs - timing.minWatchMs);
    const query: Record<string, string> = {
      watch: "true",
      allowWatchBookmarks: "true",
      timeoutSeconds: String(Math.ceil(durationMs / 1000)),
    };
    if (progress.isListing) {
      query.sendInitialEvents = "true";
      query.resourceVersionMatch = "NotOlderThan";
      this.#known.beginListing();
    } else query.resourceVersion = this.#version;
    const lines = new LineSplitter((line) => this.#event(parseJson("an event", line), progress));
    let steady: number | undefined;
    try {
      await streamResponse(this.#options.transport, this.#path(query), this.#timeouts(progress), signal, {
        accepted: () => {
          this.#accepted(progress);
          this.#options.observer?.watching(this.#resource.plural);
          // A quiet watch has no event for up to a minute.
          steady = setTimeout(() => {
            if (!progress.isListing) this.#works(progress);
          }, STEADY_AFTER_MS);
        },
        chunk: (bytes) => lines.push(bytes),
      });
      lines.end();
    } finally {
      clearTimeout(steady);
      this.#isVersionProven = false;
    }
    if (progress.isListing) throw new Error("the watch ended before all initial events were received");
  }

  #event(event: unknown, progress: Progress): void {
    const { type, object } = isMapping(event) ? event : {};
    this.#options.observer?.heard(this.#resource.plural);
    if (type === "ERROR") throw errorOfStatus(object);
    const metadata = metadataOf(object);
    if (type === "ADDED" || type === "MODIFIED") this.#known.upsert(object);
    else if (type === "DELETED") this.#known.delete(object);
    else if (type !== "BOOKMARK") throw new Error(`unknown watch event type ${JSON.stringify(type)}`);
    const isEndOfList = type === "BOOKMARK" && metadata.annotation("k8s.io/initial-events-end") === "true";
    if (progress.isListing && !isEndOfList) return;
    const version = metadata.resourceVersion;
    if (!progress.isListing && isOlder(version, this.#version)) {
      throw new ApiError(
        410,
        "Expired",
        `resource version went back from ${this.#version} to ${version}`,
        undefined,
      );
    }
    if (version !== "") this.#version = version;
    if (progress.isListing) this.#endListing(progress);
    this.#works(progress);
  }

  /** Lists in pages, so that neither side holds the whole collection at once. */
  async #listPages(signal: AbortSignal, progress: Progress): Promise<void> {
    this.#known.beginListing();
    let version = "";
    let next = "";
    do {
      const query: Record<string, string> = {};
      if (this.#pageSize > 0) query.limit = String(this.#pageSize);
      if (next !== "") query.continue = next;
      const pages = new PageReader();
      await streamResponse(this.#options.transport, this.#path(query), this.#timeouts(progress), signal, {
        accepted: () => this.#accepted(progress),
        chunk: (bytes) => pages.push(bytes),
      });
      const page = pages.end();
      for (const item of page.items) this.#known.upsert(item);
      if (version === "") version = page.version;
      next = page.next;
    } while (next !== "");
    this.#version = version;
    this.#isVersionProven = true;
    this.#pageSize = PAGE_SIZE;
    this.#endListing(progress);
  }

  #endListing(progress: Progress): void {
    progress.isListing = false;
    this.#known.endListing();
    this.#options.observer?.listed(this.#resource.plural);
    this.#works(progress);
    this.#options.listed();
  }

  #accepted(progress: Progress): void {
    progress.accepted = true;
    this.#isStreaming = true;
    this.#answerTimeoutMs = this.#options.timing.answerMs;
  }

  /** Records that the collection is followed. */
  #works(progress: Progress): void {
    if (progress.worksSince !== undefined) return;
    progress.worksSince = performance.now();
    this.#options.contact(undefined);
  }

  /** Progress is not enough to retry fast again: a list or watch may break off each time shortly after it began. */
  #resetBackoffAfter({ worksSince = Infinity }: Progress): void {
    if (performance.now() - worksSince >= this.#options.timing.maxRetryMs) this.#backoff.reset();
  }

  /** Adapts the next attempt to a failure. @returns the delay before it, in milliseconds. */
  #recover(error: unknown, progress: Progress, streamedList: boolean): number {
    const { timing, log } = this.#options;
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
        if (progress.isListing && this.#pageSize === 0) this.#options.contact(`${plural}: ${message}`);
        // The list expired between pages: fetch the next one unpaginated, so that it cannot happen again.
        if (progress.isListing) this.#pageSize = 0;
        return this.#backoff.next();
      }
      if (error.status === 400 && this.#fieldSelector !== "" && /field label|field selector/i.test(message)) {
        log.info(
          `${plural}: the server does not support field selector ${this.#fieldSelector}; watching all objects`,
          {},
          1,
        );
        this.#fieldSelector = "";
        return 0;
      }
      if (streamedList && STREAMING_LIST_REJECTIONS.has(error.status)) {
        return this.#disableStreamingLists(message);
      }
      if (error.status === 401) this.#options.unauthorized();
      if (!this.#resource.isRequired && (error.status === 403 || error.status === 404)) {
        log.info(`${plural}: not available (${message}); continuing without them`);
        this.#options.listed();
        return timing.unavailableRetryMs * (0.9 + 0.2 * Math.random());
      }
      this.#options.contact(this.#explain(error));
      return (error.retryAfterMs ?? 0) + this.#backoff.next();
    }
    if (error instanceof SilenceError && !progress.accepted) {
      this.#answerTimeoutMs = Math.min(2 * this.#answerTimeoutMs, timing.maxAnswerMs);
    }
    if (error instanceof SilenceError && progress.accepted && streamedList && progress.isListing) {
      return this.#disableStreamingLists(message);
    }
    // A watch that worked before it broke is resumed silently. Only a failure to resume is a problem.
    if (progress.worksSince !== undefined) {
      log.info(`${plural}: the watch broke (${message}); resuming it`, {}, 1);
    } else this.#options.contact(`${plural}: ${message}`);
    return this.#backoff.next();
  }

  #disableStreamingLists(message: string): number {
    this.#options.log.info(
      `${this.#resource.plural}: streaming list not supported (${message}); listing in pages`,
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
        return `${plural}: the server rejected the credentials (${error.message})`;
      case 403:
        return `${plural}: not allowed to list and watch them (${error.message}); bind this identity to ClusterRole ` +
          `system:node-proxier, or grant it verbs list and watch on ${plural} in API group "${apiGroup}"`;
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

  #timeouts(progress: Progress) {
    const { timing } = this.#options;
    return {
      answerMs: this.#answerTimeoutMs,
      get silenceMs() {
        return progress.isListing ? timing.listSilenceMs : timing.watchSilenceMs;
      },
    };
  }
}

/** State of an attempt. */
interface Progress {
  /** True when the server accepted the watch or the list. */
  accepted: boolean;
  /** True until the sink has received all objects that exist. */
  isListing: boolean;
  /** Time since when the collection is followed, on the clock of performance.now(). */
  worksSince: number | undefined;
}

const PAGE_SIZE = 500;
/** A watch that stays open this long works, even without an event. */
const STEADY_AFTER_MS = 1000;

/** HTTP statuses of servers without streaming lists: unknown parameter, invalid combination, unknown method. */
const STREAMING_LIST_REJECTIONS = new Set([400, 405, 415, 422, 501]);

/** True when our version is newer than the server's, because the server was restored from a backup. */
function isAheadOfServer(error: ApiError): boolean {
  return error.status === 504 && /too large resource version/i.test(error.message);
}

/**
 * Compares resource versions. Versions of one collection are ordered (documented since Kubernetes 1.35, true before). A
 * watch whose versions go back is served by a server restored from a backup, which does not repeat missed events.
 */
function isOlder(version: string, than: string): boolean {
  if (!/^\d+$/.test(version) || !/^\d+$/.test(than)) return false;
  return version.length === than.length ? version < than : version.length < than.length;
}
