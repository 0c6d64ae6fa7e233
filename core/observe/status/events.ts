import type { Fields, Log, Severity } from "../log.ts";

/** Why something is in the list of events. */
export type EventKind =
  /** The kernel was compared with everything desired. */
  | "full sync"
  /** A foreign change was undone. */
  | "repair"
  /** A sync failed; it is tried again. */
  | "failure"
  /** The kernel rejected a service port. */
  | "rejection"
  /** Contact with the source of objects was lost or regained. */
  | "source"
  /** A warning or an error of the log, such as an object that was refused. */
  | "message";

export interface ProxyEvent {
  /** Counts up from 1, so that a reader sees whether it missed events. */
  readonly number: number;
  /** RFC 3339. */
  readonly at: string;
  readonly kind: EventKind;
  readonly severity: Severity;
  /** Written for operators; at most `MAX_TEXT` characters. */
  readonly text: string;
}

const MAX_EVENTS = 200;
/** Longer texts are cut, because objects may have names and values of any length. */
const MAX_TEXT = 500;

/** The last 200 events. */
export class EventRing {
  readonly #events: ProxyEvent[] = [];
  readonly #now: () => number;
  #count = 0;

  /** @param now returns milliseconds since the epoch. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  add(kind: EventKind, severity: Severity, text: string): void {
    if (this.#events.length === MAX_EVENTS) this.#events.shift();
    this.#count++;
    const at = new Date(this.#now()).toISOString();
    this.#events.push({ number: this.#count, at, kind, severity, text: shortened(text) });
  }

  /** The newest first. */
  get newestFirst(): readonly ProxyEvent[] {
    return this.#events.toReversed();
  }
}

/** Cuts a text to what an event holds. */
export function shortened(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT - 1)}…`;
}

/** A log that also records its warnings and errors as events. */
export function recordingLog(log: Log, events: EventRing): Log {
  const record = (severity: Severity, message: string, fields: Fields = {}) =>
    events.add("message", severity, withFields(message, fields));
  return {
    error(message, fields) {
      log.error(message, fields);
      record("error", message, fields);
    },
    warn(message, fields) {
      log.warn(message, fields);
      record("warning", message, fields);
    },
    info: (message, fields, verbosity) => log.info(message, fields, verbosity),
  };
}

/** Fields that are shown: an event is a line of text. */
const MAX_FIELDS = 8;

function withFields(message: string, fields: Fields): string {
  const shown = Object.entries(fields).slice(0, MAX_FIELDS)
    .map(([name, value]) => `${name}: ${fieldText(value)}`);
  return shown.length === 0 ? message : `${message} (${shown.join(", ")})`;
}

function fieldText(value: unknown): string {
  if (value instanceof Error) return value.message;
  if (Array.isArray(value)) return value.slice(0, MAX_FIELDS).map(fieldText).join("; ");
  return typeof value === "object" && value !== null ? "…" : String(value);
}
