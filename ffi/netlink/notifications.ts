import { KernelError } from "../errors.ts";
import { messages, type NetlinkMessage } from "./reader.ts";
import type { NetlinkTransport } from "./transport.ts";

/** Who is told of what comes. */
export interface NotificationHandler {
  each(message: NetlinkMessage): void;
  /** All that was there has been handed over. */
  drained?(): void;
  /** Some were lost: ENOBUFS, there was more than the socket holds. What they were cannot be told. */
  lost(error: KernelError): void;
}

const AFTER_ERROR_MS = 100;

/** Reads a socket of its own, in whatever groups it is, until it is disposed of; then the socket is closed. */
export class Notifications implements Disposable {
  readonly #transport: NetlinkTransport;
  readonly #handler: NotificationHandler;
  #disposed = false;
  #endRest = () => {};

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
    this.#endRest();
    this.#transport[Symbol.dispose]();
  }

  async #run(): Promise<void> {
    // Closing the transport ends the wait.
    while (!this.#disposed) {
      await this.#transport.readable(-1);
      if (this.#disposed || this.#readAll()) continue;
      // Were the socket broken for good, this would turn as fast as it can.
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, AFTER_ERROR_MS);
        this.#endRest = () => (clearTimeout(timer), resolve());
      });
    }
  }

  /** @returns false when something was lost. */
  #readAll(): boolean {
    try {
      for (let datagram; (datagram = this.#transport.receive()) !== undefined;) {
        for (const message of messages(datagram)) this.#handler.each(message);
      }
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#handler.lost(error);
      return false;
    }
    this.#handler.drained?.();
    return true;
  }
}
