import {
  acceptPeer,
  connectToPeer,
  type DescriptorMessage,
  listenForPeers,
  MAX_DESCRIPTORS,
  receiveDescriptors,
  sendDescriptors,
} from "../../../../ffi/socket/unix/descriptor_passing.ts";
import { EPOLLIN, EPOLLOUT } from "../../../../ffi/socket/constants.ts";
import { peerCredentials } from "../../../../ffi/socket/unix/peer_credentials.ts";
import { closeSocket, WOULD_BLOCK } from "../../../../ffi/socket/stream.ts";
import type { EventLoop, EventTarget } from "../event_loop.ts";
import type { Warn } from "../rate_limited_warnings.ts";

/** Sockets by name. */
export type NamedDescriptors = Readonly<Record<string, number>>;

/** Name of the abstract Unix socket where a process that ends offers its listeners. */
export const HAND_OVER_NAME = "proxy/userspace-listeners";

/** Limit for the connection to the earlier process and for each of its messages. It answers at once. */
const ANSWER_MS = 1000;
/** Enough for the names of MAX_DESCRIPTORS sockets. */
const MESSAGE_BYTES = 16 * 1024;
/** Content of the only message of the process that takes the sockets. */
const TAKEN = new Uint8Array([1]);

export interface HandOverOptions {
  readonly loop: EventLoop;
  /** Name of the abstract Unix socket, without the leading NUL. */
  readonly name: string;
  /** Returns the sockets to pass on. */
  readonly offer: () => NamedDescriptors;
  /** The next process has all sockets. */
  readonly taken: () => void;
}

/** The messages to a process that takes the sockets, and how many of them it has been sent. */
interface Transfer {
  readonly peer: number;
  readonly messages: readonly DescriptorMessage[];
  sent: number;
}

/**
 * Offers the listening sockets of a process that ends to the next one. Each message is a JSON array of names, and has
 * as many descriptors. The last message is the number of sockets, so that a part of them is never taken for all. The
 * next process answers it, and this one keeps the sockets until then. They stay open all the time, so that no connection
 * is refused: those that neither process has accepted yet wait in their backlogs.
 */
export class HandOver implements EventTarget, Disposable {
  readonly #options: HandOverOptions;
  readonly #listener: number;
  #transfer: Transfer | undefined;
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

  /** True while a process is taking the sockets. */
  get isBusy(): boolean {
    return this.#transfer !== undefined;
  }

  handleEvents(fd: number, events: number): void {
    if (fd === this.#listener) return this.#accept();
    const transfer = this.#transfer;
    if (transfer === undefined) return;
    if (transfer.sent < transfer.messages.length) this.#send(transfer);
    else if ((events & ~EPOLLOUT) !== 0) this.#receiveAnswer(transfer.peer);
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#endTransfer();
    this.#options.loop.forget(this.#listener);
    closeSocket(this.#listener);
  }

  #accept(): void {
    const { loop, offer } = this.#options;
    while (this.#transfer === undefined) {
      const peer = acceptPeer(this.#listener);
      if (peer === undefined) return;
      if (isTrusted(peer) && loop.add(peer, this, EPOLLIN | EPOLLOUT)) {
        this.#transfer = { peer, messages: [...messagesOf(offer())], sent: 0 };
        // One at a time.
        loop.modify(this.#listener, 0);
      } else {
        closeSocket(peer);
      }
    }
  }

  /** Sends what the socket takes. The rest follows when the other process has received some of it. */
  #send(transfer: Transfer): void {
    const { peer, messages } = transfer;
    for (let next = messages[transfer.sent]; next !== undefined; next = messages[transfer.sent]) {
      const result = sendDescriptors(peer, next);
      if (result === WOULD_BLOCK) return;
      if (result < 0) return this.#endTransfer();
      transfer.sent++;
    }
    this.#options.loop.modify(peer, EPOLLIN);
  }

  #receiveAnswer(peer: number): void {
    const answer = receiveDescriptors(peer, TAKEN.length);
    this.#endTransfer();
    // The other process has given up.
    if (answer === undefined) return;
    this[Symbol.dispose]();
    this.#options.taken();
  }

  #endTransfer(): void {
    if (this.#transfer === undefined) return;
    const { loop } = this.#options;
    const { peer } = this.#transfer;
    this.#transfer = undefined;
    loop.forget(peer);
    closeSocket(peer);
    loop.modify(this.#listener, EPOLLIN);
  }
}

function* messagesOf(offered: NamedDescriptors): Generator<DescriptorMessage> {
  const entries = Object.entries(offered);
  for (let start = 0; start < entries.length; start += MAX_DESCRIPTORS) {
    const part = entries.slice(start, start + MAX_DESCRIPTORS);
    yield {
      bytes: encode(part.map(([name]) => name)),
      descriptors: part.map(([, descriptor]) => descriptor),
    };
  }
  yield { bytes: encode(entries.length), descriptors: [] };
}

/**
 * Takes the listening sockets of a process that drains, all or none.
 * @returns nothing if there is no such process.
 */
export function takeListeners(name: string, warn: Warn): NamedDescriptors {
  const peer = connectToPeer(name, ANSWER_MS);
  if (peer === undefined) return {};
  try {
    if (!isTrusted(peer)) {
      warn("a process of another user has the socket where an earlier process would offer its listeners", {
        socket: `@${name}`,
        uid: peerCredentials(peer)?.uid ?? "unknown",
      });
      return {};
    }
    const { taken, isComplete } = receiveListeners(peer);
    if (isComplete) {
      sendDescriptors(peer, { bytes: TAKEN, descriptors: [] });
      return Object.fromEntries(taken);
    }
    // The earlier process keeps them all. Half of them would be in use by two processes that do not know of each other.
    for (const [, descriptor] of taken) closeSocket(descriptor);
    warn("an earlier process did not hand over all of its listeners; others are opened", {
      socket: `@${name}`,
      received: taken.length,
    });
    return {};
  } finally {
    closeSocket(peer);
  }
}

/** Receives names and descriptors until the message with their number, or until no message comes any more. */
function receiveListeners(
  peer: number,
): { readonly taken: readonly (readonly [string, number])[]; readonly isComplete: boolean } {
  const taken: (readonly [string, number])[] = [];
  // Less than were sent if this process may not open so many files.
  let names = 0;
  for (;;) {
    const message = receiveDescriptors(peer, MESSAGE_BYTES);
    if (message === undefined) return { taken, isComplete: false };
    const content: unknown = JSON.parse(new TextDecoder().decode(message.bytes));
    if (!Array.isArray(content)) return { taken, isComplete: content === names && names === taken.length };
    names += content.length;
    for (const [index, descriptor] of message.descriptors.entries()) {
      taken.push([String(content[index]), descriptor]);
    }
  }
}

function encode(content: readonly string[] | number): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(content));
}

/** Anyone in the network namespace can use the name. Only this user and root can be a proxy of this node. */
function isTrusted(peer: number): boolean {
  const user = peerCredentials(peer)?.uid;
  return user === 0 || (user !== undefined && user === Deno.uid());
}
