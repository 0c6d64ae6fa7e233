import {
  AF_UNIX,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from "../../libraries/libc.ts";
import { addressOf } from "../../memory.ts";
import { unixAddress } from "./address.ts";
import { calls } from "../calls.ts";
import { CMSGHDR, controlSpace, IOVEC, MSGHDR, setControlHeader } from "../message_header.ts";
import { failure } from "../stream.ts";

/** Sockets that pass file descriptors to another process (unix(7), SCM_RIGHTS). */

const SOCK_SEQPACKET = 5; // sys/socket.h
const SO_RCVTIMEO = 20; // asm-generic/socket.h
const SO_SNDTIMEO = 21; // asm-generic/socket.h
const SCM_RIGHTS = 1; // linux/socket.h
const MSG_CMSG_CLOEXEC = 0x40000000; // linux/socket.h

/** Descriptors of one message. The kernel allows 253 (SCM_MAX_FD). */
export const MAX_DESCRIPTORS = 64;

const CONTROL_BYTES = controlSpace(4 * MAX_DESCRIPTORS);

const symbols = {
  /** ssize_t sendmsg(int sockfd, const struct msghdr *msg, int flags) */
  sendmsg: { parameters: ["i32", "buffer", "i32"], result: "isize" },
  /** ssize_t recvmsg(int sockfd, struct msghdr *msg, int flags) */
  recvmsg: { parameters: ["i32", "buffer", "i32"], result: "isize" },
} as const satisfies Deno.ForeignLibraryInterface;

const messages = Deno.dlopen("libc.so.6", symbols).symbols;

/** A message with descriptors. */
export interface DescriptorMessage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly descriptors: readonly number[];
}

/**
 * Listens on an abstract Unix socket of this network namespace for connections that keep the bounds of messages.
 * @param name without the leading NUL.
 * @returns undefined if another process has the name, or if a security module forbids it.
 */
export function listenForPeers(name: string): number | undefined {
  const fd = calls.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return undefined;
  const address = unixAddress(`\0${name}`);
  if (calls.bind(fd, address, address.length) === 0 && calls.listen(fd, 1) === 0) return fd;
  calls.close(fd);
  return undefined;
}

/** Accepts a connection to a socket of `listenForPeers`; undefined if there is none. It does not block. */
export function acceptPeer(listener: number): number | undefined {
  const fd = calls.accept4(listener, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return fd < 0 ? undefined : fd;
}

/**
 * Connects to a socket of `listenForPeers`.
 * @param timeoutMs limit for the connection, which waits while the backlog of the listener is full, and for each message.
 * @returns undefined if no process listens, or if it does not accept connections.
 */
export function connectToPeer(name: string, timeoutMs: number): number | undefined {
  const fd = calls.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return undefined;
  // struct timeval { time_t tv_sec; suseconds_t tv_usec; }, 64 bits each
  const limit = new BigInt64Array([BigInt(Math.floor(timeoutMs / 1000)), BigInt(timeoutMs % 1000 * 1000)]);
  for (const option of [SO_RCVTIMEO, SO_SNDTIMEO]) {
    calls.setsockopt(fd, SOL_SOCKET, option, limit, limit.byteLength);
  }
  const address = unixAddress(`\0${name}`);
  if (calls.connect(fd, address, address.length) === 0) return fd;
  calls.close(fd);
  return undefined;
}

/**
 * Sends a message, without waiting. Both processes have the descriptors afterwards.
 * @param message at least one byte, and at most MAX_DESCRIPTORS descriptors.
 * @param to address of a Unix socket (`unixAddress`), for a socket that is not connected.
 * @returns the number of bytes, WOULD_BLOCK or FAILED.
 */
export function sendDescriptors(
  fd: number,
  message: DescriptorMessage,
  to?: Uint8Array<ArrayBuffer>,
): number {
  const { bytes, descriptors } = message;
  const length = descriptors.length * 4;
  const control = new Uint8Array(CONTROL_BYTES);
  const view = new DataView(control.buffer);
  setControlHeader(view, SOL_SOCKET, SCM_RIGHTS, length);
  for (const [index, descriptor] of descriptors.entries()) {
    view.setInt32(CMSGHDR.size + index * 4, descriptor, true);
  }
  const header = new MessageHeader(bytes, control, length === 0 ? 0 : controlSpace(length), to);
  const sent = Number(messages.sendmsg(fd, header.bytes, MSG_NOSIGNAL | MSG_DONTWAIT));
  return sent >= 0 ? sent : failure();
}

/** Receives a message of at most `capacity` bytes; undefined at the end of the stream, after a timeout or an error. */
export function receiveDescriptors(fd: number, capacity: number): DescriptorMessage | undefined {
  const bytes = new Uint8Array(capacity);
  const control = new Uint8Array(CONTROL_BYTES);
  const header = new MessageHeader(bytes, control, CONTROL_BYTES);
  const count = Number(messages.recvmsg(fd, header.bytes, MSG_CMSG_CLOEXEC));
  if (count <= 0) return undefined;
  return {
    bytes: bytes.slice(0, count),
    descriptors: descriptorsIn(control.subarray(0, header.controlLength)),
  };
}

/** The memory of a struct msghdr, and what it refers to. */
class MessageHeader {
  readonly bytes = new Uint8Array(MSGHDR.size);
  readonly #view = new DataView(this.bytes.buffer);
  /** The memory that the structure has the addresses of, so that it lives as long. */
  readonly referred: readonly Uint8Array<ArrayBuffer>[];

  constructor(
    data: Uint8Array<ArrayBuffer>,
    control: Uint8Array<ArrayBuffer>,
    controlLength: number,
    name?: Uint8Array<ArrayBuffer>,
  ) {
    const vector = new Uint8Array(IOVEC.size);
    const view = new DataView(vector.buffer);
    view.setBigUint64(IOVEC.iov_base, addressOf(data), true);
    view.setBigUint64(IOVEC.iov_len, BigInt(data.length), true);
    this.referred = [data, control, vector, ...(name === undefined ? [] : [name])];
    if (name !== undefined) {
      this.#view.setBigUint64(MSGHDR.msg_name, addressOf(name), true);
      this.#view.setUint32(MSGHDR.msg_namelen, name.length, true);
    }
    this.#view.setBigUint64(MSGHDR.msg_iov, addressOf(vector), true);
    this.#view.setBigUint64(MSGHDR.msg_iovlen, 1n, true);
    if (controlLength > 0) this.#view.setBigUint64(MSGHDR.msg_control, addressOf(control), true);
    this.#view.setBigUint64(MSGHDR.msg_controllen, BigInt(controlLength), true);
  }

  /** Bytes of control messages that were received. */
  get controlLength(): number {
    return Number(this.#view.getBigUint64(MSGHDR.msg_controllen, true));
  }
}

function descriptorsIn(control: Uint8Array): readonly number[] {
  if (control.length < CMSGHDR.size) return [];
  const view = new DataView(control.buffer, control.byteOffset, control.length);
  const isRights = view.getInt32(CMSGHDR.cmsg_level, true) === SOL_SOCKET &&
    view.getInt32(CMSGHDR.cmsg_type, true) === SCM_RIGHTS;
  const count = isRights ? (view.getUint32(CMSGHDR.cmsg_len, true) - CMSGHDR.size) / 4 : 0;
  return Array.from({ length: count }, (_, index) => view.getInt32(CMSGHDR.size + index * 4, true));
}
