import { BackendError } from "../../core/backend/contract.ts";
import type { PlanKey } from "../../core/plan/plan.ts";
import { embeddedUrl } from "../../ffi/libraries/library.ts";
import { WakeCounter } from "../../ffi/socket/wake.ts";
import type {
  FailedListener,
  ListenerChanges,
  RelayCommand,
  RelayedService,
  RelayEvent,
  RelayReport,
  RelaySettings,
  SharedListener,
} from "./relay/messages.ts";
import type { NamedDescriptors } from "./relay/listeners/hand_over.ts";
import type { RelayHandle, RelayObserver } from "./relay_handle.ts";

/** Few enough that the relay reads a message in some milliseconds, because it moves no bytes meanwhile. */
const SERVICES_PER_MESSAGE = 200;

/** The answer to a command. */
type Answer = Extract<RelayEvent, { readonly id: number }>;

/**
 * The relay, which accepts connections and moves their bytes in a thread of its own, so that planning never delays them.
 * This is its handle in the main thread.
 */
export class Relay implements RelayHandle {
  readonly #worker: Worker;
  readonly #wake: WakeCounter;
  readonly #observer: RelayObserver;
  readonly #answers = new Map<number, PromiseWithResolvers<Answer>>();
  readonly #ready = Promise.withResolvers<readonly SharedListener[]>();
  readonly #offered = Promise.withResolvers<void>();
  readonly #drained = Promise.withResolvers<number>();
  #listeners: readonly SharedListener[] = [];
  #descriptors: NamedDescriptors = {};
  #nextId = 1;
  #ended: BackendError | undefined;

  /**
   * Starts the thread and opens the shared listeners.
   * @throws BackendError when one of them cannot be opened.
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

  get listeners(): readonly SharedListener[] {
    return this.#listeners;
  }

  get descriptors(): NamedDescriptors {
    return this.#descriptors;
  }

  /**
   * Replaces all services. Resolves when the relay uses them, with the frontends that it could not listen for.
   * @param services are made one message at a time, so that those of a large cluster do not exist at once.
   */
  async replace(services: Iterable<RelayedService>): Promise<readonly FailedListener[]> {
    const keys: PlanKey[] = [];
    const failed: FailedListener[] = [];
    for (const message of batches(services, SERVICES_PER_MESSAGE)) {
      for (const { key } of message) keys.push(key);
      failed.push(...await this.update(message, []));
    }
    await this.#ask((id) => ({ type: "retain", id, keys }));
    return failed;
  }

  /** Changes some services. Resolves when the relay uses them, with those frontends that it could not listen for. */
  async update(
    services: readonly RelayedService[],
    removed: readonly PlanKey[],
  ): Promise<readonly FailedListener[]> {
    const answer = await this.#ask((id) => ({ type: "update", id, services, removed }));
    return answer.type === "done" ? answer.changes.failed : [];
  }

  async report(): Promise<RelayReport> {
    const answer = await this.#ask((id) => ({ type: "report", id }));
    if (answer.type !== "report") throw relayError("answered without a report");
    return answer.report;
  }

  drain(limitMs: number, isAwaited = false): Promise<number> {
    if (this.#ended === undefined) this.#post({ type: "drain", limitMs, isAwaited });
    return this.#drained.promise;
  }

  offered(): Promise<void> {
    return this.#offered.promise;
  }

  /** Resets all connections and ends the thread. */
  [Symbol.dispose](): void {
    void this.drain(0).catch(() => {});
  }

  #ask(command: (id: number) => RelayCommand): Promise<Answer> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const id = this.#nextId++;
    const answer = Promise.withResolvers<Answer>();
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
        this.#listenersChanged(event.changes);
        this.#answers.get(event.id)?.resolve(event);
        this.#answers.delete(event.id);
        return;
      case "report":
        this.#answers.get(event.id)?.resolve(event);
        this.#answers.delete(event.id);
        return;
      case "warning":
        return this.#observer.warn(event.message, event.values);
      case "drained":
        this.#end(relayError("has been stopped"));
        return this.#drained.resolve(event.open);
      case "failed":
        return this.#fail(event.message);
    }
  }

  #listenersChanged({ opened, closed }: ListenerChanges): void {
    // The object stays the same while its contents do.
    if (closed.length === 0 && Object.keys(opened).length === 0) return;
    const descriptors = { ...this.#descriptors };
    for (const name of closed) delete descriptors[name];
    this.#descriptors = { ...descriptors, ...opened };
  }

  #fail(reason: string): void {
    if (this.#ended !== undefined) return;
    const error = relayError(`has ended: ${reason}`);
    this.#end(error);
    this.#ready.reject(error);
    this.#drained.reject(error);
    this.#offered.reject(error);
    this.#observer.failed(new Error(`the relay has ended: ${reason}`));
  }

  #end(error: BackendError): void {
    this.#ended = error;
    for (const answer of this.#answers.values()) answer.reject(error);
    this.#answers.clear();
    this.#wake[Symbol.dispose]();
  }
}

function relayError(what: string): BackendError {
  return new BackendError(`userspace: the relay ${what}`);
}

/** Splits a sequence. No more of it is made than one part. */
function* batches<Element>(elements: Iterable<Element>, size: number): Generator<readonly Element[]> {
  let batch: Element[] = [];
  for (const element of elements) {
    batch.push(element);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

function threadUrl(): URL {
  return embeddedUrl("relay.js") ?? new URL("./relay/thread.ts", import.meta.url);
}
