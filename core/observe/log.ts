/** Writes structured log lines. The whole program logs through this interface. */
export interface Log {
  error(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  /** Shown when `-v` is at least `verbosity` (default 0). */
  info(message: string, fields?: Fields, verbosity?: number): void;
}

export type Fields = Readonly<Record<string, unknown>>;

export interface LogOptions {
  readonly format: "text" | "json";
  readonly verbosity: number;
  /** Receives one line with its newline. */
  readonly write: (line: string) => void;
  /** Milliseconds since the epoch, with fraction. */
  readonly now?: () => number;
  readonly pid?: number;
}

/**
 * Creates a log that writes each line at once, in the formats of Kubernetes components: klog's header and
 * key="value" pairs, or one JSON object per line. Implemented here because a library costs 2 MB of resident
 * memory.
 */
export function createLog(options: LogOptions): Log {
  const { verbosity, write, now = preciseNow, pid = Deno.pid } = options;
  const format = options.format === "json" ? jsonLine : (record: Line) => textLine(record, pid);
  const log = (severity: Severity, message: string, fields: Fields | undefined, level: number) =>
    write(format({ severity, time: now(), message, verbosity: level, fields: fields ?? {} }));
  return {
    error: (message, fields) => log("error", message, fields, 0),
    warn: (message, fields) => log("warning", message, fields, 0),
    info: (message, fields, level = 0) => {
      if (level <= verbosity) log("info", message, fields, level);
    },
  };
}

type Severity = "error" | "warning" | "info";

interface Line {
  readonly severity: Severity;
  readonly time: number;
  readonly message: string;
  readonly verbosity: number;
  readonly fields: Fields;
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
  for (const [key, value] of Object.entries(fields)) line += ` ${key}=${textValue(value)}`;
  return line + "\n";
}

function textValue(value: unknown): string {
  const plain = plainValue(value);
  return JSON.stringify(plain) ?? String(plain);
}

/**
 * Formats a line with the keys of Kubernetes' JSON format: `ts` in milliseconds, `msg`, `v` for severity
 * "info".
 */
function jsonLine({ severity, time, message, verbosity, fields }: Line): string {
  const values = Object.entries(fields).map(([key, value]) => [key, plainValue(value)]);
  return JSON.stringify({
    ts: Math.round(time * 1000) / 1000,
    level: severity,
    msg: message,
    ...(severity === "info" ? { v: verbosity } : {}),
    ...Object.fromEntries(values),
  }) + "\n";
}

/** Converts a value to one that JSON can hold: an error becomes its message and its cause. */
function plainValue(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (!(value instanceof Error)) return value;
  const cause = value.cause instanceof Error ? String(plainValue(value.cause)) : "";
  // An error that was translated for the reader already has the message of its cause.
  return value.message.includes(cause) ? value.message : `${value.message}: ${cause}`;
}

function preciseNow(): number {
  return performance.timeOrigin + performance.now();
}
