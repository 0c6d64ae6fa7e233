import { hash } from "node:crypto";
import { delay, Wakeup } from "../../async/wakeup.ts";
import type { Log } from "../../observe/log.ts";
import type { NodeEvent, ServiceWarning } from "../../source.ts";
import { DeadlineError, supervised } from "../../async/attempt.ts";
import { readError } from "./error.ts";
import type { ApiTiming } from "./timing.ts";
import type { Transport } from "./transport.ts";

export interface EventSenderOptions {
  readonly transport: Pick<Transport, "get" | "post" | "answerRead">;
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

/** An Event to be sent: about a Service, or about the node of this proxy. */
type QueuedEvent =
  | ServiceWarning & { readonly about: "Service" }
  | NodeEvent & { readonly about: "Node"; readonly namespace: string; readonly name: string };

/** The namespace of Events about objects that have none. */
const NODE_EVENTS = "default";

/**
 * Sends warnings about Services, and what this proxy does, as Kubernetes Events (docs/behaviour.md §9.7). They are a convenience: sending never
 * delays anything else, and what the API server does not accept is dropped with a line in the verbose log.
 *
 * Every node may find the same conflict. The name of an Event follows from its text, so that the API server has it once,
 * and answers the other nodes that it exists.
 */
export class EventSender {
  readonly #options: EventSenderOptions;
  readonly #waiting: QueuedEvent[] = [];
  readonly #wakeup = new Wakeup();
  /** When each event was sent, the oldest first. */
  readonly #sent = new Map<string, number>();
  #dropped = 0;
  #isForbidden = false;

  constructor(options: EventSenderOptions) {
    this.#options = options;
  }

  /** Queues a warning about a Service. */
  send(warning: ServiceWarning): void {
    this.#queue({ about: "Service", ...warning });
  }

  /** Queues an Event about the node of this proxy. */
  sendAboutNode(event: NodeEvent): void {
    this.#queue({ about: "Node", namespace: NODE_EVENTS, name: this.#options.nodeName, ...event });
  }

  #queue(event: QueuedEvent): void {
    if (this.#waiting.length >= MAX_WAITING) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(event);
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

  /** An Event about the node is never sent twice. */
  #isKnown(event: QueuedEvent): boolean {
    if (event.about === "Node") return false;
    const sentAt = this.#sent.get(textOf(event));
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

  async #trySend(event: QueuedEvent, signal: AbortSignal): Promise<void> {
    const { timing, log } = this.#options;
    try {
      await supervised("the event", timing.answerMs, signal, (signal) => this.#send(event, signal));
      if (event.about === "Service") this.#remember(event);
    } catch (error) {
      if (signal.aborted) return;
      const problem = error instanceof Error ? error.message : String(error);
      const object = event.about === "Node" ? event.name : `${event.namespace}/${event.name}`;
      const level = error instanceof DeadlineError ? 1 : 2;
      log.info("An event could not be sent", { [event.about.toLowerCase()]: object, problem }, level);
    }
  }

  async #send(event: QueuedEvent, signal: AbortSignal): Promise<void> {
    const { transport, nodeName, now = Date.now } = this.#options;
    const time = new Date(now()).toISOString();
    const context = { nodeName, time };
    let body: object;
    if (event.about === "Node") body = nodeEvent(event, context);
    else {
      const uid = await this.#uidOf(event, signal);
      // The Service is gone meanwhile.
      if (uid === undefined) return;
      body = serviceEvent(event, uid, context);
    }
    const path = `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(event.namespace)}/events`;
    const response = await transport.post(path, JSON.stringify(body), signal);
    if (response.ok || response.status === ALREADY_EXISTS) {
      transport.answerRead("POST", (await response.bytes()).length);
      return;
    }
    this.#isForbidden = response.status === 401 || response.status === 403 || response.status === 404;
    throw await readError(response);
  }

  /** The uid, without which `kubectl describe service` does not show the event. The proxy may list, but not get. */
  async #uidOf({ namespace, name }: ServiceWarning, signal: AbortSignal): Promise<string | undefined> {
    const selector = encodeURIComponent(`metadata.name=${name}`);
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/services?fieldSelector=${selector}`;
    const { transport } = this.#options;
    const response = await transport.get(path, signal);
    if (!response.ok) throw await readError(response);
    const body = await response.bytes();
    transport.answerRead("GET", body.length);
    const list: { readonly items?: readonly { readonly metadata?: { readonly uid?: unknown } }[] } = JSON
      .parse(
        new TextDecoder().decode(body),
      );
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

interface EventContext {
  readonly nodeName: string;
  /** RFC 3339, with milliseconds. */
  readonly time: string;
}

/** A warning. Its name follows from the text, so that all nodes together make one Event. */
function serviceEvent(
  warning: ServiceWarning,
  uid: string,
  context: EventContext,
): object {
  const { namespace, name, reason, action, note } = warning;
  return {
    ...commonFields({ namespace, name: `${name}.${digest(`${uid} ${textOf(warning)}`)}` }, context),
    type: "Warning",
    reason,
    action,
    note: note.length > MAX_NOTE ? `${note.slice(0, MAX_NOTE - 3)}...` : note,
    regarding: { apiVersion: "v1", kind: "Service", namespace, name, uid },
  };
}

/** An Event about the node, as kube-proxy 1.37 makes it: without a uid. Each start has one of its own. */
function nodeEvent({ reason, action }: NodeEvent, context: EventContext): object {
  const { nodeName, time } = context;
  const name = `${nodeName}.${digest(`${reason} ${time}`)}`;
  return {
    ...commonFields({ namespace: NODE_EVENTS, name }, context),
    type: "Normal",
    reason,
    action,
    regarding: { apiVersion: "v1", kind: "Node", name: nodeName },
  };
}

function commonFields(metadata: object, { nodeName, time }: EventContext): object {
  return {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata,
    // A MicroTime.
    eventTime: time.replace(/\.(\d{3})Z$/, ".$1000Z"),
    reportingController: "kube-proxy",
    reportingInstance: nodeName.slice(0, MAX_INSTANCE),
  };
}

/** 16 hexadecimal digits. */
function digest(text: string): string {
  return hash("sha256", text, "hex").slice(0, 16);
}
