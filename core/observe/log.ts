import { LineValues } from "./log/values.ts";

/** Writes structured log lines. The whole program logs through this interface. */
export interface Log {
  error(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  /** Shown when `-v` is at least `verbosity` (default 0). */
  info(message: string, fields?: Fields, verbosity?: number): void;
}

export type Severity = "error" | "warning" | "info";

export type Fields = Readonly<Record<string, unknown>>;

export interface LogOptions {
  readonly format: "text" | "json";
  /** May change: each line is compared with it. */
  verbosity: number;
  /** Receives one line with its newline. Must not throw. */
  readonly write: (line: string, severity: Severity) => void;
  /** Milliseconds since the epoch, with fraction. */
  readonly now?: () => number;
  readonly pid?: number;
}

/**
 * Creates a log that writes each line at once, in the formats of Kubernetes components: klog's header and
 * key="value" pairs, or one JSON object per line. Long messages and values are cut, and nothing that is logged can
 * make it throw. Implemented here because a library costs 2 MB of resident memory.
 */
export function createLog(options: LogOptions): Log {
  const { write, now = preciseNow, pid = Deno.pid } = options;
  const format = options.format === "json" ? jsonLine : (record: Line) => textLine(record, pid);
  const log = (severity: Severity, message: string, fields: Fields | undefined, level: number) =>
    write(format(lineOf({ severity, time: now(), verbosity: level }, message, fields ?? {})), severity);
  return {
    error: (message, fields) => log("error", message, fields, 0),
    warn: (message, fields) => log("warning", message, fields, 0),
    info: (message, fields, level = 0) => {
      if (level <= options.verbosity) log("info", message, fields, level);
    },
  };
}

interface Header {
  readonly severity: Severity;
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly verbosity: number;
}

interface Line extends Header {
  readonly message: string;
  /** Values that JSON can hold, or undefined. */
  readonly fields: readonly (readonly [key: string, value: unknown])[];
}

/** Makes message and fields short. A field whose conversion to text throws does not hide the message. */
function lineOf(header: Header, message: string, fields: Fields): Line {
  const values = new LineValues();
  const text = values.text(message);
  try {
    return { ...header, message: text, fields: values.fields(fields) };
  } catch {
    return { ...header, message: text, fields: [["unreadableFields", true]] };
  }
}

/**
 * Formats `I1120 23:10:11.123456 12345] "Synced" changes=3 seconds=0.001`. Local time; no source file, unlike
 * klog.
 */
function textLine({ severity, time, message, fields }: Line, pid: number): string {
  const date = new Date(time);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = two(date.getMonth() + 1) + two(date.getDate());
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  const micros = String(Math.floor((time % 1000) * 1000)).padStart(6, "0");
  let line = `${severity[0]?.toUpperCase()}${day} ${clock}.${micros} ${String(pid).padStart(7)}] ${
    JSON.stringify(message)
  }`;
  for (const [key, value] of fields) line += ` ${key}=${JSON.stringify(value) ?? String(value)}`;
  return line + "\n";
}

/**
 * Formats a line with the keys of Kubernetes' JSON format: `ts` in milliseconds, `msg`, `v` for severity
 * "info".
 */
function jsonLine({ severity, time, message, verbosity, fields }: Line): string {
  return JSON.stringify({
    ts: Math.round(time * 1000) / 1000,
    level: severity,
    msg: message,
    ...(severity === "info" ? { v: verbosity } : {}),
    ...Object.fromEntries(fields),
  }) + "\n";
}

function preciseNow(): number {
  return performance.timeOrigin + performance.now();
}
