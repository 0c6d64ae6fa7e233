import { KernelError } from "../errors.ts";
import { TimeSlice } from "../time_slice.ts";
import { messages, type NetlinkMessage } from "./reader.ts";
import type { NetlinkTransport } from "./transport.ts";

export interface NotificationHandler {
  each(message: NetlinkMessage): void;
  /** Called when all pending notifications have been handled. */
  drained?(): void;
  /** Called after missed notifications: ENOBUFS, because the receive buffer was full. Their content is unknown. */
  missed(error: KernelError): void;
}

const PAUSE_AFTER_ERROR_MS = 100;

/** Reads notifications from a socket until it is disposed. Owns the socket, which may be in any multicast groups. */
export class Notifications implements Disposable {
  readonly #transport: NetlinkTransport;
  readonly #handler: NotificationHandler;
  #disposed = false;
  #endPause = () => {};

  constructor(transport: NetlinkTransport, handler: NotificationHandler) {
    this.#transport = transport;
    this.#handler = handler;
    this.#run();
  }

  get isDisposed(): boolean {
    return this.#disposed;
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#endPause();
    this.#transport[Symbol.dispose]();
  }

  async #run(): Promise<void> {
    // Closing the transport ends `readable`.
    while (!this.#disposed) {
      await this.#transport.readable(-1);
      if (this.#disposed || await this.#readAll()) continue;
      // Pause, so that a permanently broken socket does not spin.
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, PAUSE_AFTER_ERROR_MS);
        this.#endPause = () => (clearTimeout(timer), resolve());
      });
    }
  }

  /**
   * Reads in time slices: another program's transaction can have hundreds of thousands of notifications.
   * @returns false after missed notifications.
   */
  async #readAll(): Promise<boolean> {
    const slice = new TimeSlice();
    try {
      for (let datagram; (datagram = this.#transport.receive()) !== undefined;) {
        for (const message of messages(datagram)) this.#handler.each(message);
        if (slice.isOver) await slice.next();
        if (this.#disposed) return true;
      }
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#handler.missed(error);
      return false;
    }
    this.#handler.drained?.();
    return true;
  }
}
