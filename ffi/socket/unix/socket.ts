import {
  AF_UNIX,
  libc,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from "../../libraries/libc.ts";
import { sendDescriptors } from "./descriptor_passing.ts";
import { type Credentials, peerCredentials } from "./peer_credentials.ts";
import { unixAddress } from "./address.ts";

/**
 * Asks the kernel which process listens on an abstract Unix socket of this network namespace.
 * @param name without the leading NUL.
 * @returns undefined if no process does, or if it leaves too many connections waiting.
 */
export function listenerOf(name: string): Credentials | undefined {
  const fd = libc().socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return undefined;
  try {
    const address = unixAddress(`\0${name}`);
    if (libc().connect(fd, address, address.length) < 0) return undefined;
    return peerCredentials(fd);
  } finally {
    libc().close(fd);
  }
}

/** Sends datagrams to one Unix socket, without waiting. */
export class DatagramSender implements Disposable {
  readonly #address: Uint8Array<ArrayBuffer>;
  readonly #fd: number;

  /** @param path of the socket; an abstract name begins with NUL. */
  constructor(path: string) {
    // The kernel takes the rest of the address as an abstract name, and needs a NUL at the end of a path.
    this.#address = unixAddress(path.startsWith("\0") ? path : `${path}\0`);
    this.#fd = libc().socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  }

  /** @returns false if nobody has the socket, or if its reader is too far behind. */
  send(message: Uint8Array<ArrayBuffer>): boolean {
    const { sendto } = libc();
    const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const size = BigInt(message.length);
    return sendto(this.#fd, message, size, flags, this.#address, this.#address.length) === size;
  }

  /** Sends a message with a descriptor. @returns as `send`. */
  sendDescriptor(message: Uint8Array<ArrayBuffer>, descriptor: number): boolean {
    return sendDescriptors(this.#fd, { bytes: message, descriptors: [descriptor] }, this.#address) >= 0;
  }

  [Symbol.dispose](): void {
    libc().close(this.#fd);
  }
}
