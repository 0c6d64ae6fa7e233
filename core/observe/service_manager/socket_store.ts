import type { Notifier } from "./notifier.ts";

/** Descriptors of this process by the names of the sockets. */
type Sockets = Readonly<Record<string, number>>;

/**
 * The sockets that the service manager keeps for the next process (FileDescriptorStoreMax in systemd.service(5)). It
 * keeps them until it is told otherwise, and while it does, the kernel accepts connections that nobody serves.
 */
export class SocketStore {
  readonly #notifier: Pick<Notifier, "keep" | "forget"> | undefined;
  /** The descriptor of this process for each socket that is kept. */
  #kept: Sockets;

  /**
   * @param notifier undefined if no service manager expects messages.
   * @param inherited the sockets that it has kept from an earlier process.
   */
  constructor(notifier: Pick<Notifier, "keep" | "forget"> | undefined, inherited: Sockets) {
    this.#notifier = notifier;
    this.#kept = inherited;
  }

  /** Makes these the only sockets that are kept. */
  keep(sockets: Sockets): void {
    const before = this.#kept;
    if (sockets === before) return;
    this.#kept = sockets;
    for (const [name, socket] of Object.entries(before)) {
      if (sockets[name] !== socket) this.#notifier?.forget(name);
    }
    for (const [name, socket] of Object.entries(sockets)) {
      if (before[name] !== socket) this.#notifier?.keep(name, socket);
    }
  }
}
