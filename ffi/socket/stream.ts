import { MSG_NOSIGNAL } from "../libraries/libc.ts";
import { calls, errno } from "./calls.ts";
import { EAGAIN, EINTR, EPIPE, SHUT_WR } from "./constants.ts";

/** Result of a transfer: nothing can be done now. */
export const WOULD_BLOCK = -1;
/** Result of a transfer: the connection has failed. */
export const FAILED = -2;
/** Result of sending: the peer has ended its stream, and the connection has failed after that. */
export const FAILED_AFTER_END = -3;

/** Memory that streams are received into and sent from. One per thread is enough, because transfers do not overlap. */
export class TransferBuffer {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #capacity: bigint;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(new ArrayBuffer(capacity));
    this.#capacity = BigInt(capacity);
  }

  get capacity(): number {
    return this.#bytes.length;
  }

  /**
   * @param limit bytes; at most the capacity.
   * @returns the number of bytes, 0 at the end of the stream, WOULD_BLOCK or FAILED.
   */
  receive(fd: number, limit = this.#capacity): number {
    const count = calls.recv(fd, this.#bytes, limit, 0);
    return count >= 0 ? count : failure();
  }

  /** Sends the first `count` bytes. @returns as `sendBytes` */
  send(fd: number, count: number): number {
    const sent = calls.send(fd, this.#bytes, BigInt(count), MSG_NOSIGNAL);
    return sent >= 0 ? sent : sendFailure();
  }

  /** Copies the bytes between two positions. */
  copy(start: number, end: number): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(start, end);
  }
}

/** @returns the number of bytes that the socket took, WOULD_BLOCK, FAILED or FAILED_AFTER_END. */
export function sendBytes(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  const sent = calls.send(fd, bytes, BigInt(bytes.length), MSG_NOSIGNAL);
  return sent >= 0 ? sent : sendFailure();
}

/** Ends the outgoing stream (FIN). The incoming one goes on. */
export function endStream(fd: number): void {
  calls.shutdown(fd, SHUT_WR);
}

export function closeSocket(fd: number): void {
  calls.close(fd);
}

export function failure(): number {
  const reason = errno();
  return reason === EAGAIN || reason === EINTR ? WOULD_BLOCK : FAILED;
}

/** The kernel reports a reset as EPIPE if the peer had ended its stream before, and as ECONNRESET otherwise. */
export function sendFailure(): number {
  const reason = errno();
  if (reason === EPIPE) return FAILED_AFTER_END;
  return reason === EAGAIN || reason === EINTR ? WOULD_BLOCK : FAILED;
}
