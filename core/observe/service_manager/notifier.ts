import { closeDescriptor, duplicateDescriptor } from "../../../ffi/system/process.ts";
import { MAX_SOCKET_PATH } from "../../../ffi/socket/unix/address.ts";
import { DatagramSender } from "../../../ffi/socket/unix/socket.ts";
import type { Log } from "../log.ts";

/** Environment of the process, as Deno.env. */
export interface Environment {
  get(name: string): string | undefined;
  delete(name: string): void;
}

interface Message {
  readonly text: string;
  /** A descriptor that goes with it, and is closed afterwards. */
  readonly socket?: number;
}

/** Pause before sending again what the service manager did not take. */
const RETRY_MS = 100;
/** Attempts to send a message. */
const MAX_ATTEMPTS = 50;

/** Variables that are only for this process: sd_notify(3), sd_watchdog_enabled(3). */
const VARIABLES = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] as const;

/**
 * Sends messages to the service manager that started this process, in the protocol of sd_notify(3). Never waits for it:
 * a message that it does not take is sent again later, in order, and given up with one warning after 5 s.
 */
export class Notifier implements Disposable {
  readonly #sender: DatagramSender;
  readonly #log: Log;
  readonly #waiting: Message[] = [];
  #attempts = 0;
  #timer: number | undefined;
  #hasWarned = false;
  #isStopping = false;

  private constructor(
    path: string,
    /** The time after which a process that sends no WATCHDOG=1 is restarted; undefined for no watchdog. */
    readonly watchdogMs: number | undefined,
    log: Log,
  ) {
    this.#sender = new DatagramSender(path);
    this.#log = log;
  }

  /**
   * Reads the socket and the watchdog from the environment, and removes them from it, so that credential plugins do not
   * send messages in the name of this process.
   * @returns undefined if no service manager expects messages.
   */
  static open(environment: Environment, log: Log): Notifier | undefined {
    const [socket, watchdog, watched] = VARIABLES.map((name) => environment.get(name));
    for (const name of VARIABLES) environment.delete(name);
    if (socket === undefined || socket === "") return undefined;
    const path = socket.replace(/^@/, "\0");
    if (!/^[/\0]./.test(path) || new TextEncoder().encode(path).length >= MAX_SOCKET_PATH) {
      log.warn(
        "The service manager is not notified: NOTIFY_SOCKET must be an absolute path, or @ and a name",
        {
          NOTIFY_SOCKET: socket,
        },
      );
      return undefined;
    }
    const isForUs = watched === undefined || watched === String(Deno.pid);
    const watchdogMs = isForUs ? Number(watchdog ?? "") / 1000 : NaN;
    return new Notifier(path, watchdogMs > 0 ? watchdogMs : undefined, log);
  }

  /** @param assignments `READY=1`, `STATUS=…`: the lines of one message. */
  send(...assignments: string[]): void {
    if (this.#isStopping) return;
    this.#post({ text: assignments.join("\n") });
  }

  /** Gives a socket to the service manager, which passes it to the next process. The caller may close it at once. */
  keep(name: string, socket: number): void {
    if (this.#isStopping) return;
    const duplicate = duplicateDescriptor(socket);
    if (duplicate !== undefined) this.#post({ text: `FDSTORE=1\nFDNAME=${name}`, socket: duplicate });
  }

  /** Makes the service manager close the sockets that it has been given with this name. */
  forget(name: string): void {
    this.send("FDSTOREREMOVE=1", `FDNAME=${name}`);
  }

  /** Sends `WATCHDOG=1`, unless other messages wait: the next one is soon enough. */
  feedWatchdog(): void {
    if (this.#waiting.length === 0) this.send("WATCHDOG=1");
  }

  /**
   * Sends the last message: the process is about to end.
   * @param afterEnd state of the node after that.
   */
  stopping(afterEnd: string): void {
    this.send("STOPPING=1", `STATUS=Stopping; ${afterEnd}`);
    this.#isStopping = true;
  }

  #post(message: Message): void {
    this.#waiting.push(message);
    if (this.#timer === undefined) this.#flush();
  }

  #flush(): void {
    this.#timer = undefined;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const bytes = new TextEncoder().encode(next.text);
      const { socket } = next;
      const isSent = socket === undefined
        ? this.#sender.send(bytes)
        : this.#sender.sendDescriptor(bytes, socket);
      if (!isSent) return this.#postpone();
      if (socket !== undefined) closeDescriptor(socket);
      this.#waiting.shift();
      this.#attempts = 0;
    }
  }

  #postpone(): void {
    if (++this.#attempts >= MAX_ATTEMPTS) {
      if (!this.#hasWarned) {
        this.#log.warn(
          "The service manager does not take messages (NOTIFY_SOCKET); it may consider the process dead",
        );
      }
      this.#hasWarned = true;
      this.#dropWaiting();
      this.#attempts = 0;
      return;
    }
    this.#timer = setTimeout(() => this.#flush(), RETRY_MS);
    // A message alone does not keep the process alive.
    Deno.unrefTimer(this.#timer);
  }

  #dropWaiting(): void {
    for (const { socket } of this.#waiting.splice(0)) if (socket !== undefined) closeDescriptor(socket);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#dropWaiting();
    this.#sender[Symbol.dispose]();
  }
}
