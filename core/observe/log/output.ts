import type { Fields, Log, Severity } from "../log.ts";
import { countLines, LineBuffer, NEWLINE } from "./line_buffer.ts";

/**
 * Reason why a line was not written: too many bytes per second, too many bytes that wait for a slow reader, or an error of
 * writing.
 */
export type DropReason = "rate" | "queue" | "write";

export type DroppedLines = Readonly<Record<DropReason, number>>;

const REASONS: readonly DropReason[] = ["rate", "queue", "write"];

/** Destination of the log and of the last message of a command. */
export interface LogOutput {
  /** Takes one line with its newline. Never throws and never waits; the line may be dropped. */
  write(line: string, severity: Severity): void;
  /** Sets the log that says how many lines were dropped. */
  reportTo(log: Pick<Log, "warn">): void;
  /** Lines dropped since the start. */
  readonly dropped: DroppedLines;
}

export interface LogOutputOptions {
  /** Writes the first bytes off the main thread, and returns how many. May wait for ever. */
  readonly write: (bytes: Uint8Array) => Promise<number>;
  /** Most bytes that wait to be written. */
  readonly queueBytes?: number;
  /** Bytes per second, after a burst of `burstBytes`. */
  readonly bytesPerSecond?: number;
  readonly burstBytes?: number;
  /** Time from the first dropped line to the report about it, and between two reports. */
  readonly reportMs?: number;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** 22 GB per day. With `-v=4` a change takes 300 bytes, so this is enough for 800 changes per second. */
const BYTES_PER_SECOND = 256 * 1024;

/** Three quarters of it, the share of warnings, are a line of 600 bytes for each of 10,000 services. */
const BURST_BYTES = 8 * 1024 * 1024;

/** The lines of one turn of the event loop wait here: a warning of 300 bytes for each of 10,000 services. */
const QUEUE_BYTES = 4 * 1024 * 1024;

const REPORT_MS = 1000;

/** More than a report takes. */
const REPORT_BYTES = 8 * 1024;

/** Less than the capacity of a pipe (64 KiB), so that a slow reader is seen to make progress. */
const CHUNK_BYTES = 16 * 1024;

/** Part of the queue and of the burst that a severity may use: errors still fit when information no longer does. */
const SHARE: Readonly<Record<Severity, number>> = { info: 1 / 2, warning: 3 / 4, error: 1 };

/** Pause before writing to a full pipe again that another process made non-blocking. */
const WOULD_BLOCK_MS = 50;

/** flush() gives up after so long without progress, and after so long in total. */
const FLUSH_STALL_MS = 1000;
const FLUSH_MS = 5000;

/** Dropped lines that no report has named. */
interface Losses {
  /** Time of the first, in ISO 8601. */
  since: string;
  readonly lines: Record<DropReason, number>;
  /** Reason of the last failed write. */
  error?: string;
}

/**
 * Writes lines in order, with one write in flight. The event loop never waits for a disk or for the reader of a
 * pipe: lines that do not fit in the queue are dropped and counted, and so are lines whose write fails. Once
 * writing works again, a line says how many are missing.
 */
export class QueuedLogOutput implements LogOutput {
  readonly #options: Required<LogOutputOptions>;
  readonly #buffer: LineBuffer;
  readonly #dropped = noLines();
  #losses: Losses | undefined;
  /** The losses named by a report that is not written yet, and its end in the sequence of all bytes. */
  #report: { readonly losses: Losses; readonly end: number } | undefined;
  #isReporting = false;
  #reportTimer: number | undefined;
  #log: Pick<Log, "warn"> | undefined;
  /** Bytes added to the buffer, and taken from it, since the start. */
  #added = 0;
  #taken = 0;
  #written = 0;
  /** Undefined while nothing waits. */
  #draining: Promise<void> | undefined;
  #lastWriteFailed = false;
  /** The last line that was written lacks its end. */
  #isCut = false;
  /** Bytes that may be added at the time `#budgetAt`. */
  #budget: number;
  #budgetAt: number;

  constructor(options: LogOutputOptions) {
    this.#options = {
      queueBytes: QUEUE_BYTES,
      bytesPerSecond: BYTES_PER_SECOND,
      burstBytes: BURST_BYTES,
      reportMs: REPORT_MS,
      now: () => performance.now(),
      ...options,
    };
    this.#buffer = new LineBuffer(this.#options.queueBytes);
    this.#budget = this.#options.burstBytes;
    this.#budgetAt = this.#options.now();
  }

