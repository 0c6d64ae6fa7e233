import {
  acceptPeer,
  connectToPeer,
  listenForPeers,
  MAX_DESCRIPTORS,
  receiveDescriptors,
  sendDescriptors,
} from "../../../../ffi/socket/descriptor_passing.ts";
import { EPOLLIN } from "../../../../ffi/socket/constants.ts";
import { peerCredentials } from "../../../../ffi/socket/peer_credentials.ts";
import { closeSocket } from "../../../../ffi/socket/stream.ts";
import type { EventLoop, EventTarget } from "../event_loop.ts";

/** Sockets by name. */
export type NamedDescriptors = Readonly<Record<string, number>>;

/** Name of the abstract Unix socket where a process that ends offers its listeners. */
export const HAND_OVER_NAME = "proxy/userspace-listeners";

/** Limit for each message of the earlier process, which answers at once. */
const ANSWER_MS = 1000;
/** Enough for the names of MAX_DESCRIPTORS sockets. */
const MESSAGE_BYTES = 16 * 1024;

export interface HandOverOptions {
  readonly loop: EventLoop;
  /** Name of the abstract Unix socket, without the leading NUL. */
  readonly name: string;
  /** Returns the sockets to pass on. */
  readonly offer: () => NamedDescriptors;
  /** The next process has the sockets. */
  readonly taken: () => void;
}

/**
 * Offers the listening sockets of a process that ends to the next one. Each message is a JSON array of names, and has
 * as many descriptors. The sockets stay open all the time, so that no connection is refused: those that neither
 * process has accepted yet wait in their backlogs.
 */
export class HandOver implements EventTarget, Disposable {
  readonly #options: HandOverOptions;
  readonly #listener: number;
  #isOpen = true;

  /** @returns undefined if the name cannot be had, for example because a third process drains, too. */
  static open(options: HandOverOptions): HandOver | undefined {
    const listener = listenForPeers(options.name);
    return listener === undefined ? undefined : new HandOver(options, listener);
  }

  private constructor(options: HandOverOptions, listener: number) {
    this.#options = options;
    this.#listener = listener;
    options.loop.add(listener, this, EPOLLIN);
  }

  handleEvents(): void {
    while (this.#isOpen) {
      const peer = acceptPeer(this.#listener);
      if (peer === undefined) return;
      const isTaken = isTrusted(peer) && sendAll(peer, this.#options.offer());
      closeSocket(peer);
      if (!isTaken) continue;
      this[Symbol.dispose]();
      this.#options.taken();
    }
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#options.loop.forget(this.#listener);
    closeSocket(this.#listener);
  }
}

/** Takes the listening sockets of a process that drains. @returns nothing if there is no such process. */
export function takeListeners(name: string): NamedDescriptors {
  const taken: Record<string, number> = {};
  const peer = connectToPeer(name, ANSWER_MS);
  if (peer === undefined) return taken;
  try {
    if (!isTrusted(peer)) return taken;
    for (
      let message = receiveDescriptors(peer, MESSAGE_BYTES);
      message !== undefined;
      message = receiveDescriptors(peer, MESSAGE_BYTES)
    ) {
      const names: readonly string[] = JSON.parse(new TextDecoder().decode(message.bytes));
      for (const [index, descriptor] of message.descriptors.entries()) {
        taken[names[index] ?? `unnamed-${descriptor}`] = descriptor;
      }
    }
    return taken;
  } finally {
    closeSocket(peer);
  }
}

/** Anyone in the network namespace can use the name. Only this user and root can be a proxy of this node. */
function isTrusted(peer: number): boolean {
  const user = peerCredentials(peer)?.uid;
  return user === 0 || (user !== undefined && user === Deno.uid());
}

function sendAll(peer: number, offered: NamedDescriptors): boolean {
  const entries = Object.entries(offered);
  for (let start = 0; start < entries.length; start += MAX_DESCRIPTORS) {
    const part = entries.slice(start, start + MAX_DESCRIPTORS);
    const bytes = new TextEncoder().encode(JSON.stringify(part.map(([name]) => name)));
    if (!sendDescriptors(peer, { bytes, descriptors: part.map(([, descriptor]) => descriptor) })) {
      return false;
    }
  }
  return true;
}
