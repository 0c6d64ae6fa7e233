import type { PlanKey } from "../../core/plan/plan.ts";
import { embeddedUrl } from "../../ffi/library.ts";
import { WakeCounter } from "../../ffi/socket/wake.ts";
import type {
  RelayCommand,
  RelayedService,
  RelayEvent,
  RelayReport,
  RelaySettings,
  SharedListener,
} from "./relay/messages.ts";
import type { NamedDescriptors } from "./relay/hand_over.ts";
import type { Warn } from "./relay/rate_limited_warnings.ts";

/** Few enough that the relay reads a message in some milliseconds, because it moves no bytes meanwhile. */
const SERVICES_PER_MESSAGE = 200;

/** The relay cannot start, or has ended. The message is for operators. */
export class RelayError extends Error {
  override readonly name = "RelayError";
}

export interface RelayObserver {
  readonly warn: Warn;
  /** The thread has ended by an error, and with it all connections. */
  readonly failed: (error: RelayError) => void;
}

/**
 * The relay, which accepts connections and moves their bytes in a thread of its own, so that planning never delays them.
 * This is its handle in the main thread. All promises reject with RelayError when the thread has ended.
 */
export class Relay implements Disposable {
  readonly #worker: Worker;
  readonly #wake: WakeCounter;
  readonly #observer: RelayObserver;
  readonly #answers = new Map<number, PromiseWithResolvers<RelayReport | undefined>>();
  readonly #ready = Promise.withResolvers<readonly SharedListener[]>();
  readonly #offered = Promise.withResolvers<void>();
  readonly #drained = Promise.withResolvers<number>();
  #listeners: readonly SharedListener[] = [];
  #descriptors: NamedDescriptors = {};
  #nextId = 1;
  #ended: RelayError | undefined;

  /**
   * Starts the thread and opens the shared listeners.
   * @throws RelayError when one of them cannot be opened.
   */
  static async start(settings: RelaySettings, observer: RelayObserver): Promise<Relay> {
    const relay = new Relay(settings, observer);
    relay.#listeners = await relay.#ready.promise;
    return relay;
  }

  private constructor(settings: RelaySettings, observer: RelayObserver) {
    this.#observer = observer;
    this.#wake = WakeCounter.create();
    this.#worker = new Worker(threadUrl(), { type: "module", name: "relay" });
    // Whoever does not wait for the end gets no unhandled rejection.
    this.#drained.promise.catch(() => {});
    this.#offered.promise.catch(() => {});
    this.#worker.onmessage = ({ data }: MessageEvent<RelayEvent>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message);
    };
    this.#post({ type: "start", wake: this.#wake.fd, settings });
  }

  /** The shared listeners with their ports. */
  get listeners(): readonly SharedListener[] {
    return this.#listeners;
  }

  /** The sockets of the shared listeners, by name. They belong to the thread. */
  get descriptors(): NamedDescriptors {
    return this.#descriptors;
  }

  /** Replaces all services. Resolves when the relay uses them. */
  async replace(services: readonly RelayedService[]): Promise<void> {
    for (let start = 0; start < services.length; start += SERVICES_PER_MESSAGE) {
      await this.update(services.slice(start, start + SERVICES_PER_MESSAGE), []);
    }
    await this.#ask((id) => ({ type: "retain", id, keys: services.map(({ key }) => key) }));
  }

  /** Changes some services. Resolves when the relay uses them. */
  async update(services: readonly RelayedService[], removed: readonly PlanKey[]): Promise<void> {
    await this.#ask((id) => ({ type: "update", id, services, removed }));
  }

  async report(): Promise<RelayReport> {
    const report = await this.#ask((id) => ({ type: "report", id }));
    if (report === undefined) throw new RelayError("the relay answered without a report");
    return report;
  }

  /**
   * Offers the listeners to the next process and waits until the connections have ended, for a limited time. The thread
   * ends.
   * @param isAwaited another process is about to take the listeners, so that they are kept even without connections.
   * @returns the number of connections that were reset, because the time was over.
   */
  drain(limitMs: number, isAwaited = false): Promise<number> {
    if (this.#ended === undefined) this.#post({ type: "drain", limitMs, isAwaited });
    return this.#drained.promise;
  }

  /** Resolves when `drain` has begun, so that the next process can take the listeners. */
  offered(): Promise<void> {
    return this.#offered.promise;
  }

  /** Resets all connections and ends the thread. */
  [Symbol.dispose](): void {
    void this.drain(0).catch(() => {});
  }

  #ask(command: (id: number) => RelayCommand): Promise<RelayReport | undefined> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const id = this.#nextId++;
    const answer = Promise.withResolvers<RelayReport | undefined>();
    this.#answers.set(id, answer);
    this.#post(command(id));
    return answer.promise;
  }

  #post(command: RelayCommand): void {
    this.#worker.postMessage(command);
    this.#wake.increment();
  }

  #receive(event: RelayEvent): void {
    switch (event.type) {
      case "ready":
        this.#descriptors = event.descriptors;
        return this.#ready.resolve(event.listeners);
      case "offered":
        return this.#offered.resolve();
      case "done":
        return this.#answer(event.id, undefined);
      case "report":
        return this.#answer(event.id, event.report);
      case "warning":
        return this.#observer.warn(event.message, event.values);
      case "drained":
        this.#end(new RelayError("the relay has been stopped"));
        return this.#drained.resolve(event.open);
      case "failed":
        return this.#fail(event.message);
    }
  }

  #answer(id: number, report: RelayReport | undefined): void {
    this.#answers.get(id)?.resolve(report);
    this.#answers.delete(id);
  }

  #fail(reason: string): void {
    if (this.#ended !== undefined) return;
    const error = new RelayError(`the relay has ended: ${reason}`);
    this.#end(error);
    this.#ready.reject(error);
    this.#drained.reject(error);
    this.#offered.reject(error);
    this.#observer.failed(error);
  }

  #end(error: RelayError): void {
    this.#ended = error;
    for (const answer of this.#answers.values()) answer.reject(error);
    this.#answers.clear();
    this.#wake[Symbol.dispose]();
  }
}

function threadUrl(): URL {
  return embeddedUrl("relay.js") ?? new URL("./relay/thread.ts", import.meta.url);
}
