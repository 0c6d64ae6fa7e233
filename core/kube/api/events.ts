import { hash } from "node:crypto";
import { delay, Wakeup } from "../../async/wakeup.ts";
import type { Log } from "../../observe/log.ts";
import type { ServiceWarning } from "../../source.ts";
import { DeadlineError, supervised } from "../../async/attempt.ts";
import { readError } from "./error.ts";
import type { ApiTiming } from "./timing.ts";
import type { Transport } from "./transport.ts";

export interface EventSenderOptions {
  readonly transport: Pick<Transport, "get" | "post">;
  readonly nodeName: string;
  readonly timing: Pick<ApiTiming, "answerMs" | "unavailableRetryMs">;
  readonly log: Log;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Time between two events after a burst. */
  readonly spacingMs?: number;
}

/** Events that may be sent without a pause, and that may wait. Whatever goes beyond is dropped. */
const MAX_BURST = 25;
const MAX_WAITING = 100;
const SPACING_MS = 10_000;
/** Events that are not sent again for as long as API servers keep them. */
const MAX_REMEMBERED = 1000;
const KEPT_MS = 3_600_000;
/** The limits of the API. */
const MAX_NOTE = 1024;
const MAX_INSTANCE = 128;

/**
 * Sends warnings about Services as Kubernetes Events (docs/behaviour.md §9.7). They are a convenience: sending never
 * delays anything else, and what the API server does not accept is dropped with a line in the verbose log.
 *
 * Every node may find the same conflict. The name of an Event follows from its text, so that the API server has it once,
 * and answers the other nodes that it exists.
 */
export class EventSender {
  readonly #options: EventSenderOptions;
  readonly #waiting: ServiceWarning[] = [];
  readonly #wakeup = new Wakeup();
  /** When each event was sent, the oldest first. */
  readonly #sent = new Map<string, number>();
  #dropped = 0;
  #isForbidden = false;

  constructor(options: EventSenderOptions) {
    this.#options = options;
  }

  /** Queues an event. */
  send(warning: ServiceWarning): void {
    if (this.#waiting.length >= MAX_WAITING) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(warning);
    this.#wakeup.wake();
  }

  /** Sends events until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { spacingMs = SPACING_MS, timing } = this.#options;
    signal.addEventListener("abort", () => this.#wakeup.wake(), { once: true });
    let allowed = MAX_BURST;
    let countedAt = performance.now();
    while (!signal.aborted) {
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#reportDropped();
        await this.#wakeup.waitUntil(Infinity);
        continue;
      }
      if (this.#isKnown(next)) continue;
      const elapsed = performance.now() - countedAt;
      allowed = Math.min(MAX_BURST, allowed + elapsed / spacingMs);
      countedAt += elapsed;
      if (allowed < 1) await delay((1 - allowed) * spacingMs, signal);
      allowed--;
      await this.#trySend(next, signal);
      if (!this.#isForbidden) continue;
      // Permissions may be granted later. Until then events are stale.
      await delay(timing.unavailableRetryMs, signal);
      this.#waiting.length = 0;
      this.#isForbidden = false;
    }
  }

  #isKnown(warning: ServiceWarning): boolean {
    const sentAt = this.#sent.get(textOf(warning));
    return sentAt !== undefined && performance.now() - sentAt < KEPT_MS;
  }

  #remember(warning: ServiceWarning): void {
    const text = textOf(warning);
    this.#sent.delete(text);
    this.#sent.set(text, performance.now());
    for (const [oldest] of this.#sent) {
      if (this.#sent.size <= MAX_REMEMBERED) break;
      this.#sent.delete(oldest);
    }
  }

  async #trySend(warning: ServiceWarning, signal: AbortSignal): Promise<void> {
    const { timing, log } = this.#options;
    try {
      await supervised("the event", timing.answerMs, signal, (signal) => this.#send(warning, signal));
      this.#remember(warning);
    } catch (error) {
      if (signal.aborted) return;
      const problem = error instanceof Error ? error.message : String(error);
      const service = `${warning.namespace}/${warning.name}`;
      const level = error instanceof DeadlineError ? 1 : 2;
      log.info("An event could not be sent", { service, problem }, level);
    }
  }

  async #send(warning: ServiceWarning, signal: AbortSignal): Promise<void> {
    const { transport, nodeName, now = Date.now } = this.#options;
    const uid = await this.#uidOf(warning, signal);
    // The Service is gone meanwhile.
    if (uid === undefined) return;
    const event = eventOf(warning, {
      uid,
      nodeName,
      time: new Date(now()).toISOString(),
      name: `${warning.name}.${digest(`${uid} ${textOf(warning)}`)}`,
    });
    const path = `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(warning.namespace)}/events`;
    const response = await transport.post(path, JSON.stringify(event), signal);
    if (response.ok || response.status === ALREADY_EXISTS) {
      await response.body?.cancel();
      return;
    }
    this.#isForbidden = response.status === 401 || response.status === 403 || response.status === 404;
    throw await readError(response);
  }

  /** The uid, without which `kubectl describe service` does not show the event. The proxy may list, but not get. */
  async #uidOf({ namespace, name }: ServiceWarning, signal: AbortSignal): Promise<string | undefined> {
    const selector = encodeURIComponent(`metadata.name=${name}`);
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/services?fieldSelector=${selector}`;
    const response = await this.#options.transport.get(path, signal);
    if (!response.ok) throw await readError(response);
    const list: { readonly items?: readonly { readonly metadata?: { readonly uid?: unknown } }[] } =
      await response
        .json();
    const uid = list.items?.[0]?.metadata?.uid;
    return typeof uid === "string" ? uid : undefined;
  }

  #reportDropped(): void {
    if (this.#dropped === 0) return;
    this.#options.log.info("Events were dropped, because there were too many", { events: this.#dropped }, 1);
    this.#dropped = 0;
  }
}

const ALREADY_EXISTS = 409;

function textOf({ namespace, name, reason, note }: ServiceWarning): string {
  return [namespace, name, reason, note].join(" ");
}

function eventOf(
  { namespace, name, reason, action, note }: ServiceWarning,
  { uid, nodeName, time, name: eventName }: {
    readonly uid: string;
    readonly nodeName: string;
    readonly time: string;
    readonly name: string;
  },
): object {
  return {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: { name: eventName, namespace },
    // A MicroTime.
    eventTime: time.replace(/\.(\d{3})Z$/, ".$1000Z"),
    type: "Warning",
    reason,
    action,
    note: note.length > MAX_NOTE ? `${note.slice(0, MAX_NOTE - 3)}...` : note,
    regarding: { apiVersion: "v1", kind: "Service", namespace, name, uid },
    reportingController: "kube-proxy",
    reportingInstance: nodeName.slice(0, MAX_INSTANCE),
  };
}

/** 16 hexadecimal digits. */
function digest(text: string): string {
  return hash("sha256", text, "hex").slice(0, 16);
}
