import { closeSocket } from "../../../../ffi/socket/stream.ts";
import type { NamedDescriptors } from "./hand_over.ts";

/** Sockets of an earlier process that are not in use yet. */
export class InheritedSockets {
  readonly #sockets: Map<string, number>;

  constructor(sockets: NamedDescriptors) {
    this.#sockets = new Map(Object.entries(sockets));
  }

  /** Returns a socket for use; undefined if there is none of this name. */
  take(name: string): number | undefined {
    const fd = this.#sockets.get(name);
    this.#sockets.delete(name);
    return fd;
  }

  /** Closes the sockets that nobody has taken. */
  closeRest(): void {
    for (const fd of this.#sockets.values()) closeSocket(fd);
    this.#sockets.clear();
  }
}
