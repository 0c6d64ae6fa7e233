import type { Log } from "../observe/log.ts";

/**
 * Repairs in a row that may be undone before the delay between them grows. Scripts and firewalls that start make some
 * changes one after the other.
 */
const PROMPT_REPAIRS = 10;
const FIRST_DELAY_MS = 1000;
const MAX_DELAY_MS = 30_000;
/** A repair that lasts this long, and twice the delay before it, ends a dispute. */
const QUIET_MS = 2000;
/** Programs that are remembered. */
const MAX_PROGRAMS = 16;
const UNKNOWN = "another process";

export interface RepairBackoffOptions {
  /** Maximum delay between two repairs after changes by the same program. Never more than 30 s. */
  readonly maxDelayMs: number;
  readonly log: Log;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

/** A program that changed our kernel objects. */
interface Program {
  readonly name: string;
  /** The first change that is not repaired yet; undefined if there is none. */
  change: string | undefined;
  /** Repairs in a row that the program undid soon. */
  undone: number;
  /** Time of the last repair after a change by this program. */
  repairedAt: number;
  /** Start of the current dispute, which the log reports once; undefined if there is none. */
  disputeSince: number | undefined;
}

/**
 * Decides when foreign changes of our kernel objects are repaired: at once, unless the same program undoes every repair
 * soon. Then the delay between repairs doubles up to 30 s, so that two programs that fight do not use up the node's CPU.
 * Each program has its own delay. A repair that lasts ends the dispute.
 */
export class RepairBackoff {
  readonly #maxDelayMs: number;
  readonly #log: Log;
  readonly #now: () => number;
  readonly #programs = new Map<string, Program>();
  /** The programs whose changes are being repaired. */
  #repairing: readonly Program[] = [];

  constructor({ maxDelayMs, log, now = () => performance.now() }: RepairBackoffOptions) {
    this.#maxDelayMs = Math.min(maxDelayMs, MAX_DELAY_MS);
    this.#log = log;
    this.#now = now;
  }

  /**
   * Notes a foreign change.
   * @param name of the program; undefined if it is not known.
   */
  note(change: string, name = UNKNOWN): void {
    const program = this.#programs.get(name) ?? this.#add(name);
    if (program.change !== undefined) return;
    program.change = change;
    const lasted = this.#now() - program.repairedAt;
    if (!this.#repairing.includes(program) && lasted >= this.#quietMs(program)) {
      this.#endDispute(program);
      return;
    }
    program.undone++;
    if (program.undone < PROMPT_REPAIRS || program.disputeSince !== undefined) return;
    program.disputeSince = this.#now();
    this.#log.warn(
      "Another program keeps changing our kernel objects; repairs become rarer until it stops. Configure it to leave " +
        "them alone, or stop it",
      { program: name, change, maxDelaySeconds: this.#maxDelayMs / 1000 },
    );
  }

  /** Programs whose changes are being repaired. */
  get programs(): readonly string[] {
    return this.#repairing.map(({ name }) => name);
  }

  /** True while a change is not repaired. */
  get isPending(): boolean {
    return this.#programs.values().some(({ change }) => change !== undefined);
  }

  /** True while a program undoes our repairs. */
  get isInDispute(): boolean {
    return this.#programs.values().some(({ disputeSince }) => disputeSince !== undefined);
  }

  /** Time of the next repair; Infinity if nothing is to be repaired. */
  get dueMs(): number {
    let dueMs = Infinity;
    for (const program of this.#programs.values()) {
      if (program.change !== undefined) dueMs = Math.min(dueMs, program.repairedAt + this.#delayMs(program));
    }
    return dueMs;
  }

  /** Time when `endDisputes` should be called next; Infinity for none. */
  get quietMs(): number {
    let quietMs = Infinity;
    for (const program of this.#programs.values()) {
      if (program.disputeSince === undefined || program.change !== undefined) continue;
      quietMs = Math.min(quietMs, program.repairedAt + this.#quietMs(program));
    }
    return quietMs;
  }

  /** Logs the disputes that have ended. */
  endDisputes(): void {
    const now = this.#now();
    for (const program of this.#programs.values()) {
      if (program.change !== undefined || now < program.repairedAt + this.#quietMs(program)) continue;
      this.#endDispute(program);
    }
  }

  /** Begins a repair of all that is pending. @returns the reason; undefined if nothing is to be repaired. */
  take(): string | undefined {
    this.#repairing = [...this.#programs.values().filter(({ change }) => change !== undefined)];
    const reason = this.#repairing[0]?.change;
    for (const program of this.#repairing) {
      program.repairedAt = this.#now();
      program.change = undefined;
    }
    return reason;
  }

  /** Ends the repair that `take` began. */
  repaired(): void {
    for (const program of this.#repairing) program.repairedAt = this.#now();
    this.#repairing = [];
  }

  #add(name: string): Program {
    const oldest = this.#programs.values().find(({ change }) => change === undefined);
    if (this.#programs.size >= MAX_PROGRAMS && oldest !== undefined) this.#programs.delete(oldest.name);
    const program = { name, change: undefined, undone: 0, repairedAt: -Infinity, disputeSince: undefined };
    this.#programs.set(name, program);
    return program;
  }

  #delayMs({ undone }: Program): number {
    if (undone < PROMPT_REPAIRS) return 0;
    return Math.min(FIRST_DELAY_MS * 2 ** (undone - PROMPT_REPAIRS), this.#maxDelayMs);
  }

  #quietMs(program: Program): number {
    return Math.max(QUIET_MS, 2 * this.#delayMs(program));
  }

  #endDispute(program: Program): void {
    const { name, undone, disputeSince } = program;
    program.undone = 0;
    program.disputeSince = undefined;
    if (disputeSince === undefined) return;
    const seconds = Math.round((program.repairedAt - disputeSince) / 1000);
    this.#log.info("The other program no longer changes our kernel objects", {
      program: name,
      repairs: undone,
      seconds,
    });
  }
}