  get dropped(): DroppedLines {
    return { ...this.#dropped };
  }

  reportTo(log: Pick<Log, "warn">): void {
    this.#log = log;
  }

  write(line: string, severity: Severity): void {
    // A report is not subject to the budget, because it may be the budget that it reports about.
    if (this.#isReporting) this.#add(line, "error");
    else if (this.#hasBudget(severity)) this.#budget -= this.#add(line, severity);
    else this.#drop("rate", 1);
  }

  /** Writes the last message of a command, which has no budget. */
  print(text: string): void {
    this.#add(text, "error");
  }

  /** Waits until everything is written, but not for a reader that does not read. For the end of the process. */
  async flush(): Promise<void> {
    const { now } = this.#options;
    this.#reportLosses();
    const deadline = now() + FLUSH_MS;
    while (this.#draining !== undefined && now() < deadline) {
      const before = this.#written;
      const stalled = Promise.withResolvers<void>();
      const timer = setTimeout(stalled.resolve, FLUSH_STALL_MS);
      await Promise.race([this.#draining, stalled.promise]);
      clearTimeout(timer);
      if (this.#written === before) return;
    }
  }

  #hasBudget(severity: Severity): boolean {
    const { bytesPerSecond, burstBytes, now } = this.#options;
    const time = now();
    this.#budget = Math.min(burstBytes, this.#budget + (time - this.#budgetAt) / 1000 * bytesPerSecond);
    this.#budgetAt = time;
    return this.#budget > burstBytes * (1 - SHARE[severity]);
  }

  /** Adds a line to the queue. @returns its bytes */
  #add(line: string, severity: Severity): number {
    const hasRoom = this.#buffer.length < this.#options.queueBytes * SHARE[severity];
    const bytes = hasRoom ? this.#buffer.add(line) : 0;
    if (bytes === 0) this.#drop("queue", 1);
    this.#added += bytes;
    if (this.#buffer.length > 0) this.#draining ??= this.#drain();
    return bytes;
  }

  async #drain(): Promise<void> {
    while (this.#buffer.length > 0) {
      const chunk = this.#buffer.take(CHUNK_BYTES);
      this.#taken += chunk.length;
      await this.#writeChunk(chunk);
    }
    this.#draining = undefined;
  }

  /** Writes all lines. After an error drops those that are left; the next lines are tried again. */
  async #writeChunk(chunk: Uint8Array<ArrayBuffer>): Promise<void> {
    let written = 0;
    try {
      if (this.#isCut) await this.#writeSome(Uint8Array.of(NEWLINE));
      this.#isCut = false;
      while (written < chunk.length) written += await this.#writeSome(chunk.subarray(written));
    } catch (error) {
      this.#lastWriteFailed = true;
      if (written > 0) this.#isCut = chunk[written - 1] !== NEWLINE;
      this.#endReport(false);
      this.#drop("write", countLines(chunk.subarray(written)), reasonOf(error));
      return;
    }
    this.#endReport(true);
    if (!this.#lastWriteFailed) return;
    this.#lastWriteFailed = false;
    this.#reportLosses();
  }

  async #writeSome(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    for (;;) {
      try {
        const written = await this.#options.write(bytes);
        if (written === 0) throw new Error("nothing was written");
        this.#written += written;
        return written;
      } catch (error) {
        if (error instanceof Deno.errors.Interrupted) continue;
        if (!(error instanceof Deno.errors.WouldBlock)) throw error;
        await new Promise((resolve) => setTimeout(resolve, WOULD_BLOCK_MS));
      }
    }
  }

  #drop(reason: DropReason, lines: number, error?: string): void {
    this.#dropped[reason] += lines;
    this.#losses ??= { since: new Date().toISOString(), lines: noLines() };
    this.#losses.lines[reason] += lines;
    if (error !== undefined) this.#losses.error = error;
    this.#scheduleReport();
  }

  #scheduleReport(): void {
    // While writing fails, the first write that succeeds is followed by the report.
    if (this.#reportTimer !== undefined || this.#lastWriteFailed) return;
    this.#reportTimer = setTimeout(() => this.#reportLosses(), this.#options.reportMs);
    Deno.unrefTimer(this.#reportTimer);
  }

  #reportLosses(): void {
    clearTimeout(this.#reportTimer);
    this.#reportTimer = undefined;
    const losses = this.#losses;
    if (losses === undefined || this.#log === undefined || this.#lastWriteFailed) return;
    const isFull = this.#buffer.length + REPORT_BYTES > this.#options.queueBytes;
    if (this.#report !== undefined || isFull) return this.#scheduleReport();
    this.#losses = undefined;
    this.#isReporting = true;
    this.#log.warn("Log lines were dropped", describeLosses(losses));
    this.#isReporting = false;
    this.#report = { losses, end: this.#added };
  }

  /** Takes the losses of a report back that could not be written. */
  #endReport(isWritten: boolean): void {
    if (this.#report === undefined || this.#taken < this.#report.end) return;
    const { losses } = this.#report;
    this.#report = undefined;
    if (isWritten) return;
    for (const reason of REASONS) losses.lines[reason] += this.#losses?.lines[reason] ?? 0;
    this.#losses = losses;
  }
}

function noLines(): Record<DropReason, number> {
  return { rate: 0, queue: 0, write: 0 };
}

function describeLosses({ since, lines, error }: Losses): Fields {
  const reasons = REASONS.filter((reason) => lines[reason] > 0);
  return {
    lines: reasons.reduce((sum, reason) => sum + lines[reason], 0),
    since,
    ...Object.fromEntries(reasons.map((reason) => [reason, lines[reason]])),
    ...(error === undefined ? {} : { error }),
  };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
